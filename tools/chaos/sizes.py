# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How much happens in a seed, and in which seed how much."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """How much happens in one seed: bounds, both inclusive; and how probable it is that something special does."""

    form: str
    seconds: tuple[int, int]
    hosts: tuple[int, int]
    runners: tuple[int, int]
    appliances: tuple[int, int]
    vms_each: tuple[int, int]
    wishes: tuple[int, int]
    blows: tuple[int, int]
    outage: float = 0.0
    changes: float = 0.0
    rolling: float = 0.0


SMALL = Size(
    form="small",
    seconds=(9, 13),
    hosts=(2, 3),
    runners=(1, 2),
    appliances=(2, 4),
    vms_each=(2, 3),
    wishes=(8, 12),
    blows=(2, 4),
    outage=0.08,
    changes=0.25,
    rolling=0.2,
)
BIG = Size(
    form="big",
    seconds=(25, 40),
    hosts=(3, 6),
    runners=(2, 3),
    appliances=(6, 9),
    vms_each=(4, 7),
    wishes=(30, 50),
    blows=(5, 9),
    outage=0.2,
    changes=0.5,
    rolling=0.4,
)
#: Real guests: few, as each takes its memory and its time to boot.
REAL = Size(
    form="real",
    seconds=(12, 20),
    hosts=(1, 1),
    runners=(1, 2),
    appliances=(2, 2),
    vms_each=(2, 2),
    wishes=(6, 10),
    blows=(3, 5),
    rolling=0.2,
)
SIZES = {size.form: size for size in (SMALL, BIG, REAL)}


def size_of(seed: int) -> Size:
    """Of ten seeds in a row one is big and one has real guests."""
    return {0: REAL, 5: BIG}.get(seed % 10, SMALL)
