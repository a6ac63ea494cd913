# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""When processes died that had begun something at a hypervisor: an operation lasts as long as its process."""

from __future__ import annotations

import contextlib
import json
import os
import select
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

#: Seconds between two looks; a death is dated to the look before it.
LOOK = 0.02


class Coroner:
    """Watches the journals of fake hypervisors, and the processes of the operations that have begun and not ended."""

    def __init__(self, directories: Iterable[Path]):
        #: When the process of an operation was last seen alive, by the journal's id of the operation.
        self.deaths: dict[str, float] = {}
        self._journals = [Journal(directory / "journal.jsonl") for directory in directories]
        self._poll = select.poll()
        #: Operations under way by the descriptor of their process, and the descriptor by the operation.
        self._operation_of: dict[int, str] = {}
        self._process_of: dict[str, int] = {}
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._closing.set()
        self._thread.join()
        for descriptor in list(self._operation_of):
            self._forget(descriptor)

    def _watch(self) -> None:
        alive_at = time.time()
        while not self._closing.wait(LOOK):
            now = time.time()
            dead = [descriptor for descriptor, _ in self._poll.poll(0)]
            # Read after the look: what a process wrote before it died is then among it.
            self._read()
            for descriptor in dead:
                if descriptor in self._operation_of:
                    self.deaths[self._operation_of[descriptor]] = alive_at
                    self._forget(descriptor)
            alive_at = now

    def _read(self) -> None:
        for line in (line for journal in self._journals for line in journal.news()):
            if line["event"] == "start":
                self._begun(line)
            elif line["id"] in self._process_of:
                self._forget(self._process_of[line["id"]])

    def _begun(self, line: dict[str, Any]) -> None:
        try:
            descriptor = os.pidfd_open(line["pid"])
        except ProcessLookupError:
            self.deaths[line["id"]] = line["at"]
            return
        self._operation_of[descriptor], self._process_of[line["id"]] = line["id"], descriptor
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        del self._process_of[self._operation_of.pop(descriptor)]
        self._poll.unregister(descriptor)
        os.close(descriptor)


class Journal:
    """A file of JSON lines that others append to."""

    def __init__(self, path: Path):
        self._path = path
        self._read = 0

    def news(self) -> Iterator[dict[str, Any]]:
        """The lines that are new since the last call, without one that is not written whole yet."""
        content = b""
        with contextlib.suppress(FileNotFoundError), self._path.open("rb") as journal:
            journal.seek(self._read)
            content = journal.read()
        whole = content[: content.rfind(b"\n") + 1]
        self._read += len(whole)
        yield from (json.loads(line) for line in whole.splitlines())
