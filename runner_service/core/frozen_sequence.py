# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An immutable sequence that shares what did not change: state of thousands of nodes, cheaply replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

_SHIFT = 6
_WIDTH = 1 << _SHIFT


@dataclass(frozen=True, slots=True)
class FrozenSequence(Generic[T]):
    """Items in chunks of 64: replacing one copies one chunk and the list of chunks, not all items."""

    chunks: tuple[tuple[T, ...], ...]

    @classmethod
    def of(cls, items: list[T]) -> FrozenSequence[T]:
        return cls(tuple(tuple(items[start : start + _WIDTH]) for start in range(0, len(items), _WIDTH)))

    def __getitem__(self, index: int) -> T:
        return self.chunks[index >> _SHIFT][index & (_WIDTH - 1)]

    def __iter__(self) -> Iterator[T]:
        return (item for chunk in self.chunks for item in chunk)

    def replaced(self, index: int, item: T) -> FrozenSequence[T]:
        """The same sequence with another item at ``index``."""
        return self.replaced_all({index: item})

    def replaced_all(self, items: Mapping[int, T]) -> FrozenSequence[T]:
        """The same sequence with other items at these places."""
        chunks = list(self.chunks)
        opened: dict[int, list[T]] = {}
        for index, item in items.items():
            place = index >> _SHIFT
            chunk = opened.get(place)
            if chunk is None:
                chunk = opened[place] = list(chunks[place])
            chunk[index & (_WIDTH - 1)] = item
        for place, chunk in opened.items():
            chunks[place] = tuple(chunk)
        return FrozenSequence(tuple(chunks))
