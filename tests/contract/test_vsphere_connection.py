# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Connections of the vSphere driver: trust, logins, sessions that are kept, shared and ended, and lines that fail."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import LOGIN, VspherePeer, connection_to, make_template
from vsphere_proxy import Proxy, proxy_to

from ansible_collections.millwright.virt.plugins.module_utils.connection import CONNECTION, open_hypervisor
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    AuthenticationFailed,
    DriverError,
    SessionEnded,
    Unreachable,
    Untrusted,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_power, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.login import log_in, log_out
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState
from tools import vcsim

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
USER = f"{LOGIN['username'].replace('@', '%40')}:{LOGIN['password']}"


@pytest.fixture
def simulator(tmp_path: Path) -> Iterator[vcsim.Simulator]:
    """A vCenter with one account and a template."""
    with vcsim.running(tmp_path / "vcsim", "-user", USER) as running:
        session = Session(connection_to(running))
        make_template(session, "LocalDS_0")
        session.close()
        yield running


@pytest.fixture
def proxy(simulator: vcsim.Simulator) -> Iterator[Proxy]:
    with proxy_to(simulator) as opened:
        yield opened


def peer_at(connection: Connection) -> VspherePeer:
    return VspherePeer(connection, "LocalDS_0", "VM Network")


def through(proxy: Proxy, simulator: vcsim.Simulator, **fields) -> Connection:
    return replace(connection_to(simulator, **fields), url=proxy.url)


def params(connection: Connection, path: Path | None, *, keep: bool = True) -> dict[str, object]:
    """As a module has them."""
    said = {name: getattr(connection, name, None) for name in CONNECTION}
    return {**said, "session_file": None if path is None else str(path), "keep_session": keep}


def counted(simulator: vcsim.Simulator) -> tuple[int, int]:
    """Logins and sessions that are left."""
    kinds = ["UserLoginSessionEvent", "UserLogoutSessionEvent"]
    session = Session(connection_to(simulator))
    events = session.content.eventManager.QueryEvents(vim.event.EventFilterSpec(maxCount=1000, eventTypeId=kinds))
    session.close()
    came = sum(isinstance(one, vim.event.UserLoginSessionEvent) for one in events) - 1
    went = sum(isinstance(one, vim.event.UserLogoutSessionEvent) for one in events)
    return came, came - went


# --- trust ---


def pin_of(simulator: vcsim.Simulator) -> str:
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(simulator.certificate.read_text())).hexdigest()


def test_a_certificate_that_nobody_vouches_for_is_refused_and_nothing_is_said(proxy: Proxy, simulator):
    with pytest.raises(Untrusted, match="self-signed") as refused, open_driver(through(proxy, simulator, ca_path=None)):
        pass
    assert not refused.value.retryable
    assert not proxy.calls


@pytest.mark.parametrize("told", ["file", "pin", "nothing"])
def test_a_certificate_is_trusted_by_its_authority_by_its_thumbprint_or_on_demand(simulator, told: str):
    fields = {"file": {}, "pin": {"ca_path": None}, "nothing": {"ca_path": None, "validate_certs": False}}[told]
    query = f"thumbprint={pin_of(simulator)}" if told == "pin" else ""
    with open_driver(connection_to(simulator, query, **fields)) as driver:
        assert driver.list_vms() == ()


@pytest.mark.parametrize("fields", [{}, {"validate_certs": False}], ids=["authority trusted", "not validated"])
def test_a_wrong_thumbprint_is_refused_whoever_has_signed_and_nothing_is_said(proxy: Proxy, simulator, fields):
    connection = through(proxy, simulator, **fields)
    wrong = replace(connection, url=f"{connection.url}?thumbprint={'0' * 64}")
    with pytest.raises(Untrusted, match=pin_of(simulator)), open_driver(wrong):
        pass
    assert not proxy.calls


def test_a_thumbprint_is_looked_at_on_every_connection(simulator):
    driver = VsphereDriver.open(connection_to(simulator, f"thumbprint={pin_of(simulator)}"))
    driver._session._stub.DropConnections()
    assert driver.list_vms() == ()
    driver._session._stub.DropConnections()
    # As if somebody else stood there from now on.
    driver._session._stub.scheme = partial(driver._session._stub.scheme.func, "0" * 64)
    with pytest.raises(Untrusted):
        driver.list_vms()
    driver.close()


def test_authorities_that_cannot_be_read_are_named(simulator, tmp_path: Path):
    with (
        pytest.raises(Untrusted, match=r"no\.pem"),
        open_driver(connection_to(simulator, ca_path=str(tmp_path / "no.pem"))),
    ):
        pass


# --- logins and sessions ---


@pytest.mark.parametrize("fields", [{"password": "wrong-0815"}, {"username": "nobody"}, {"password": None}])
def test_wrong_credentials_are_refused_and_not_repeated(simulator, fields):
    with pytest.raises(AuthenticationFailed) as refused, open_driver(connection_to(simulator, **fields)):
        pass
    assert not refused.value.retryable
    assert "wrong-0815" not in str(refused.value)


def test_a_connection_without_a_kept_session_leaves_none(simulator):
    before = counted(simulator)[1]
    with open_driver(connection_to(simulator)) as driver:
        driver.list_vms()
    with pytest.raises(DriverError), open_driver(connection_to(simulator, "cluster=none")) as driver:
        driver.host()
    assert counted(simulator)[1] == before


def test_a_session_that_the_hypervisor_has_ended_is_told_apart_and_a_new_login_follows(simulator, tmp_path: Path):
    connection, path = connection_to(simulator), tmp_path / "session"
    assert log_in(params(connection, path), set(), dry_run=False) == {"changed": True, "session": True}
    with open_hypervisor(params(connection, path), set()) as driver:
        kept = driver.session()
        assert kept.startswith("vmware_soap_session=")
    other = Session(connection)
    other.content.sessionManager.TerminateSession([kept.partition("=")[2].strip('"')])
    other.close()
    with pytest.raises(SessionEnded) as ended, open_driver(replace(connection, session=kept)):
        pass
    assert ended.value.retryable
    with open_hypervisor(params(connection, path), set()) as driver:
        assert driver.list_vms() == ()
        assert driver.session() != kept
    log_out(params(connection, path), set(), dry_run=False)
    assert not path.exists()


def test_a_session_that_ends_under_way_is_retryable(simulator):
    with open_driver(connection_to(simulator)) as driver:
        other = Session(connection_to(simulator))
        other.content.sessionManager.TerminateSession([driver.session().partition("=")[2].strip('"')])
        other.close()
        with pytest.raises(SessionEnded) as ended:
            driver.list_vms()
        assert ended.value.retryable


def test_a_shared_session_keeps_nothing_of_a_connection_that_left(simulator, proxy: Proxy):
    with open_driver(through(proxy, simulator)) as first:
        shared = replace(through(proxy, simulator), session=first.session())
        with open_driver(shared) as second:
            second.create(definition(peer_at(shared)))
        first.logout()
    assert proxy.calls["CreateContainerView"] == proxy.calls["DestroyView"]
    assert proxy.calls["CreatePropertyCollector"] == proxy.calls["DestroyPropertyCollector"] == 1
    assert proxy.calls["CreateFilter"] == proxy.calls["DestroyPropertyFilter"]


@pytest.mark.parametrize("rule", ["503", "drop", "lose"])
def test_a_farewell_that_gets_lost_is_said_again(simulator, proxy: Proxy, rule: str):
    before = counted(simulator)
    proxy.rules["Logout"] = [rule]
    with open_driver(through(proxy, simulator)) as driver:
        driver.list_vms()
    assert proxy.calls["Logout"] == 2
    assert counted(simulator)[1] == before[1]


@pytest.mark.parametrize("rule", ["503", "drop"])
def test_what_of_a_shared_session_cannot_be_destroyed_keeps_the_rest_from_nothing(simulator, proxy: Proxy, rule: str):
    with open_driver(through(proxy, simulator)) as first:
        shared = replace(through(proxy, simulator), session=first.session())
        proxy.rules["DestroyView"] = [rule, rule]
        with open_driver(shared) as second:
            second.create(definition(peer_at(shared)))
        first.logout()
    assert proxy.calls["DestroyView"] == proxy.calls["CreateContainerView"] + 1
    assert proxy.calls["CreatePropertyCollector"] == proxy.calls["DestroyPropertyCollector"] == 1


def patiently(step: Callable[[], None]) -> None:
    """As a runner does it. The simulator hangs up on whoever looks for a VM while another is only just made."""
    for _ in range(4):
        try:
            return step()
        except Unreachable as error:
            assert error.retryable
    return step()


def test_fifty_vms_need_no_more_logins_than_open_sessions_and_leave_none(simulator, tmp_path: Path):
    connection, path, open_sessions = connection_to(simulator), tmp_path / "session", 4
    before = counted(simulator)

    def deploy(index: int) -> None:
        want = definition(peer_at(connection), f"vm-{index}")
        for step in (
            lambda driver: ensure_present(driver, want, dry_run=False),
            lambda driver: ensure_power(driver, VmRef.of(want), PowerAction.ON, timeout=60, dry_run=False),
        ):
            patiently(partial(once, step))

    def once(step: Callable[[VmDriver], object]) -> None:
        with open_hypervisor(params(connection, path), set()) as driver:
            step(driver)

    with ThreadPoolExecutor(open_sessions) as sessions:
        list(sessions.map(deploy, range(50)))
    with open_hypervisor(params(connection, path), set()) as driver:
        vms = driver.list_vms()
        assert [vm.power for vm in vms] == [PowerState.ON] * 50
        assert len({vm.definition.nics[0].mac for vm in vms}) == 50
    log_out(params(connection, path), set(), dry_run=False)
    came, left = counted(simulator)
    # The look before it is among the logins.
    assert 1 <= came - before[0] - 1 <= open_sessions
    assert left == before[1]


# --- waiting ---


def test_a_wait_ends_with_the_change_and_not_before(simulator):
    with open_driver(connection_to(simulator)) as driver:
        driver.create(definition(peer_at(connection_to(simulator))))
        vm = driver._vms.find(WEB)[0]
        waiter, paths = driver._session.waiter, ["runtime.powerState"]

        def power_on() -> None:
            with open_driver(connection_to(simulator)) as other:
                other.power(WEB, PowerAction.ON, 30)

        assert not waiter.until(vm, paths, lambda seen: seen["runtime.powerState"] == "poweredOn", 1)
        thread = threading.Thread(target=power_on)
        thread.start()
        assert waiter.until(vm, paths, lambda seen: seen["runtime.powerState"] == "poweredOn", 30)
        thread.join()
