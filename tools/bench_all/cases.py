# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cases of the benchmark, by name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tools.bench_all import community, hosts, names, slow
from tools.bench_all import crowd as a_crowd
from tools.bench_all import vcenter as a_vcenter
from tools.bench_all.contest import Contest
from tools.bench_all.hosts import LibvirtHost
from tools.bench_all.house import Tenant, house
from tools.bench_all.place import RUN, vm_names
from tools.bench_all.plays import Plays
from tools.bench_all.rounds import Turn, alternate
from tools.bench_all.rows import Reading
from tools.bench_all.usage import pss_of
from tools.chaos.servers import Servers

#: VMs that are deployed to fill caches and load what is loaded once, before anything counts.
WARM_UP = 4
QUIET = 10.0
#: An appliance of so many VMs, deployed and undeployed, is so many jobs.
GROWTH_VMS, JOBS_OF_A_VM = 25, 4


@dataclass(frozen=True)
class Sizes:
    """How much is measured; ``vms`` overrides what each case has."""

    rounds: int = 5
    vms: int | None = None
    #: One VM is done so often in each round.
    repeats: int = 10
    hypervisors: int = 20
    jobs: int = 2000


def zero_cost(sizes: Sizes, servers: Servers) -> Iterator[Reading]:
    with _contest(servers, hosts.zero_cost, sizes.vms or 100) as contest, contest.plays.warm() as warm:
        yield from alternate(contest.all_turns(warm), sizes.rounds)


def qemu(sizes: Sizes, servers: Servers) -> Iterator[Reading]:
    with _contest(servers, hosts.qemu, sizes.vms or 20) as contest, contest.plays.warm() as warm:
        yield from alternate(contest.all_turns(warm), sizes.rounds)


def one_vm(sizes: Sizes, servers: Servers) -> Iterator[Reading]:
    with _contest(servers, hosts.zero_cost, 1) as contest:
        yield from alternate([contest.rest, contest.community()], sizes.rounds * sizes.repeats)


@contextmanager
def _contest(
    servers: Servers, host_in: Callable[[Path], AbstractContextManager[LibvirtHost]], vms: int
) -> Iterator[Contest]:
    community.install()
    with host_in(RUN / "v") as host, house(servers, RUN / "house") as tenant:
        tenant.run(1)
        tenant.register([host])
        _warm_up(tenant, host)
        yield Contest(host, tenant, Plays(RUN / "plays"), vms)


def _warm_up(tenant: Tenant, host: hosts.LibvirtHost | slow.SlowHost, vms: int = WARM_UP) -> None:
    _deploy_and_undeploy(tenant, host, vms)


def _deploy_and_undeploy(tenant: Tenant, host: hosts.LibvirtHost | slow.SlowHost, vms: int) -> None:
    appliance = tenant.appliance(host, vm_names(vms))
    tenant.deploy(appliance)
    tenant.undeploy(appliance)


def many_hypervisors(sizes: Sizes, servers: Servers) -> Iterator[Reading]:
    each = sizes.vms or 20
    with house(servers, RUN / "house") as tenant:
        machines = [slow.SlowHost(RUN / "house" / f"fake-{number}") for number in range(sizes.hypervisors)]
        tenant.run(1)
        tenant.register(machines)
        turns: list[Turn] = [partial(_at_many, tenant, machines, each, number) for number in (1, 2, 4)]
        yield from alternate([lambda: [Reading(names.IDEAL, slow.ideal(each))], *turns], sizes.rounds)


def _at_many(tenant: Tenant, machines: Sequence[slow.SlowHost], each: int, runners: int) -> Iterator[Reading]:
    tenant.run(runners)
    _warm_up(tenant, machines[0], len(machines))
    appliance = tenant.appliance(machines[0], vm_names(each * len(machines)))
    for machine in machines:
        machine.slow()
    yield Reading(names.runners(runners), tenant.deploy(appliance))
    slow.require(machines, each)
    for machine in machines:
        machine.quick()
    tenant.undeploy(appliance)


def idle(sizes: Sizes, servers: Servers) -> Iterator[Reading]:
    for _ in range(sizes.rounds):
        with house(servers, RUN / "house") as tenant:
            tenant.run(1)
            time.sleep(QUIET)
            yield from _memory(tenant)
    with hosts.zero_cost(RUN / "v") as host, house(servers, RUN / "house") as tenant:
        tenant.run(1)
        tenant.register([host])
        yield from _growth(tenant, host, sizes.jobs)


def _memory(tenant: Tenant) -> Iterator[Reading]:
    used = pss_of(tenant.parts())
    yield Reading(names.TOTAL, sum(used.values()), "MB")
    yield from (Reading(part, megabytes, "MB") for part, megabytes in used.items())


def _growth(tenant: Tenant, host: hosts.LibvirtHost, jobs: int) -> Iterator[Reading]:
    """Of all processes, and what they use together after work; first cycles load what is loaded once."""
    for _ in range(3):
        _deploy_and_undeploy(tenant, host, GROWTH_VMS)
    before, done = _after_a_pause(tenant), 0
    while done < jobs:
        _deploy_and_undeploy(tenant, host, GROWTH_VMS)
        done += GROWTH_VMS * JOBS_OF_A_VM
    after = _after_a_pause(tenant)
    yield Reading(names.AFTER_WORK, sum(after.values()), "MB")
    yield from (Reading(names.growth(part, done), after[part] - before[part], "MB") for part in before)


def _after_a_pause(tenant: Tenant) -> dict[str, float]:
    """Memory once the runs have ended."""
    time.sleep(3)
    return pss_of(tenant.parts())


def crowd(sizes: Sizes, _servers: Servers) -> Iterator[Reading]:
    vms = sizes.vms or 1000
    with hosts.zero_cost(RUN / "v") as host:
        a_crowd.fill(host, vms)
        for _ in range(sizes.rounds):
            yield from a_crowd.readings(host, vms)


def vcenter(sizes: Sizes, _servers: Servers) -> Iterator[Reading]:
    vms = sizes.vms or 1000
    with a_vcenter.crowded(RUN / "vcsim", vms) as driver:
        for _ in range(sizes.rounds):
            yield from a_vcenter.readings(driver, vms)


Case = Callable[[Sizes, Servers], Iterator[Reading]]

CASES: dict[str, Case] = {
    names.ZERO_COST: zero_cost,
    names.QEMU: qemu,
    names.ONE_VM: one_vm,
    names.MANY: many_hypervisors,
    names.IDLE: idle,
    names.CROWD: crowd,
    names.VCENTER: vcenter,
}
