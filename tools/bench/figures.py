# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a benchmark measures, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    appliances: tuple[int, ...] = (500, 5)
    #: Seconds that each case of the transitions is measured for.
    seconds: float = 3.0
    hypervisors: int = 10_000
    waiting: int = 200_000
    waiting_steps: tuple[int, ...] = (1_000, 10_000, 50_000, 200_000)
    #: How many lanes there are while the number of waiting jobs is varied.
    lanes: int = 1_000
    lane_steps: tuple[int, ...] = (1, 100, 10_000)
    decisions: int = 10_000


SIZES = {
    "full": Sizes(),
    "tiny": Sizes(
        appliances=(3,),
        seconds=0.01,
        hypervisors=5,
        waiting=100,
        waiting_steps=(10, 100),
        lane_steps=(1, 5),
        decisions=20,
    ),
}


@dataclass(frozen=True)
class Figure:
    """One thing measured; ``ok`` says whether it keeps to the target, if it has one."""

    case: str
    size: int
    value: float
    unit: str
    target: float | None = None
    ok: bool | None = None


def at_least(target: float, case: str, size: int, value: float, unit: str) -> Figure:
    return Figure(case, size, value, unit, target, value >= target)


def at_most(target: float, case: str, size: int, value: float, unit: str) -> Figure:
    return Figure(case, size, value, unit, target, value <= target)
