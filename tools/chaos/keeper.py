# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's processes under chaos: whoever should run and does not is started again, as a supervisor would."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from runner_service.workers.run_directories import sweep
from tools.chaos.plan import RUNNERS, Blow, How
from tools.chaos.servers import DIED_AGAIN, Server
from tools.processes import Background
from tools.stack import ROOT, Stack

#: Often enough that a restart is a matter of the process, and not of us.
LOOK = 0.2
#: A process that ends by itself again and again is not started faster than this.
PAUSE = 1.0

_SIGNALS = {How.KILL: signal.SIGKILL, How.TERM: signal.SIGTERM, How.STOP: signal.SIGSTOP}


@dataclass(frozen=True)
class Platform(Stack):
    """The stack with several runners, each with settings of its own."""

    one_machine: bool = True
    datacenter_id: str = ""

    def process(self, name: str) -> Background:
        return Background(self.directory, name)

    def begin(self, name: str) -> None:
        """Start it, and do not wait for it."""
        if name.startswith("runner"):
            self._start(self.process(name), ["runner", "run"], **self._runner_settings(name))
        else:
            self._start(self.process(name), [name])

    def _runner_settings(self, name: str) -> dict[str, str]:
        return {
            "MILLWRIGHT_DATACENTER": self.datacenter_id,
            "MILLWRIGHT_PRIVATE_KEY_FILE": str(self._private_key),
            "MILLWRIGHT_COLLECTIONS_PATH": str(ROOT / ".collections"),
            "MILLWRIGHT_RUNNER_NAME": name,
            "MILLWRIGHT_RUN_DIR": str(self.run_dir(name)),
            "MILLWRIGHT_RETRY_DELAY": "0.3",
        }

    def run_dir(self, name: str) -> Path:
        """Runners of one machine share it, and sweep it when they start."""
        directory = self.directory / ("runs" if self.one_machine else f"runs-{name}")
        directory.mkdir(exist_ok=True)
        return directory


class Keeper:
    """Keeps processes running, but for those that were struck, until their time down is over."""

    def __init__(self, platform: Platform, servers: Mapping[str, Server], names: list[str]):
        self.kills: Counter[str] = Counter()
        #: Ends that nobody here has caused.
        self.ended: Counter[str] = Counter()
        #: When somebody was struck, and when that was over, by the clock on the wall.
        self.struck: list[float] = []
        self.trouble: list[str] = []
        self._platform, self._servers, self._names = platform, servers, names
        self._down_until = dict.fromkeys(names, 0.0)
        self._excused = set(names)
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        self._spawn(self._keep)

    def close(self) -> None:
        """Afterwards nothing is started any more."""
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def strike(self, blow: Blow) -> None:
        if blow.victim == RUNNERS:
            self._spawn(self._roll)
            return
        self.kills[_counted(blow)] += 1
        # Runners hear of a changed bound without the API.
        if blow.victim != "api":
            self.struck += [time.time(), time.time() + blow.down]
        if blow.victim in self._servers:
            self._spawn(lambda: self._strike_server(blow))
        else:
            self._strike_process(blow)

    def _strike_process(self, blow: Blow) -> None:
        pid = self._platform.process(blow.victim).pid()
        self._down_until[blow.victim] = time.monotonic() + blow.down
        self._excused.add(blow.victim)
        if pid is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, _SIGNALS[blow.how])
        if blow.how is How.STOP:
            self._spawn(lambda: self._wake(pid, blow.down))

    def _roll(self) -> None:
        """A rolling restart: the next runner is asked to end once the one before is there again."""
        for name in (name for name in self._names if name.startswith("runner")):
            process = self._platform.process(name)
            before = process.pid()
            self.strike(Blow(at=0, victim=name, how=How.TERM, down=0))
            while process.pid() in (before, None):
                if self._closing.wait(LOOK):
                    return

    def _strike_server(self, blow: Blow) -> None:
        server = self._servers[blow.victim]
        server.kill()
        self._closing.wait(blow.down)
        # It may be struck again while it starts: then the next blow starts it, at last the calm does.
        with contextlib.suppress(*DIED_AGAIN):
            server.start()

    def _wake(self, pid: int, seconds: float) -> None:
        self._closing.wait(seconds)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)

    def _keep(self) -> None:
        while not self._closing.wait(LOOK):
            for name in self._names:
                if time.monotonic() >= self._down_until[name] and self._platform.process(name).pid() is None:
                    self._revive(name)

    def _revive(self, name: str) -> None:
        if name not in self._excused:
            self.ended[name] += 1
        self._excused.discard(name)
        self._down_until[name] = time.monotonic() + PAUSE
        self._platform.begin(name)

    def _spawn(self, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=lambda: self._guarded(work), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _guarded(self, work: Callable[[], None]) -> None:
        """What goes wrong in a thread is told at the end, and not lost with it."""
        try:
            work()
        except Exception as error:  # noqa: BLE001  # the thread's outermost frame
            self.trouble.append(f"{type(error).__name__}: {error}")


def _counted(blow: Blow) -> str:
    """The word for it in the report: runners are one kind, and killed is what is not said."""
    kind = blow.victim.partition("-")[0]
    return kind if blow.how is How.KILL else f"{kind}_{blow.how}"


def tidy(platform: Platform, names: list[str]) -> None:
    """End what the seed has started, and the runs that a killed runner has left."""
    for name in names:
        # All at once, as each takes its time; one that is stopped hears of it when it goes on.
        if (pid := platform.process(name).pid()) is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
                os.kill(pid, signal.SIGCONT)
    for name in names:
        platform.process(name).stop(timeout=20)
    for directory in platform.directory.glob("runs*"):
        sweep(directory)
