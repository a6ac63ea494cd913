# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a request waits for before it begins: the API's word, the fence, a pause, and its VMs. On the orchestrator's
thread."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from hashlib import sha256

from .contract.control import PAUSED_AFTER, SUSPECT_AFTER, Word
from .core.claims import Claims
from .logs import about
from .membership import Membership
from .ports import Broker, Delivery
from .progress import Progress
from .timers import Timers

log = logging.getLogger(__name__)

#: Seconds after which the API is asked again for its word; each time twice as long, as far as the second one. An API
#: that is away must not find a mountain of questions.
ASK_AGAIN, ASK_AT_LEAST_EVERY = 5.0, 60.0
#: How often a request may have been handed over, before it is carried out alone: what brings its runner down before it
#: could report a START is not counted. Most that come so often are innocent, and lose nothing by it.
SUSPECT_AFTER_DELIVERIES = 20
#: Seconds before a request is begun that broke off so many runners that it may be what brings them down; each time
#: twice as long, as far as the second one. Nobody knows, so it is never given up for it; but all other work gets on
#: meanwhile. One that is cancelled, which is seen every so often, waits no more.
PAUSE, LONGEST_PAUSE, LOOK_EVERY = 5.0, 300.0, 1.0


def pause_after(crashes: int) -> float:
    """Seconds before a request is begun that broke off so many runners."""
    times = crashes - PAUSED_AFTER
    return 0.0 if times < 0 else min(LONGEST_PAUSE, PAUSE * 2 ** min(times, 30))


def own_pause_after(crashes: int, request_id: str) -> float:
    """From half of it to one and a half, as it falls for this request this time. Those that broke off together would
    begin together again, and be broken off by the one of them that brings runners down, for ever."""
    lot = int.from_bytes(sha256(f"{request_id}:{crashes}".encode()).digest()[:4]) / 2**32
    return pause_after(crashes) * (0.5 + lot)


class Requests:
    """The requests that are on their way, and the ids of those that ended lately."""

    def __init__(self, remembered: int = 10_000):
        self._progress: dict[str, Progress] = {}
        self._finished: OrderedDict[str, None] = OrderedDict()
        self._remembered = remembered

    def __iter__(self) -> Iterator[Progress]:
        return iter(self._progress.values())

    def __len__(self) -> int:
        return len(self._progress)

    def __getitem__(self, request_id: str) -> Progress:
        return self._progress[request_id]

    def get(self, request_id: str) -> Progress | None:
        return self._progress.get(request_id)

    def knows(self, progress: Progress) -> bool:
        """Whether it is still on its way; its request may have come again as another one."""
        return self._progress.get(progress.id) is progress

    def add(self, progress: Progress) -> None:
        self._progress[progress.id] = progress

    def remove(self, progress: Progress) -> None:
        del self._progress[progress.id]

    def has_finished(self, request_id: str) -> bool:
        """Whether it ended here lately. If somebody else may have had it meanwhile, this is no news of it: the API has
        passed over what we said of its end, if it came after the other one's question."""
        return request_id in self._finished

    def finish(self, request_id: str) -> None:
        self._finished[request_id] = None
        if len(self._finished) > self._remembered:
            self._finished.popitem(last=False)


class Intake:
    """Leads requests to their beginning. ``begin`` is given one that holds its VMs, ``finish`` one that has ended
    before. What goes wrong with one within ``minding`` it is its own affair."""

    def __init__(
        self, broker: Broker, requests: Requests, membership: Membership, timers: Timers, name: str,
    ):  # fmt: skip
        self._broker = broker
        self._requests = requests
        self._membership = membership
        self._timers = timers
        self._name = name
        self.claims = Claims()
        self.begin: Callable[[Progress], None]
        self.finish: Callable[[Progress], None]
        self.minding: Callable[[Progress], AbstractContextManager[None]]

    def taken(self, delivery: Delivery) -> None:
        """A request came in: it is new, or came twice, or is somebody else's by now."""
        if not self._membership.takes(delivery):
            return
        request = delivery.request
        known = self._requests.get(request.id)
        if self._requests.has_finished(request.id) and not delivery.again:
            with about(request=request.id):
                log.info("came twice, the second time after its end, acknowledged")
            self._broker.acknowledge(delivery.tag)
        elif known is None:
            progress = Progress(delivery)
            self._requests.add(progress)
            self._proceed(progress)
        elif known.parked:
            known.successors.append(delivery)
        else:
            with known.about():
                log.info("came twice")
            known.join(delivery)

    def answered(self, word: Word) -> None:
        """The API says whether a request is to be carried out."""
        progress = self._requests.get(word.request_id)
        if progress is None or progress.parked or not progress.needs_word or word.attempt != progress.attempt:
            return
        progress.needs_word, progress.crashes = False, word.crashes
        progress.paused_until = time.monotonic() + own_pause_after(word.crashes, progress.id)
        progress.alone = word.crashes >= SUSPECT_AFTER or progress.attempt > SUSPECT_AFTER_DELIVERIES
        if word.go:
            self._proceed(progress)
        else:
            with progress.about():
                log.info("has ended before, acknowledged")
            self.finish(progress)

    def release(self, progress: Progress) -> None:
        """It is over: its VMs are those of the next."""
        for request_id in self.claims.release(progress.id) if progress.has_claimed else []:
            if not self._requests[request_id].parked:
                self.begin(self._requests[request_id])
        for delivery in progress.successors:
            self.taken(delivery)

    def _proceed(self, progress: Progress) -> None:
        """The next thing that a request waits for."""
        if progress.parked or not self._requests.knows(progress) or progress.has_claimed:
            return
        with self.minding(progress):
            if progress.needs_word:
                self._ask(progress)
            elif (wait := self._membership.fence(progress.partition)) > 0:
                self._timers.after(wait, partial(self._proceed, progress))
            elif progress.is_paused:
                self._timers.after(LOOK_EVERY, partial(self._proceed, progress))
            else:
                self._claim(progress)

    def _ask(self, progress: Progress) -> None:
        with progress.about():
            log.info("delivery %d, asking whether it is to be carried out", progress.attempt)
        self._broker.publish(progress.question(self._name))
        pause = min(ASK_AT_LEAST_EVERY, ASK_AGAIN * 2 ** (progress.questions - 1))
        self._timers.after(pause, partial(self._proceed, progress))

    def _claim(self, progress: Progress) -> None:
        vms = frozenset(job.vm_id for job in progress.request.task.jobs() if job.vm_id is not None)
        progress.has_claimed = True
        if self.claims.claim(progress.id, vms):
            self.begin(progress)
        else:
            with progress.about():
                log.info("waits for request %s", self.claims.holder(progress.id))
