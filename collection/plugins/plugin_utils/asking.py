# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Asking many hypervisors at once, each in a process of its own.

Ansible forks its workers from the process that reads the inventory. An SDK's threads and connections must not be in
that process, so they live and end in a child. A child that hangs is killed, and costs nobody else anything.
"""

from __future__ import annotations

import json
import multiprocessing
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from ..module_utils.connection import failure, open_hypervisor
from ..module_utils.drivers.errors import Unreachable
from .hypervisors import Hypervisor

#: So many are asked at the same moment.
AT_ONCE = 16
#: Ansible's own way of starting processes. What a child needs is loaded already.
_FORK = multiprocessing.get_context("fork")

#: The VMs of one hypervisor as plain data, or the failure as modules tell it.
Answer = dict[str, Any]


@dataclass(frozen=True)
class _Question:
    hypervisor: Hypervisor
    process: BaseProcess
    answers: Connection
    deadline: float


def answers(hypervisors: Iterable[Hypervisor], timeout: float) -> Iterator[tuple[Hypervisor, Answer]]:
    """Each hypervisor with ``{"vms": [...]}`` or ``{"failure": {...}}``, in the order in which they answer. One that
    takes more than ``timeout`` seconds has failed as unreachable. No process is left."""
    waiting, asked = list(hypervisors), []
    try:
        while waiting or asked:
            while waiting and len(asked) < AT_ONCE:
                asked.append(_ask(waiting.pop(0), timeout))
            pause = min(one.deadline for one in asked) - time.monotonic()
            ready = wait([one.answers for one in asked], max(pause, 0))
            for one in [one for one in asked if one.answers in ready or one.deadline <= time.monotonic()]:
                asked.remove(one)
                yield one.hypervisor, _answer(one, timeout)
    finally:
        for one in asked:
            _end(one)


def _ask(hypervisor: Hypervisor, timeout: float) -> _Question:
    mine, theirs = _FORK.Pipe(duplex=False)
    process = _FORK.Process(target=_tell, args=(theirs, hypervisor.params), daemon=True)
    process.start()
    theirs.close()
    return _Question(hypervisor, process, mine, time.monotonic() + timeout)


def _tell(to: Connection, params: dict[str, Any]) -> None:
    """In the child. JSON and no pickle: whatever a hypervisor says is text to the parent."""
    hidden: set[str] = set()
    try:
        with open_hypervisor(params, hidden) as driver:
            told: Answer = {"vms": [vm.to_dict() for vm in driver.list_vms()]}
    except Exception as error:  # noqa: BLE001  # the outermost: whatever happens is told, and ends no other
        told = {"failure": failure(error, hidden)}
    to.send_bytes(json.dumps(told).encode())


def _answer(one: _Question, timeout: float) -> Answer:
    try:
        if one.answers.poll():
            return dict(json.loads(one.answers.recv_bytes()))
        reason = f"no answer within {timeout:g} seconds"
    except EOFError:
        reason = "the process that asked it has died"
    finally:
        _end(one)
    return {
        "failure": failure(
            Unreachable(f"reading the VMs of {one.hypervisor.name} failed", detail=reason, here=True), set()
        )
    }


def _end(one: _Question) -> None:
    one.answers.close()
    one.process.kill()
    one.process.join()
    one.process.close()
