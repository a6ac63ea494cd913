# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's figures, in Prometheus' format (docs/metrics.md).

They are read from the tables at every scrape, so that they hold for all APIs and relays together."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector
from sqlalchemy import Select, func, select

from runner_service.contract.control import SUSPECT_AFTER
from runner_service.contract.states import FINAL_TASK_STATES, TaskState

from .database import db, utc_now
from .models import Datacenter, DeadLetter, Job, Relay, Request, Runner, Task, VirtualMachine
from .services import missing
from .services.runners import GONE_AFTER

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition() -> bytes:
    """All figures as they are now."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Tables())
    return generate_latest(registry)


class _Tables(Collector):
    """Reads when it is asked."""

    def describe(self) -> Iterable[GaugeMetricFamily]:
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield from _requests()
        yield from _tasks_and_jobs()
        yield from _vms_and_letters()
        yield from _signs_of_life()


def _requests() -> Iterator[GaugeMetricFamily]:
    waiting = select(func.count()).select_from(Request).where(Request.waits_in.is_not(None))
    # By way of the tasks, of which the index finds those that have not ended.
    open_ones = (
        select(func.count()).select_from(Request).join(Task, Task.id == Request.task_id)
        .where(Task.state.in_(_OPEN), Request.outcome.is_(None), Request.published_at.is_not(None))
    )  # fmt: skip
    lost = select(func.count()).select_from(Request).where(*missing.lost())
    yield _one("millwright_lost_requests", "Requests whose message no runner and no queue has any more.", lost)
    suspects = select(func.count()).select_from(Request).where(*missing.OUT, Request.crashes >= SUSPECT_AFTER)
    told = "Published requests that broke off three runners or more."
    yield _one("millwright_suspect_requests", told, suspects)
    yield _one("millwright_outbox_requests", "Requests that wait to be published.", waiting)
    yield _one("millwright_open_requests", "Requests that were published and have not ended.", open_ones)


def _tasks_and_jobs() -> Iterator[GaugeMetricFamily]:
    tasks = select(Task.state, func.count()).where(Task.parent_id.is_(None)).group_by(Task.state)
    jobs = (
        select(Job.state, Job.operation, func.count()).join(Task, Task.id == Job.root_id)
        .where(Task.state.in_(_OPEN)).group_by(Job.state, Job.operation)
    )  # fmt: skip
    yield _many("millwright_tasks", "Tasks that were asked for, by state.", ["state"], tasks)
    yield _many("millwright_jobs", "Jobs of tasks that have not ended.", ["state", "operation"], jobs)


def _vms_and_letters() -> Iterator[GaugeMetricFamily]:
    locked = select(func.count()).select_from(VirtualMachine).where(VirtualMachine.task_id.is_not(None))
    letters = select(DeadLetter.datacenter_id, func.count()).group_by(DeadLetter.datacenter_id)
    told = "Messages that could not be handled."
    yield _one("millwright_locked_vms", "VMs that a task holds.", locked)
    yield _by_datacenter("millwright_dead_letters", told, letters)


def _signs_of_life() -> Iterator[GaugeMetricFamily]:
    yield _seen("millwright_relay_seen_seconds", "Since a relay last did its rounds.", Relay.PUBLISHES)
    yield _seen("millwright_relay_applied_seconds", "Since a relay last had applied all updates.", Relay.APPLIES)
    working = (Runner.seen_at > utc_now() - GONE_AFTER, Runner.stopping.is_(False))
    counted = select(Runner.datacenter_id, func.count()).where(*working).group_by(Runner.datacenter_id)
    yield _by_datacenter("millwright_runners", "Runners that take work.", counted)
    runners = GaugeMetricFamily(
        "millwright_runner_seen_seconds", "Since a runner was last heard of.", labels=["datacenter", "runner", "name"]
    )
    for runner in db.session.execute(select(Runner.datacenter_id, Runner.id, Runner.name, Runner.seen_at)):
        runners.add_metric([runner.datacenter_id, runner.id, runner.name], _since(runner.seen_at))
    yield runners


_OPEN = [state for state in TaskState if state not in FINAL_TASK_STATES]


def _one(name: str, help: str, count: Select[Any]) -> GaugeMetricFamily:
    return GaugeMetricFamily(name, help, value=db.session.scalar(count) or 0)


def _many(name: str, help: str, labels: list[str], counts: Select[*tuple[Any, ...]]) -> GaugeMetricFamily:
    """The last column is the count, those before it are the labels."""
    family = GaugeMetricFamily(name, help, labels=labels)
    for *values, count in db.session.execute(counts):
        family.add_metric([str(value) for value in values], count)
    return family


def _by_datacenter(name: str, help: str, counts: Select[*tuple[Any, ...]]) -> GaugeMetricFamily:
    """Every datacenter has a figure, be it 0: an alarm sees no change where there was nothing before."""
    found = dict.fromkeys(db.session.scalars(select(Datacenter.id)), 0) | dict(db.session.execute(counts).all())
    family = GaugeMetricFamily(name, help, labels=["datacenter"])
    for datacenter_id, count in found.items():
        family.add_metric([datacenter_id], count)
    return family


def _seen(name: str, help: str, row: int) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, help, labels=[])
    if seen_at := db.session.scalar(select(Relay.seen_at).filter_by(id=row)):
        family.add_metric([], _since(seen_at))
    return family


def _since(moment: datetime | None) -> float:
    return (utc_now() - moment).total_seconds() if moment else 0.0
