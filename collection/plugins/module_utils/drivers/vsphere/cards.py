# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which of a VM's cards is which: by the address that each was last seen with, and before that by their order."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, count
from typing import Any

from .devices import cards_of
from .kept import Kept


def named(kept: Kept | None, devices: Iterable[Any]) -> dict[str, Any]:
    """Each card by its name. Those of others come last, under names that the definition does not have."""
    names = [nic.name for nic in kept.definition.nics] if kept else []
    seen_with = {address: name for name, address in kept.macs.items()} if kept else {}
    found, rest = {}, []
    for card in cards_of(devices):
        name = seen_with.pop(address_of(card), None)
        if name is None:
            rest.append(card)
        else:
            found[name] = card
    unseen = [name for name in names if kept and name not in kept.macs]
    others = (f"nic{number}" for number in count() if f"nic{number}" not in names)
    found |= dict(zip(chain(unseen, others), rest, strict=False))
    return {name: found[name] for name in sorted(found, key=lambda name: _position(names, name))}


def _position(names: list[str], name: str) -> int:
    return names.index(name) if name in names else len(names)


def address_of(card: Any) -> str:
    return (card.macAddress or "").lower()


def addresses(kept: Kept, devices: Iterable[Any]) -> dict[str, str]:
    """What ``Kept.macs`` is for cards that are there."""
    return {name: address_of(card) for name, card in named(kept, devices).items() if address_of(card)}
