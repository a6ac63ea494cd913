# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A session at a vCenter or ESXi host: whom to trust, logging in, taking up a kept session, and ending it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from http.client import HTTPException
from typing import Any

from ..base import Connection
from ..errors import AuthenticationFailed, SessionEnded
from .address import Placement, address_of, shown
from .bulk import read_vms
from .collector import Properties, read, read_view
from .faults import BROKEN, FAILED, asking
from .questions import Attending
from .sdk import vim
from .trust import stub_of
from .waiting import Waiter

#: Seconds that a call may take once the server has answered; more than waiting.ONE_WAIT.
CALL_TIMEOUT = 120
#: Seconds for the farewell.
LOGOUT_TIMEOUT = 10


class Session:
    """An open session. Its calls raise the SDK's errors; ``faults.asking`` stands around them."""

    def __init__(self, connection: Connection):
        """Raises Unsupported, Untrusted, Unreachable within ``connect_timeout``, AuthenticationFailed, SessionEnded."""
        address = address_of(connection.url)
        self._url = connection.url
        self._views: dict[tuple[Any, tuple[type, ...]], Any] = {}
        self._collector: Any = None
        self._stub = stub_of(connection, address)
        try:
            with asking(f"connecting to {shown(connection.url)}"):
                self.content = vim.ServiceInstance("ServiceInstance", self._stub).RetrieveContent()
                if self.content is None:
                    raise HTTPException("what was answered is no answer of a vCenter or ESXi host")
                self._enter(connection)
        except BaseException:
            self._stub.DropConnections()
            raise
        self._may_take(CALL_TIMEOUT)
        self.placement: Placement = address.placement
        #: The session is somebody else's as well, or was given to somebody: it does not end with this connection.
        self._shared = connection.session is not None

    def _enter(self, connection: Connection) -> None:
        if connection.session is None:
            self._log_in(connection)
        else:
            self._stub.cookie = connection.session
            self._refuse_ended()

    def _log_in(self, connection: Connection) -> None:
        if connection.username is None or connection.password is None:
            raise AuthenticationFailed(f"{shown(self._url)} needs a user name and a password")
        self.content.sessionManager.Login(connection.username, connection.password)

    def _refuse_ended(self) -> None:
        """A vCenter answers without a session, too, and says nothing then."""
        manager = self.content.sessionManager
        told = read(self.content.propertyCollector, [manager], ["currentSession.key"])
        if "currentSession.key" not in told.get(manager, {}):
            raise SessionEnded(f"{shown(self._url)} does not know this session; log in again")

    def _may_take(self, seconds: float) -> None:
        """How long answers may take from now on, also on connections that are open already."""
        self._stub.schemeArgs["timeout"] = seconds
        for http, _idle in self._stub.pool:
            http.timeout = seconds
            # One that the server has closed after its answer connects anew.
            if http.sock is not None:
                http.sock.settimeout(seconds)

    # --- reading ---

    @cached_property
    def is_vcenter(self) -> bool:
        return self.content.about.apiType == "VirtualCenter"

    def read(self, objects: Any, paths: Any) -> dict[Any, Properties]:
        """Properties of objects. Raises ManagedObjectNotFound if one of them is gone."""
        return read(self.content.propertyCollector, objects, paths)

    def read_all(self, root: Any, kinds: tuple[type, ...], kind: type, paths: Any) -> dict[Any, Properties]:
        """Properties of everything of these kinds below the root; ``kind`` is what they have in common."""
        return read_view(self.content.propertyCollector, self._view(root, kinds), kind, paths)

    def vm(self, id: str) -> Any:
        """The VM of this managed-object id, whether there is one or not."""
        return vim.VirtualMachine(id, self._stub)

    def read_vms(self, root: Any, paths: Any) -> dict[Any, Properties]:
        """The same of all VMs below the root, for paths of ``observation.PATHS``, many times as fast."""
        view = self._view(root, (vim.VirtualMachine,))
        return read_vms(self._stub, self.content.propertyCollector, view, paths)

    def _view(self, root: Any, kinds: tuple[type, ...]) -> Any:
        if (root, kinds) not in self._views:
            made = self.content.viewManager.CreateContainerView(root, list(kinds), recursive=True)
            self._views[root, kinds] = made
        return self._views[root, kinds]

    def collector(self) -> Any:
        """A PropertyCollector of this connection's own."""
        if self._collector is None:
            self._collector = self.content.propertyCollector.CreatePropertyCollector()
        return self._collector

    @property
    def waiter(self) -> Waiter:
        return Waiter(self.collector())

    def attending(self, vm: Any, name: str) -> Waiter:
        """A waiter that hears what the VM asks meanwhile."""
        return Attending(self.collector(), vm, name)

    # --- leaving ---

    def share(self) -> str:
        """What ``Connection.session`` of a later connection takes. The session then does not end with this one."""
        self._shared = True
        return str(self._stub.cookie).partition(";")[0]

    def log_out(self) -> None:
        """Afterwards nobody can use the session. One that has ended already is ended."""
        with asking(f"logging out at {shown(self._url)}"), suppress(vim.fault.NotAuthenticated):
            self.content.sessionManager.Logout()
        self._stub.cookie = ""
        self._views, self._collector, self._shared = {}, None, True

    def close(self) -> None:
        with suppress(OSError):
            self._may_take(LOGOUT_TIMEOUT)
        self._leave()
        self._views, self._collector, self._shared = {}, None, True
        self._stub.DropConnections()

    def _leave(self) -> None:
        """A session that lives on keeps nothing of this connection. What fails is tried once more, as nobody else would
        do it; what then fails is no failure of what was done before."""
        farewells = [self.content.sessionManager.Logout]
        if self._shared:
            farewells = [view.DestroyView for view in self._views.values()]
            farewells += [self._collector.DestroyPropertyCollector] if self._collector is not None else []
        for farewell in farewells:
            with suppress(*FAILED):
                _twice(farewell)


def _twice(call: Callable[[], Any]) -> None:
    try:
        call()
    except BROKEN:
        call()
