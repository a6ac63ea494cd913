# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay process: threads, each with a connection of its own, that come back whatever goes away; one of them needs
none to the broker."""

from __future__ import annotations

import logging
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from typing import Protocol

from flask import Flask
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError
from sqlalchemy.exc import SQLAlchemyError

from ..services.outbox import WINDOW
from . import broker
from .bell import Bell
from .control import Telling
from .inbound import Inbound
from .outbound import Outbound
from .pruning import Pruning

_FIRST_PAUSE_SECONDS = 0.2
_LONGEST_PAUSE_SECONDS = 5.0

#: What a broker or a database that is gone, or not there yet, makes a thread raise.
_GONE = (AMQPError, SQLAlchemyError, OSError)

log = logging.getLogger(__name__)


class Work(Protocol):
    """What one connection is for, or that which needs none."""

    def run(self, stopping: Callable[[], bool]) -> None: ...


#: Begins a work, and ends what it needs with it.
_Begin = Callable[[], AbstractContextManager[Work]]


class Relay:
    """Publishes and applies until it is stopped. Any number may run; one at a time publishes, and one applies."""

    def __init__(
        self,
        app: Flask,
        amqp_url: str,
        *,
        window: int = WINDOW,
        bell: Bell | None = None,
        keep: timedelta | None = None,
    ):
        """``keep``: for how long what has ended is kept; None: for ever."""
        self._app = app
        self._amqp_url = amqp_url
        self._stop = threading.Event()
        self._bell = bell or Bell("127.0.0.1:0")
        works: dict[str, Callable[[BlockingConnection], Work]] = {
            "outbound": partial(Outbound, window=window, address=self._bell.address, ear=self._bell.ear()),
            "inbound": Inbound,
            "telling": partial(Telling, ear=self._bell.ear()),
        }
        begins: dict[str, _Begin] = {name: partial(self._connected, work) for name, work in works.items()}
        if keep:
            pruning: Work = Pruning(keep, ended=self._stop)
            begins["pruning"] = lambda: nullcontext(pruning)
        self._threads = [
            threading.Thread(target=self._keep_on, args=(begin,), name=name) for name, begin in begins.items()
        ]

    def start(self) -> None:
        self._bell.start()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """End after the message in hand."""
        self._stop.set()
        self._bell.close()
        for thread in self._threads:
            if thread.ident:
                thread.join()

    def run_until_signalled(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self.start()
        self._stop.wait()
        self.stop()

    @contextmanager
    def _connected(self, work: Callable[[BlockingConnection], Work]) -> Iterator[Work]:
        connection = broker.connect(self._amqp_url)
        try:
            log.info("connected to the broker")
            yield work(connection)
        finally:
            broker.cut(connection)

    def _keep_on(self, begin: _Begin) -> None:
        pause = _FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                with self._app.app_context(), begin() as work:
                    work.run(self._stop.is_set)
            except _GONE as error:
                log.warning("broker or database gone, trying again in %.1f s: %s", pause, error or type(error).__name__)
            except Exception:  # the outermost loop: a bug must not end the relay in silence
                log.exception("trying again in %.1f s", pause)
            if time.monotonic() - begun > _LONGEST_PAUSE_SECONDS:  # It worked for a while: a new trouble.
                pause = _FIRST_PAUSE_SECONDS
            self._stop.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311  # spreads relays; guards nothing
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
