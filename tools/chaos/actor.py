# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A client of the API that goes on when the API is away, and finds out what became of a request without an answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from tools.chaos.plan import Verb, Wish
from webapi.cli.client import Client, Json
from webapi.cli.errors import Refused, Unreachable

T = TypeVar("T")

#: Longer than a server takes to come back.
PATIENCE = 90.0
PAUSE = 0.3

#: What a VM's state allows, as path below the VM and body; None: another definition.
ALLOWED: dict[str, tuple[tuple[str, Json | None], ...]] = {
    "NOT_ALLOCATED": (("deploy", {}), ("deploy", {}), ("definition", None)),
    "ON": (
        ("power", {"action": "off"}),
        # A guest that has not booted yet is deaf: it gets little time, and then it stays on.
        ("power", {"action": "shutdown", "timeout": 5}),
        ("power", {"action": "pause"}),
        ("power", {"action": "reset"}),
        ("undeploy", {}),
    ),
    "OFF": (("power", {"action": "on"}), ("power", {"action": "on"}), ("definition", None), ("undeploy", {})),
    "PAUSED": (("power", {"action": "resume"}), ("power", {"action": "off"}), ("undeploy", {})),
    "UNKNOWN": (("refresh", {}), ("undeploy", {})),
}
#: States of a task that has not ended.
OPEN = ("QUEUED", "STARTED")
MEMORIES = (64, 128, 192, 256)


class Lost(Exception):
    """The request got no answer: whether it was granted is not known."""


class Patient(Client):
    """A client that reads again while nobody answers."""

    def get(self, path: str, **filters: str | int | None) -> Json:
        return patiently(lambda: super(Patient, self).get(path, **filters), Unreachable)


def patiently(call: Callable[[], T], passing: type[Exception]) -> T:
    """What the call gives once it does not raise what will pass."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            return call()
        except passing:
            if time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)


class Actor:
    """Asks what the plan says, and remembers what was granted."""

    def __init__(self, client: Client):
        self.granted: set[str] = set()
        self.cancelled: set[str] = set()
        self.refused: dict[str, int] = {}
        #: Answers that a server should not give, whatever happens around it.
        self.odd: list[str] = []
        self._client = client

    def act(self, wish: Wish) -> None:
        match wish.verb:
            case Verb.DEPLOY | Verb.UNDEPLOY:
                target = self._appliance(wish)
                self.ask(f"/virtualappliances/{target}/{wish.verb}", target)
            case Verb.VM:
                self._act_on_vm(wish)
            case Verb.CANCEL:
                self._cancel(wish)

    def _appliance(self, wish: Wish) -> str:
        """One that nobody works on, if there is one; else the request will be refused."""
        items = self.read("/virtualappliances", limit=200)["items"]
        free = [item["id"] for item in items if not any(vm["locked_by"] for vm in item["vms"])]
        return _chosen(free or [item["id"] for item in items], wish)

    def _act_on_vm(self, wish: Wish) -> None:
        free = [vm for vm in self.read("/vms", limit=200)["items"] if not vm["locked_by"] and vm["state"] in ALLOWED]
        if not free:
            self._count("vm.locked")
            return
        vm, choice = _chosen(free, wish), wish.choice
        vm_id, allowed = vm["id"], ALLOWED[vm["state"]]
        verb, body = allowed[int(choice * len(allowed))]
        if body is not None:
            self.ask(f"/vms/{vm_id}/{verb}", vm_id, body)
        else:
            memory = MEMORIES[int(choice * 1_000) % len(MEMORIES)]
            self.ask(f"/vms/{vm_id}", vm_id, {"definition": {**vm["definition"], "memory_mib": memory}}, verb="PUT")

    def ask(self, path: str, owner: str, body: Json | None = None, verb: str = "POST") -> Json | None:
        """The task that was granted; None if it was refused. Asked again while nobody has got it."""
        send = self._client.put if verb == "PUT" else self._client.post
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                return self._grant(self._try(lambda: send(path, body or {})))
            except Refused as refused:
                self._count(refused.code)
                return None
            except Lost:
                if found := self._unknown_task_of(owner):
                    return self._grant(found)
                if time.monotonic() > deadline:
                    raise
                time.sleep(PAUSE)

    def _unknown_task_of(self, owner: str) -> Json | None:
        """The task that an unanswered request has become, if it has: we alone ask here."""
        items = self.read("/tasks", owner_id=owner, limit=5)["items"]
        return next((task for task in items if task["id"] not in self.granted and not task["parent_id"]), None)

    def _grant(self, answer: Json) -> Json | None:
        """A VM that is at no hypervisor is redefined at once, without a task."""
        if answer.get("kind") != "task":
            return None
        self.granted.add(answer["id"])
        return answer

    def _cancel(self, wish: Wish) -> None:
        """One that has not ended, if there is one; else the request will be refused."""
        opened = [task["id"] for state in OPEN for task in self.read("/tasks", state=state, limit=200)["items"]]
        if not (candidates := sorted(self.granted.intersection(opened) or self.granted)):
            return
        task = _chosen(candidates, wish)
        # Before it is asked for: an answer may get lost.
        self.cancelled.add(task)
        try:
            self._try(lambda: self._client.post(f"/tasks/{task}/cancel"))
        except Refused as refused:
            # The client asks again when an answer was lost: what refuses the second time may be what the first one did.
            if self.read(f"/tasks/{task}")["state"] != "CANCELLED":
                self.cancelled.discard(task)
            self._count(refused.code)
        except Lost:
            self.odd.append(f"whether task {task} was cancelled is not known")

    def bound(self, hypervisor: str, sessions: int) -> None:
        """Change a hypervisor's bound, however often that has to be asked for."""
        body = {"open_sessions": sessions}
        patiently(lambda: self._try(lambda: self._client.patch(f"/hypervisors/{hypervisor}", body)), Lost)

    def read(self, path: str, **filters: str | int) -> Json:
        """What the API says, once it says it."""
        return patiently(lambda: self._try(lambda: self._client.get(path, **filters)), Lost)

    def _try(self, call: Callable[[], T]) -> T:
        """Raises Refused for what the API will not do, Lost for anything that says nothing about the request."""
        try:
            return call()
        except Unreachable as error:
            raise Lost(str(error)) from error
        except Refused as refused:
            if refused.status < 500:
                raise
            self.odd.append(f"HTTP {refused.status}: {refused.message}")
            raise Lost(str(refused)) from refused

    def _count(self, code: str) -> None:
        self.refused[code] = self.refused.get(code, 0) + 1


def _chosen(among: list[T], wish: Wish) -> T:
    return among[wish.target % len(among)]
