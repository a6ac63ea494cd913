# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One seed, carried out: chaos, calm, judgement, and the end of all that it has made."""

from __future__ import annotations

import shutil
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools.chaos.actor import Actor, Patient
from tools.chaos.audit import judge
from tools.chaos.coroner import Coroner
from tools.chaos.effort import processor_seconds
from tools.chaos.hosts import FakeHost, Hypervisor
from tools.chaos.keeper import Keeper, Platform, tidy
from tools.chaos.pattern import TOKEN, Pattern
from tools.chaos.plan import Plan
from tools.chaos.seen import Finding, Kind, Snapshot
from tools.chaos.servers import Server, Servers
from tools.chaos.site import Site
from tools.services import Services, free_port
from tools.waiting import wait_until
from webapi.cli.client import Client

if TYPE_CHECKING:
    from tools.chaos.guests import Libvirt

#: Once nothing is killed any more and all hypervisors are quick, all tasks end. How long that takes depends on the
#: machine; a platform that does nothing for so many seconds will not do anything, and none may take longer than LAST.
BOUND, LAST = 120, 600
BACK_TIMEOUT = 90
#: Seconds between two looks at what has not ended: every look costs the API what an operation would.
LOOK = 0.6


@dataclass
class Result:
    """What one seed has come to."""

    seed: int
    form: str
    vms: int
    seconds: float = 0.0
    #: Of the processor, by all that the seed has started; and how long its parts took by the clock.
    cpu_seconds: float = 0.0
    parts: dict[str, float] = field(default_factory=dict)
    operations: int = 0
    tasks: int = 0
    cancels: int = 0
    #: Tasks that had not ended when the chaos did, and how long they took from then on.
    open_tasks: int = 0
    settled_in: float = 0.0
    kills: dict[str, int] = field(default_factory=dict)
    #: Processes that ended by themselves and had to be started again.
    ended: dict[str, int] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)
    odd: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    #: Where what a failed seed has left is kept.
    kept: str = ""

    def to_dict(self) -> dict[str, Any]:
        told = {name: value for name, value in vars(self).items() if name != "findings"}
        counts = {kind.value: sum(finding.kind is kind for finding in self.findings) for kind in Kind}
        return {**told, **counts, "details": [f"{finding.kind}: {finding.text}" for finding in self.findings]}


@dataclass(frozen=True)
class Home:
    """What a job has for all its seeds, and where it keeps what failed ones have left."""

    directory: Path
    kept: Path
    servers: Servers
    pattern: Pattern


class Trial:
    """The run of one seed in a directory of its own."""

    def __init__(self, plan: Plan, home: Home):
        self._plan, self._home = plan, home
        self._directory = home.directory / f"seed-{plan.seed}"
        self._names = ["api", "relay", *(f"runner-{number}" for number in range(plan.runners))]
        self._libvirt: Libvirt | None = None
        self.result = Result(seed=plan.seed, form=plan.size.form, vms=len(plan.vms))

    def run(self) -> Result:
        """The result. What the seed has left is kept only if something was found."""
        began, effort = time.monotonic(), processor_seconds()
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        with self._home.servers.fresh() as services:
            self._home.pattern.copy(services, self._directory)
            self._run_with(services)
        self.result.seconds = round(time.monotonic() - began, 1)
        self.result.cpu_seconds = round(processor_seconds() - effort, 1)
        self._keep()
        return self.result

    def _keep(self) -> None:
        """What a failed seed has left, with the servers' logs; nothing of a clean one, nor of an earlier try."""
        kept = self._home.kept / str(self._plan.seed)
        shutil.rmtree(kept, ignore_errors=True)
        if not self.result.findings:
            shutil.rmtree(self._directory)
            return
        shutil.move(self._directory, kept)
        for log in self._home.servers.logs():
            shutil.copy(log, kept)
        self.result.kept = str(kept)

    def _run_with(self, services: Services) -> None:
        platform = Platform(self._directory, services, f"127.0.0.1:{free_port()}", one_machine=self._plan.one_machine)
        try:
            with self._part("start"):
                platform.start_api()
            with Patient(platform.api_url, platform.token(TOKEN)) as client, self._hosts() as hosts:
                site = Site(client, hosts, platform.public_key())
                self._strain(replace(platform, datacenter_id=site.datacenter["id"]), client, site)
        except Exception as error:  # noqa: BLE001  # a seed that cannot be carried out is a finding; others can
            self._find(Kind.BROKEN, f"{type(error).__name__}: {error}")
            (self._directory / "harness.log").write_text(traceback.format_exc())
        finally:
            with self._part("end"):
                tidy(platform, self._names)

    @contextmanager
    def _part(self, name: str) -> Iterator[None]:
        """A part of the seed, whose time is noted."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.result.parts[name] = round(time.monotonic() - began, 1)

    @contextmanager
    def _hosts(self) -> Iterator[list[Hypervisor]]:
        if not self._plan.real:
            yield [FakeHost(self._directory / f"host-{number}", told) for number, told in enumerate(self._plan.hosts)]
            return
        from tools.chaos.guests import GuestHost, alone, pool_for  # Only where there is libvirt.

        with alone(self._home.directory.parent) as self._libvirt, pool_for(self._plan.seed) as pool:
            yield [GuestHost(pool, self._plan.hosts[0])]

    def _strain(self, platform: Platform, client: Client, site: Site) -> None:
        for name in self._names:
            platform.begin(name)
        with self._part("furnish"):
            site.furnish(self._plan)
        actor = Actor(client)
        coroner = Coroner(host.directory for host in site.hosts if isinstance(host, FakeHost))
        servers = {**self._home.servers.each(), **({"libvirtd": self._libvirt} if self._libvirt else {})}
        keeper = Keeper(platform, servers, self._names)
        coroner.start()
        keeper.start()
        try:
            with self._part("rage"):
                self._rage(keeper, actor, site)
            with self._part("settle"):
                self._settle(platform, servers, actor, site)
            self._judge(site.snapshot(actor, coroner.deaths, keeper.struck), actor)
            with self._part("clear"):
                self._clear(actor, site)
        finally:
            keeper.close()
            coroner.close()
            self._note(keeper, actor)

    def _rage(self, keeper: Keeper, actor: Actor, site: Site) -> None:
        """Blows fall on time, whatever those who ask the API wait for."""
        for host in site.hosts:
            host.behave(self._plan)
        began = time.monotonic()
        changes = [(change.at, lambda change=change: site.change(actor, change)) for change in self._plan.changes]
        wishes = [(wish.at, lambda wish=wish: actor.act(wish)) for wish in self._plan.wishes]
        with ThreadPoolExecutor(2) as beside:
            others = [beside.submit(_on_time, began, events) for events in (self._events(keeper, site), changes)]
            _on_time(began, wishes)
            for other in others:
                other.result()

    def _events(self, keeper: Keeper, site: Site) -> list[tuple[float, Callable[[], None]]]:
        events: list[tuple[float, Callable[[], None]]] = []
        for blow in self._plan.blows:
            events.append((blow.at, lambda blow=blow: keeper.strike(blow)))
        for host in site.hosts:
            events += self._darkness(host)
        return sorted(events, key=lambda event: event[0])

    def _darkness(self, host: Hypervisor) -> list[tuple[float, Callable[[], None]]]:
        if host.told.dark is None:
            return []
        begin, end = host.told.dark
        return [(begin, lambda: host.behave(self._plan, dark=True)), (end, lambda: host.behave(self._plan))]

    def _settle(self, platform: Platform, servers: dict[str, Server], actor: Actor, site: Site) -> None:
        """Nothing is killed any more, all hypervisors are quick: now everything has to end."""
        for host in site.hosts:
            host.calm_down()
        for server in servers.values():
            server.start()
        wait_until(lambda: all(platform.process(name).pid() for name in self._names), BACK_TIMEOUT, "all processes")
        actor.read("/health")
        self.result.open_tasks = len(site.open_tasks())
        self.result.settled_in = self._wait_for_ends(site)

    def _wait_for_ends(self, site: Site) -> float:
        """How long it took. Tasks that do not end are found by the judgement."""
        began = changed = time.monotonic()
        before = None
        while (opened := site.open_tasks()) and time.monotonic() < min(changed + BOUND, began + LAST):
            pulse = ({task["id"] for task in opened}, [host.pulse() for host in site.hosts])
            if pulse != before:
                before, changed = pulse, time.monotonic()
            time.sleep(LOOK)
        return round(time.monotonic() - began, 1)

    def _judge(self, seen: Snapshot, actor: Actor) -> None:
        spans = sum(len(host.spans) for host in seen.hosts)
        self.result.operations = spans or sum(len(task.jobs) for task in seen.tasks)
        self.result.tasks, self.result.cancels = len(actor.granted), len(actor.cancelled)
        self.result.findings += judge(seen)

    def _clear(self, actor: Actor, site: Site) -> None:
        """Refresh what nobody can tell, undeploy all; nothing may be left."""
        for vm in site.vms():
            if vm["state"] == "UNKNOWN":
                actor.ask(f"/vms/{vm['id']}/refresh", vm["id"])
        self._wait_for_ends(site)
        for appliance in site.appliances:
            actor.ask(f"/virtualappliances/{appliance['id']}/undeploy", appliance["id"])
        self._wait_for_ends(site)
        for host in site.hosts:
            seen = host.seen({}, ())
            for what in [*(machine.name for machine in seen.machines), *sorted(seen.volumes)]:
                self._find(Kind.LEFT, f"{seen.name} still has {what} after all was undeployed")

    def _note(self, keeper: Keeper, actor: Actor) -> None:
        self.result.kills = dict(sorted(keeper.kills.items()))
        self.result.ended = dict(keeper.ended)
        self.result.refused, self.result.odd = actor.refused, actor.odd
        for trouble in keeper.trouble:
            self._find(Kind.BROKEN, trouble)

    def _find(self, kind: Kind, text: str) -> None:
        self.result.findings.append(Finding(kind, text))


def _on_time(began: float, events: list[tuple[float, Callable[[], None]]]) -> None:
    """Each at its time, or as soon as the one before it has ended."""
    for at, act in events:
        time.sleep(max(0.0, began + at - time.monotonic()))
        act()
