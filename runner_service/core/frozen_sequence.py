# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An immutable sequence that shares what did not change: state of thousands of nodes, cheaply replaced."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")

_SHIFT = 5
_WIDTH = 1 << _SHIFT


class FrozenSequence(Generic[T]):
    """Items in chunks of 32: replacing one copies one chunk and the list of chunks, not all items."""

    __slots__ = ("_chunks",)

    def __init__(self, chunks: tuple[tuple[T, ...], ...]):
        self._chunks = chunks

    def __eq__(self, other: object) -> bool:
        return self._chunks == other._chunks if isinstance(other, FrozenSequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._chunks)

    def __repr__(self) -> str:
        return f"FrozenSequence.of({list(self)!r})"

    @classmethod
    def of(cls, items: list[T]) -> FrozenSequence[T]:
        return cls(tuple(tuple(items[start : start + _WIDTH]) for start in range(0, len(items), _WIDTH)))

    def __getitem__(self, index: int) -> T:
        return self._chunks[index >> _SHIFT][index & (_WIDTH - 1)]

    def __iter__(self) -> Iterator[T]:
        return (item for chunk in self._chunks for item in chunk)

    def replaced(self, index: int, item: T) -> FrozenSequence[T]:
        """The same sequence with another item at ``index``."""
        return self.replaced_all({index: item})

    def replaced_all(self, items: Mapping[int, T]) -> FrozenSequence[T]:
        """The same sequence with other items at these places."""
        chunks = list(self._chunks)
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
