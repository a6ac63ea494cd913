# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the benchmark must show: ratios within one run, and a few plain values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from tools.bench_all import names
from tools.bench_all.rows import Row, number

#: Memory that comes and goes with the allocator's pages is no growth.
NOISE_MB = 5.0

Value = Callable[[Sequence[Row]], float | None]


@dataclass(frozen=True)
class Target:
    """Something to reach; ``value`` is None where the rows of this run do not tell it."""

    text: str
    value: Value
    limit: float
    at_least: bool = False

    def met(self, value: float) -> bool:
        return value >= self.limit if self.at_least else value <= self.limit


def median(case: str, contestant: str, unit: str = "s") -> Value:
    """The contestant's median; a name that ends with * stands for all that begin so: the worst of them counts."""

    def look(rows: Sequence[Row]) -> float | None:
        fitting = [row.median_s for row in rows if (row.case, row.unit) == (case, unit) and _is(row, contestant)]
        return max(fitting, default=None)

    return look


def _is(row: Row, contestant: str) -> bool:
    wanted, star, _ = contestant.partition("*")
    return row.contestant.startswith(wanted) if star else row.contestant == contestant


def ratio(case: str, over: str, under: str) -> Value:
    def look(rows: Sequence[Row]) -> float | None:
        above, below = median(case, over)(rows), median(case, under)(rows)
        return above / below if above is not None and below else None

    return look


TARGETS = (
    Target(
        "zero-cost: community.libvirt playbook / Millwright REST to ON",
        ratio(names.ZERO_COST, names.COMMUNITY, names.REST), 20, at_least=True,
    ),
    Target(
        "zero-cost: community.libvirt playbook / Millwright playbook alone",
        ratio(names.ZERO_COST, names.COMMUNITY, names.COLD), 25, at_least=True,
    ),
    Target(
        "zero-cost: VMs a second, Millwright REST to ON", median(names.ZERO_COST, names.REST, "VMs/s"), 20,
        at_least=True,
    ),
    Target(
        "zero-cost: processor seconds for a VM",
        median(names.ZERO_COST, names.effort(names.TOTAL), "CPU s/VM"), 0.1,
    ),
    Target(
        "qemu: Millwright REST to ON / raw libvirt loop", ratio(names.QEMU, names.REST, names.RAW), 1.15,
    ),
    Target("one-vm: median of Millwright, s", median(names.ONE_VM, names.REST), 0.35),
    Target(
        "one-vm: community.libvirt playbook / Millwright",
        ratio(names.ONE_VM, names.COMMUNITY, names.REST), 8, at_least=True,
    ),
    Target("many-hypervisors: one runner / ideal", ratio(names.MANY, names.runners(1), names.IDEAL), 1.25),
    Target("crowd: hypervisor_info of 1,000 VMs, s", median(names.CROWD, names.ALL_TOLD), 1.0),
    Target("crowd: vm in check mode beside 1,000 VMs, s", median(names.CROWD, names.ONE_CHECKED), 0.1),
    Target("vcenter: hypervisor_info of 1,000 VMs, s", median(names.VCENTER, names.ALL_TOLD), 1.0),
    Target("idle: memory of all processes, MB", median(names.IDLE, names.TOTAL, "MB"), 350),
    Target("idle: memory of all processes after work, MB", median(names.IDLE, names.AFTER_WORK, "MB"), 350),
    Target("idle: growth of the worst process, MB", median(names.IDLE, "growth over *", "MB"), NOISE_MB),
)  # fmt: skip


def verdicts(rows: Sequence[Row], targets: Iterable[Target] = TARGETS) -> Iterator[str]:
    """A line for each target that the rows say something about."""
    for target in targets:
        value = target.value(rows)
        if value is not None:
            yield _verdict(target, value)


def _verdict(target: Target, value: float) -> str:
    bound = "at least" if target.at_least else "at most"
    word = "met" if target.met(value) else "missed"
    return f"{target.text:<68} {number(value):>9}  {bound:<8} {target.limit:>6g}  {word}"
