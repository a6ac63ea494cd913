# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the API tells all runners of a datacenter, and what runners say of themselves.

Any of these messages may get lost: whoever sends one repeats it until it has had its effect, or sends a newer one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import rule

from .messages import VERSION, InvalidMessage, decode, encode

_ID = r"[A-Za-z0-9_.-]{1,64}"


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """A hypervisor's bound; it holds for requests, too, that were made before it."""

    hypervisor_id: str = rule("The hypervisor.", pattern=_ID)
    open_sessions: int = rule("How many operations may run on it at once.", minimum=1, maximum=256)
    power_passes: bool = rule("Whether power operations may start although all sessions are in use.", default=False)


@dataclass(frozen=True, kw_only=True)
class TenantSessions:
    """A tenant's bound on every hypervisor; it holds for requests, too, that were made before it."""

    tenant: str = rule("The virtual datacenter.", pattern=_ID)
    open_sessions: int | None = rule(
        "How many of its operations may run on a hypervisor at once; absent: no bound of its own.",
        None,
        minimum=1,
        maximum=256,
    )


#: How often runners may have broken off while they carried a request out, before it is carried out alone; and before it
#: is begun only after a pause, as it may be what brings them down.
SUSPECT_AFTER, PAUSED_AFTER = 3, 6


@dataclass(frozen=True, kw_only=True)
class Word:
    """The API's answer to AGAIN: whether the request is to be carried out."""

    request_id: str = rule("The request that a runner asked about.", pattern=_ID)
    attempt: int = rule("The attempt that asked.", minimum=1)
    go: bool = rule("Carry it out. False: it has ended, acknowledge and forget it.")
    crashes: int = rule("How often a runner broke off after it had begun it.", 0, minimum=0)
    sessions: Sessions | None = rule("The bound of its hypervisor now; what the request says may be old.", None)
    tenant: TenantSessions | None = rule("The bound of its tenant now.", None)


@dataclass(frozen=True, kw_only=True)
class Cancel:
    """Stop a request and take back what it did. Harmless for one that has ended."""

    request_id: str = rule("The request.", pattern=_ID)


@dataclass(frozen=True, kw_only=True)
class Drop:
    """A request has ended without the runner that works on it: stop what runs of it, undo nothing, acknowledge it and
    say nothing more. Harmless for one that nobody holds."""

    request_id: str = rule("The request.", pattern=_ID)


class WaitsFor(StrEnum):
    """What a job that could run waits for."""

    #: A free session of its hypervisor.
    SESSION = "session"
    #: Another request, which holds its VM.
    VM = "vm"
    #: The time of its next try.
    RETRY = "retry"
    #: The API's word, because its request may have been begun before.
    WORD = "word"
    #: The end of what a runner that was cut off may still be doing.
    FENCE = "fence"
    #: The end of a pause, as many runners broke off while they carried its request out.
    PAUSE = "pause"
    #: All other work to end. Only runners of earlier versions say so: their suspects had them for themselves.
    ALONE = "alone"


@dataclass(frozen=True, kw_only=True)
class WaitingJob:
    """One job that waits, as its runner knows it."""

    job_id: str = rule("The job.", pattern=_ID)
    waits_for: WaitsFor = rule("What it waits for.")
    place: int | None = rule("Of one that waits for a session: its place in the lane, from 1.", None, minimum=1)
    behind: str | None = rule("Of one that waits for a VM: the request that holds it.", None)


@dataclass(frozen=True, kw_only=True)
class LaneStatus:
    """One hypervisor's lane."""

    hypervisor_id: str = rule("The hypervisor.", pattern=_ID)
    sessions: int = rule("How many operations may run at once.")
    in_use: int = rule("How many run.")
    waiting: int = rule("How many jobs wait for a session.")


#: How many waiting jobs a status names; lanes share them evenly, as far as they need them.
MAX_WAITING_NAMED = 2_000
#: How many requests that it holds a status names.
MAX_HELD_NAMED = 5_000


@dataclass(frozen=True, kw_only=True)
class Heartbeat:
    """That a runner lives, and whether it takes work: all that the others need to share the work with it. Said every
    second, and a last time when it stops."""

    runner_id: str = rule("Identifies the process; a new one for each start.", pattern=_ID)
    sequence: int = rule("Counts the heartbeats of this process.", minimum=1)
    stopping: bool = rule("It takes no more work.", default=False)


@dataclass(frozen=True, kw_only=True)
class RunnerStatus:
    """What a runner is and does, said to the API: when that has changed, but only every other second what waits, and
    every 5 seconds anyhow. It has the sequence of the heartbeat that goes with it."""

    runner_id: str = rule("Identifies the process; a new one for each start.", pattern=_ID)
    name: str = rule("What it calls itself.", max_length=255)
    sequence: int = rule("Grows with each status of this process.", minimum=1)
    started_at: str = rule("When it started, RFC 3339 in UTC.")
    stopping: bool = rule("It takes no more work.", default=False)
    partitions: tuple[int, ...] = rule("The partitions that it consumes.", ())
    draining: tuple[int, ...] = rule("Those that it is giving up, once what runs there has ended.", ())
    max_runs: int = rule("How many playbooks it runs at once.", 1)
    running: int = rule("How many run.", 0)
    requests: int = rule("How many requests it holds.", 0)
    holds: tuple[str, ...] = rule("Their ids; those of fewer requests than it holds: nobody knows which others.", ())
    waiting: int = rule("How many jobs wait for a session.", 0)
    lanes: tuple[LaneStatus, ...] = rule("Lanes in which something runs or waits.", ())
    jobs: tuple[WaitingJob, ...] = rule("Jobs that wait, the first of each lane.", ())


Control = Word | Cancel | Drop | Sessions | TenantSessions | Heartbeat | RunnerStatus

_KINDS: dict[str, type[Any]] = {
    "word": Word, "cancel": Cancel, "drop": Drop, "sessions": Sessions, "tenant_sessions": TenantSessions,
    "heartbeat": Heartbeat, "runner_status": RunnerStatus,
}  # fmt: skip
_NAMES = {kind: name for name, kind in _KINDS.items()}


@dataclass(frozen=True, kw_only=True)
class _Envelope:
    version: int = rule("Version of this message.", VERSION, minimum=1)
    kind: str = rule("Which message it is.")
    body: dict[str, Any] = rule("The message.")


def decode_control(body: bytes) -> Control:
    """Read a control message. Raises InvalidMessage, also for kinds that only a newer sender knows."""
    envelope = decode(_Envelope, body)
    if envelope.kind not in _KINDS:
        raise InvalidMessage(f"kind: {envelope.kind!r} is none of {', '.join(_KINDS)}")
    message: Control = decode(_KINDS[envelope.kind], encode(envelope.body))
    return message


def encode_control(message: Control) -> bytes:
    """The message as it goes over the wire, with its kind."""
    return encode({"version": VERSION, "kind": _NAMES[type(message)], "body": message})
