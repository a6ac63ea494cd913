# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners, as they last spoke of themselves."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import plain
from runner_service.contract.control import Heartbeat, RunnerStatus

from ..database import db, transaction, utc_now
from ..models import Datacenter, Hypervisor, Runner
from . import rows
from .paging import Page, listing

#: Who has not been heard of for so long is gone: one that works says something every second.
GONE_AFTER = timedelta(seconds=5)
_FORGOTTEN_AFTER = timedelta(hours=1)

log = logging.getLogger(__name__)


class RunnerState(StrEnum):
    ALIVE = "alive"
    #: It lets what runs end, and takes no more work.
    STOPPING = "stopping"
    #: It said that it stops, and was not heard of since.
    STOPPED = "stopped"
    #: It was not heard of for some seconds, and had not said that it stops.
    SILENT = "silent"


@dataclass(frozen=True)
class Heard:
    """What a runner said of itself, and when that came in."""

    datacenter_id: str
    status: RunnerStatus
    at: datetime


@dataclass(frozen=True)
class Beat:
    """A runner's heartbeat, and when it came in."""

    said: Heartbeat
    at: datetime


@dataclass(frozen=True)
class LaneView:
    """One hypervisor's lane at a runner."""

    hypervisor_id: str
    #: None: the hypervisor has been deleted.
    hypervisor_name: str | None
    sessions: int
    in_use: int
    waiting: int


@dataclass(frozen=True)
class RunnerView:
    """A runner as it is shown: what it said, what that means now, and names for ids."""

    row: Runner
    state: RunnerState
    datacenter_name: str
    lanes: Sequence[LaneView]

    @property
    def sessions_in_use(self) -> int:
        return sum(lane.in_use for lane in self.lanes)


def state_of(runner: Runner, now: datetime) -> RunnerState:
    if now - runner.seen_at < GONE_AFTER:
        return RunnerState.STOPPING if runner.stopping else RunnerState.ALIVE
    return RunnerState.STOPPED if runner.stopping else RunnerState.SILENT


# -- what relays write


def write_down(heard: Collection[Heard], beats: Collection[Beat] = ()) -> set[str]:
    """Keep what runners said, and forget those that were not heard of for an hour. Gives the datacenters in which one
    was heard of that is new, or was silent."""
    try:
        return _write_down(heard, beats)
    except IntegrityError as error:
        # Another relay met the same new runner at the same moment. It says all of that again within a second.
        log.info("statuses of runners not written down: %s", error.orig)
        return set()


@transaction
def _write_down(heard: Collection[Heard], beats: Collection[Beat]) -> set[str]:
    db.session.execute(delete(Runner).where(Runner.seen_at < utc_now() - _FORGOTTEN_AFTER))
    ids = {each.status.runner_id for each in heard} | {beat.said.runner_id for beat in beats}
    known = {row.id: row for row in rows.lock_all(Runner, sorted(ids))} if ids else {}
    newcomers = {each.datacenter_id for each in heard if _is_new(known.get(each.status.runner_id), each.at)}
    for each in heard:
        row = known.get(each.status.runner_id)
        if row is None:
            db.session.add(Runner(id=each.status.runner_id, datacenter_id=each.datacenter_id, **_columns(each)))
        elif each.status.sequence > row.sequence:
            for name, value in _columns(each).items():
                setattr(row, name, value)
    for beat in beats:
        row = known.get(beat.said.runner_id)
        # One whose status has not come in yet is not shown before it has: within seconds.
        if row is not None and beat.said.sequence >= row.sequence:
            if _is_new(row, beat.at):
                newcomers.add(row.datacenter_id)
            row.stopping, row.seen_at = beat.said.stopping, beat.at
    return newcomers


def _is_new(runner: Runner | None, now: datetime) -> bool:
    return runner is None or now - runner.seen_at >= GONE_AFTER


def _columns(heard: Heard) -> dict[str, Any]:
    status = heard.status
    return {
        "name": status.name[:80], "sequence": status.sequence, "stopping": status.stopping, "status": plain(status),
        "seen_at": heard.at,
    }  # fmt: skip


# -- what people read


def get(runner_id: str) -> RunnerView:
    return _views([rows.find(Runner, runner_id)])[0]


def list_runners(**arguments: Any) -> Page[Any]:
    page = listing(Runner, **arguments)
    return Page(_views(page.items), page.next)


def _views(runners: Sequence[Runner]) -> list[RunnerView]:
    lanes = [lane for runner in runners for lane in runner.status["lanes"]]
    hypervisors = _names(Hypervisor, {lane["hypervisor_id"] for lane in lanes})
    datacenters = _names(Datacenter, {runner.datacenter_id for runner in runners})
    now = utc_now()
    return [
        RunnerView(runner, state_of(runner, now), datacenters[runner.datacenter_id], _lanes(runner, hypervisors))
        for runner in runners
    ]


def _names(model: type[Datacenter | Hypervisor], ids: Iterable[str]) -> dict[str, str]:
    return dict(db.session.execute(select(model.id, model.name).where(model.id.in_(ids))).all())


def _lanes(runner: Runner, names: dict[str, str]) -> list[LaneView]:
    lanes = [LaneView(hypervisor_name=names.get(lane["hypervisor_id"]), **lane) for lane in runner.status["lanes"]]
    return sorted(lanes, key=lambda lane: (-lane.waiting, lane.hypervisor_name or ""))


def live(datacenter_ids: Collection[str]) -> list[Runner]:
    """Those of some datacenters that were heard of just now, the latest last."""
    heard = select(Runner).where(Runner.datacenter_id.in_(datacenter_ids), Runner.seen_at > utc_now() - GONE_AFTER)
    return list(db.session.scalars(heard.order_by(Runner.seen_at)))
