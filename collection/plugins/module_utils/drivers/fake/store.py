# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a fake hypervisor is kept: one JSON file that processes share under a lock, and a journal of what was done."""

from __future__ import annotations

import fcntl
import json
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .world import World


@dataclass(frozen=True)
class Store:
    """A directory with ``state.json``, ``journal.jsonl`` and, if somebody told the hypervisor how to behave,
    ``behaviour.json``."""

    directory: Path

    def read(self) -> World:
        """The world as it is; the initial one where there is none yet."""
        with self._locked():
            return self._load()

    @contextmanager
    def change(self) -> Iterator[World]:
        """The world, for nobody else until it is written back, whole. After an exception nothing is written."""
        with self._locked():
            world = self._load()
            yield world
            self._replace("state.json", json.dumps(world.to_dict(), indent=1))

    def behaviour(self) -> dict[str, Any]:
        """What the hypervisor was told; see behaviour.py."""
        try:
            return dict(json.loads(self._path("behaviour.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}

    def tell(self, behaviour: dict[str, Any]) -> None:
        """Tell the hypervisor how to behave from now on."""
        self._replace("behaviour.json", json.dumps(behaviour, indent=1))

    @contextmanager
    def journal(self, operation: str, vm: str) -> Iterator[None]:
        """Write down when the operation begins and when it ends. One without an end was killed, or still runs."""
        entry = {"id": uuid.uuid4().hex, "operation": operation, "vm": vm, "pid": os.getpid()}
        self._write_down({**entry, "event": "start"})
        error = ""
        try:
            yield
        except BaseException as raised:
            error = getattr(raised, "code", type(raised).__name__)
            raise
        finally:
            self._write_down({**entry, "event": "end", "error": error})

    def operations(self) -> list[Span]:
        """The journal, one entry per operation, in the order of their beginnings."""
        path = self._path("journal.jsonl")
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
        ends = {line["id"]: line for line in lines if line["event"] == "end"}
        return [Span.of(line, ends.get(line["id"])) for line in lines if line["event"] == "start"]

    def _path(self, name: str) -> Path:
        return self.directory / name

    def _load(self) -> World:
        try:
            return World.from_dict(json.loads(self._path("state.json").read_text(encoding="utf-8")))
        except FileNotFoundError:
            return World()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._path("lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, name: str, text: str) -> None:
        written = self._path(f"{name}.{uuid.uuid4().hex}")
        written.write_text(text, encoding="utf-8")
        written.replace(self._path(name))

    def _write_down(self, entry: dict[str, Any]) -> None:
        """One write to a file opened for appending, so that lines of several processes never mix."""
        line = json.dumps({**entry, "at": time.time()}) + "\n"
        with self._path("journal.jsonl").open("ab", buffering=0) as journal:
            journal.write(line.encode())


@dataclass(frozen=True)
class Span:
    """One operation as the hypervisor saw it; times in seconds since the epoch, ``end`` None if it never ended."""

    operation: str
    vm: str
    start: float
    end: float | None
    error: str
    #: The journal's own id of it, and the process that it ran in.
    id: str = ""
    pid: int = 0

    @classmethod
    def of(cls, start: dict[str, Any], end: dict[str, Any] | None) -> Span:
        return cls(
            operation=start["operation"], vm=start["vm"], start=start["at"],
            end=end["at"] if end else None, error=end["error"] if end else "", id=start["id"], pid=start["pid"],
        )  # fmt: skip


def most_at_once(spans: list[Span]) -> int:
    """The largest number of operations that ran at the same moment."""
    edges = [(span.start, 1) for span in spans] + [(span.end, -1) for span in spans if span.end is not None]
    running = most = 0
    for _moment, step in sorted(edges):
        running += step
        most = max(most, running)
    return most
