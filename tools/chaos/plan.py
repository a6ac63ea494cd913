# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens in one seed: pure, and the same for the same seed. Times are in seconds from the chaos' beginning."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import Any

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


class Verb(StrEnum):
    """What is asked of the API."""

    DEPLOY = "deploy"
    UNDEPLOY = "undeploy"
    #: Something that the VM's state allows.
    VM = "vm"
    #: Take back what was asked for last and has not ended.
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
class Size:
    """How much happens in one seed: bounds, both inclusive."""

    seconds: tuple[int, int]
    hosts: tuple[int, int]
    runners: tuple[int, int]
    appliances: tuple[int, int]
    vms_each: tuple[int, int]
    wishes: tuple[int, int]
    blows: tuple[int, int]


SHORT = Size(
    seconds=(12, 15), hosts=(2, 3), runners=(2, 2), appliances=(3, 4), vms_each=(3, 4), wishes=(10, 14), blows=(4, 5)
)
LONG = Size(
    seconds=(30, 60), hosts=(2, 6), runners=(1, 3), appliances=(4, 9), vms_each=(2, 7), wishes=(30, 70), blows=(3, 9)
)


#: Real guests: few, as each takes its memory and its time to boot.
REAL = Size(
    seconds=(20, 35), hosts=(1, 1), runners=(1, 2), appliances=(2, 2), vms_each=(2, 2), wishes=(8, 12), blows=(3, 5)
)


@dataclass(frozen=True)
class Plan:
    """One seed, whole."""

    seed: int
    seconds: float
    hosts: tuple[Host, ...]
    #: Names of the VMs of every appliance; no name comes twice.
    appliances: tuple[tuple[str, ...], ...]
    failures: tuple[Failure, ...]
    wishes: tuple[Wish, ...]
    blows: tuple[Blow, ...]
    #: Whether the runners are on one machine, and so clean up after each other.
    one_machine: bool
    runners: int
    size: Size = LONG

    @property
    def real(self) -> bool:
        """Guests of libvirt, whose daemon is killed too, instead of VMs of fake hypervisors."""
        return self.size is REAL

    @property
    def form(self) -> str:
        """The option that gives this plan for its seed."""
        return {SHORT: " --short", REAL: " --libvirt"}.get(self.size, "")

    @property
    def vms(self) -> tuple[str, ...]:
        return tuple(name for names in self.appliances for name in names)


def plan_of(seed: int, size: Size) -> Plan:
    dice = Random(seed)
    seconds = float(dice.randint(*size.seconds))
    runners = dice.randint(*size.runners)
    appliances = tuple(_appliances(dice, size))
    names = [name for vms in appliances for name in vms]
    return Plan(
        seed=seed,
        seconds=seconds,
        runners=runners,
        appliances=appliances,
        hosts=tuple(_host(dice, seconds, size) for _ in range(dice.randint(*size.hosts))),
        failures=() if size is REAL else tuple(failure for name in names for failure in _failures(dice, name)),
        wishes=tuple(_wishes(dice, seconds, len(appliances), dice.randint(*size.wishes))),
        blows=tuple(_blows(dice, seconds, runners, _REAL_VICTIMS if size is REAL else _VICTIMS, size.blows)),
        one_machine=dice.random() < 0.5,
        size=size,
    )


def _appliances(dice: Random, size: Size) -> Iterator[tuple[str, ...]]:
    for number in range(dice.randint(*size.appliances)):
        yield tuple(f"a{number}v{place}" for place in range(dice.randint(*size.vms_each)))


def _host(dice: Random, seconds: float, size: Size) -> Host:
    # With some, most of a run is the operation itself, and not Ansible's start: then a kill is sure to hit one.
    pace = SNAIL if dice.random() < 0.3 else 1
    delays = {operation: round(dice.uniform(QUICKEST, most) * pace, 2) for operation, most in SLOWEST.items()}
    begin = dice.uniform(0, seconds)
    dark = (begin, begin + dice.uniform(1, 6)) if dice.random() < 0.25 and size is not REAL else None
    return Host(sessions=dice.randint(1, 4), delays=delays, dark=dark)


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


def _wishes(dice: Random, seconds: float, appliances: int, count: int) -> Iterator[Wish]:
    """Half of the appliances are deployed first; then anything, in the order of time."""
    for target in range(appliances // 2):
        yield Wish(at=target * 0.3, verb=Verb.DEPLOY, target=target, choice=0)
    for at in sorted(dice.uniform(2, seconds) for _ in range(count)):
        verb = dice.choices((Verb.VM, Verb.UNDEPLOY, Verb.DEPLOY, Verb.CANCEL), weights=(5, 2, 3, 1))[0]
        yield Wish(at=at, verb=verb, target=dice.randrange(1_000), choice=dice.random())


#: How often whom: runners most, as they hold most that can be lost.
_VICTIMS = {"runner": 6, "api": 2, "relay": 3, "rabbitmq": 2, "mariadb": 2}
_REAL_VICTIMS = {"runner": 4, "relay": 1, "libvirtd": 4}


def _blows(
    dice: Random, seconds: float, runners: int, victims: dict[str, int], count: tuple[int, int]
) -> Iterator[Blow]:
    for at in sorted(dice.uniform(1, seconds) for _ in range(dice.randint(*count))):
        victim = dice.choices(list(victims), weights=list(victims.values()))[0]
        how, down = How.KILL, dice.uniform(0, 3)
        if victim == "runner":
            victim = f"runner-{dice.randrange(runners)}"
            how = dice.choices((How.KILL, How.TERM, How.STOP), weights=(6, 2, 2))[0]
            down = dice.uniform(1, LONGEST_STOP) if how is How.STOP else down
        yield Blow(at=at, victim=victim, how=how, down=down)
