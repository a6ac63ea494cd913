# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in one seed: pure, and the same for the same seed and form. Times are seconds from the beginning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

from tools.chaos.sizes import REAL, Size

#: The fake driver's operations that change something, and how long each may be told to take at most.
SLOWEST = {"create": 1.5, "delete": 0.8, "update": 0.6, "power_*": 0.8}
QUICKEST = 0.05
SNAIL = 4
#: Errors that may pass, and how often one strikes a VM: always fewer times than the runner tries.
PASSING = ("driver.busy", "driver.unreachable")
FINAL = "driver.failed"
MOST_STRIKES = 2
#: A runner that is stopped longer than this is given up by its datacenter; a shorter stop is only a pause.
LONGEST_STOP = 12.0
#: A broker that is away longer than a runner has patience with it (10 s), and shorter than a start of the machine.
OUTAGE = (12.0, 30.0)
#: The victim of a rolling restart: all runners, one after the other.
RUNNERS = "runners"
MOST_SESSIONS = 4


class Verb(StrEnum):
    """What is asked of the API."""

    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"
    #: Something that the VM's state allows.
    VM = "vm"
    #: Take back something that was asked for and has not ended.
    CANCEL = "cancel"


class How(StrEnum):
    """What is done to a process."""

    KILL = "kill"
    #: A rolling restart: it may end what it does, and is started again once it has ended.
    TERM = "term"
    #: It does nothing for a while, without knowing it.
    STOP = "stop"


@dataclass(frozen=True)
class Failure:
    """What a hypervisor was told to do wrong with one VM; ``times`` None: always, until the chaos ends."""

    vm: str
    operation: str
    error: str
    times: int | None
    leave: bool

    @property
    def final(self) -> bool:
        return self.error == FINAL

    def rule(self) -> dict[str, Any]:
        """In the words of the fake driver's behaviour."""
        told = {"operation": self.operation, "vm": f"{self.vm}-*", "error": self.error, "leave": self.leave}
        return told if self.times is None else {**told, "times": self.times}


@dataclass(frozen=True)
class Host:
    """A hypervisor: its bound, how slow it is, and when it answers nobody."""

    sessions: int
    delays: dict[str, float]
    dark: tuple[float, float] | None


@dataclass(frozen=True)
class Wish:
    """Something asked of the API; ``target`` and ``choice`` are turned into what is there at that moment."""

    at: float
    verb: Verb
    target: int
    choice: float


@dataclass(frozen=True)
class Blow:
    """Something done to a process, which is ``down`` seconds without it."""

    at: float
    victim: str
    how: How
    down: float


@dataclass(frozen=True)
class Change:
    """A hypervisor has another bound from now on."""

    at: float
    host: int
    sessions: int


@dataclass(frozen=True)
class Plan:
    """One seed, whole."""

    seed: int
    seconds: float
    hosts: tuple[Host, ...]
    #: Names of the VMs of every appliance; no name comes twice.
    appliances: tuple[tuple[str, ...], ...]
    #: The bounds of the virtual datacenters, to which the appliances belong in turn.
    vdcs: tuple[int | None, ...]
    failures: tuple[Failure, ...]
    #: So long the broker is away at the beginning, while the runners have nothing to do; nothing else happens then.
    outage: float
    wishes: tuple[Wish, ...]
    blows: tuple[Blow, ...]
    changes: tuple[Change, ...]
    #: Whether the runners are on one machine, and so clean up after each other.
    one_machine: bool
    runners: int
    size: Size

    @property
    def real(self) -> bool:
        """Guests of libvirt, whose daemon is killed too, instead of VMs of fake hypervisors."""
        return self.size is REAL

    @property
    def vms(self) -> tuple[str, ...]:
        return tuple(name for names in self.appliances for name in names)


def plan_of(seed: int, size: Size) -> Plan:
    dice = Random(seed)
    outage = dice.uniform(*OUTAGE) if dice.random() < size.outage else 0.0
    time = (outage, outage + dice.randint(*size.seconds))
    runners = dice.randint(*size.runners)
    hosts = tuple(_host(dice, time, size) for _ in range(dice.randint(*size.hosts)))
    appliances = tuple(_appliances(dice, size))
    names = [name for vms in appliances for name in vms]
    changes = tuple(_changes(dice, time, hosts)) if dice.random() < size.changes else ()
    return Plan(
        seed=seed,
        seconds=time[1],
        runners=runners,
        appliances=appliances,
        hosts=hosts,
        vdcs=(None, dice.choice((None, 1, 2))),
        failures=() if size is REAL else tuple(failure for name in names for failure in _failures(dice, name)),
        outage=outage,
        wishes=tuple(_wishes(dice, time, len(appliances), dice.randint(*size.wishes))),
        blows=tuple(_blows(dice, time, runners, size, _victims(dice, size, changes))),
        changes=changes,
        one_machine=dice.random() < 0.5,
        size=size,
    )


def _appliances(dice: Random, size: Size) -> Iterator[tuple[str, ...]]:
    for number in range(dice.randint(*size.appliances)):
        yield tuple(f"a{number}v{place}" for place in range(dice.randint(*size.vms_each)))


def _host(dice: Random, time: tuple[float, float], size: Size) -> Host:
    # With some, most of a run is the operation itself, and not Ansible's start: then a kill is sure to hit one.
    pace = SNAIL if dice.random() < 0.3 else 1
    delays = {operation: round(dice.uniform(QUICKEST, most) * pace, 2) for operation, most in SLOWEST.items()}
    begin = dice.uniform(*time)
    dark = (begin, begin + dice.uniform(1, 6)) if dice.random() < 0.25 and size is not REAL else None
    return Host(sessions=dice.randint(1, MOST_SESSIONS), delays=delays, dark=dark)


def _failures(dice: Random, vm: str) -> Iterator[Failure]:
    """At most one for each operation, so that those that pass strike fewer times than a job is tried."""
    for operation in SLOWEST:
        if dice.random() >= 0.12:
            continue
        final = dice.random() < 0.3
        yield Failure(
            vm=vm,
            operation=operation,
            error=FINAL if final else dice.choice(PASSING),
            times=None if final and dice.random() < 0.5 else dice.randint(1, MOST_STRIKES),
            leave=dice.random() < 0.5,
        )


def _changes(dice: Random, time: tuple[float, float], hosts: Sequence[Host]) -> Iterator[Change]:
    """One hypervisor's bound goes up and down, while there is work."""
    host = dice.randrange(len(hosts))
    before = hosts[host].sessions
    for at in sorted(_times(dice, time, dice.randint(2, 3))):
        before = dice.choice([sessions for sessions in range(1, MOST_SESSIONS + 1) if sessions != before])
        yield Change(at=at, host=host, sessions=before)


def _wishes(dice: Random, time: tuple[float, float], appliances: int, count: int) -> Iterator[Wish]:
    """Half of the appliances are deployed first; then anything, in the order of time."""
    for target in range(appliances // 2):
        yield Wish(at=target * 0.3, verb=Verb.DEPLOY, target=target, choice=0)
    for at in sorted(dice.uniform(time[0] + 2, time[1]) for _ in range(count)):
        verb = dice.choices((Verb.VM, Verb.UNDEPLOY, Verb.DEPLOY, Verb.CANCEL), weights=(5, 2, 3, 2))[0]
        yield Wish(at=at, verb=verb, target=dice.randrange(1_000), choice=dice.random())


#: How often whom: runners most, as they hold most that can be lost.
_VICTIMS = {"runner": 6, "api": 2, "relay": 3, "rabbitmq": 2, "mariadb": 2}
_REAL_VICTIMS = {"runner": 4, "relay": 1, "libvirtd": 4}
#: Whom nobody needs for a bound to be told.
_BYSTANDERS = {"api": 1}
#: How whom: an API that is stopped is one that a client waits for, which tells nothing.
_WAYS = {"runner": {How.KILL: 6, How.TERM: 2, How.STOP: 2}, "relay": {How.KILL: 6, How.TERM: 2, How.STOP: 1}}


def _victims(dice: Random, size: Size, changes: Sequence[Change]) -> dict[str, int]:
    """Where bounds change, half of the seeds kill nobody whom that would delay: then the bound holds within seconds."""
    if size is REAL:
        return _REAL_VICTIMS
    return _BYSTANDERS if changes and dice.random() < 0.5 else _VICTIMS


def _blows(
    dice: Random, time: tuple[float, float], runners: int, size: Size, victims: dict[str, int]
) -> Iterator[Blow]:
    blows = [_blow(dice, at, runners, victims) for at in _times(dice, time, dice.randint(*size.blows))]
    if runners > 1 and victims is not _BYSTANDERS and dice.random() < size.rolling:
        blows.append(Blow(at=dice.uniform(time[0] + 1, time[1]), victim=RUNNERS, how=How.TERM, down=0))
    if time[0]:
        blows.append(Blow(at=0, victim="rabbitmq", how=How.KILL, down=time[0]))
    yield from sorted(blows, key=lambda blow: blow.at)


def _times(dice: Random, time: tuple[float, float], count: int) -> list[float]:
    return [dice.uniform(time[0] + 1, time[1]) for _ in range(count)]


def _blow(dice: Random, at: float, runners: int, victims: dict[str, int]) -> Blow:
    victim = dice.choices(list(victims), weights=list(victims.values()))[0]
    ways = _WAYS.get(victim, {How.KILL: 1})
    how = dice.choices(list(ways), weights=list(ways.values()))[0]
    down = dice.uniform(1, LONGEST_STOP) if how is How.STOP else dice.uniform(0, 3)
    name = f"runner-{dice.randrange(runners)}" if victim == "runner" else victim
    return Blow(at=at, victim=name, how=how, down=down)
