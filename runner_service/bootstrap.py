# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wiring: makes a runner from its settings. Nothing else here makes another part."""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO

from .contract.control import Cancel
from .contract.topology import Topology
from .core.retry import RetryRule
from .credentials import read_key
from .orchestrator import Orchestrator, OrchestratorRules
from .ports import Errand, JobRunner
from .queue_manager import Outlet, QueueManager
from .queue_manager.connection import Amqp
from .settings import InvalidSetting, Settings
from .solitary import watch_parent
from .workers.ansible_worker import AnsibleWorker
from .workers.run_directories import RunDirectories, sweep

log = logging.getLogger(__name__)

#: Seconds for the broker to confirm the last updates and close.
FAREWELL = 10.0


def run(settings: Settings) -> None:
    """Run a runner until SIGTERM or SIGINT."""
    begin_log(settings.log_level)
    key = read_key(Path(settings.private_key_file)) if settings.private_key_file else None
    sweep(Path(settings.run_dir))
    directories = RunDirectories(Path(settings.run_dir))
    try:
        serve(settings, AnsibleWorker(directories, settings.collections_path, key))
    finally:
        directories.close()


def begin_log(level: str) -> None:
    """Raises InvalidSetting."""
    if level not in logging.getLevelNamesMapping():
        raise InvalidSetting(f"MILLWRIGHT_LOG_LEVEL must be DEBUG, INFO, WARNING or ERROR, not {level!r}")
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    # What pika says of a lost connection, we say too.
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def serve(settings: Settings, worker: JobRunner, alive: Callable[[], None] = lambda: None) -> None:
    """Take requests and have their jobs run by the worker, until SIGTERM or SIGINT. ``alive`` is called about every
    second while the broker is heard of."""
    topology = Topology(settings.datacenter, settings.partitions)
    queues = QueueManager(broker_of(settings.amqp_url), topology, settings.prefetch)
    rules = OrchestratorRules(
        name=settings.name, max_runs=settings.max_runs, partitions=settings.partitions,
        retry=retry_rule(settings),
        fence=settings.fence,
    )  # fmt: skip
    orchestrator = Orchestrator(queues, worker, rules, alive)
    stop_on_signals(orchestrator, settings.grace)
    queues.start(orchestrator)
    log.info("runner %s serves datacenter %s", settings.name, settings.datacenter)
    orchestrator.run()
    queues.close(FAREWELL)
    log.info("runner %s has stopped", settings.name)


def run_alone(settings: Settings, errand: Errand, parent: IO[bytes]) -> bool:
    """Carry one request out, for a runner at the other end of ``parent``; whether it came to its end."""
    begin_log(settings.log_level)
    key = read_key(Path(settings.private_key_file)) if settings.private_key_file else None
    directories = RunDirectories(Path(settings.run_dir))
    outlet = Outlet(broker_of(settings.amqp_url), Topology(settings.datacenter, settings.partitions))
    worker = AnsibleWorker(directories, settings.collections_path, key)
    rules = OrchestratorRules(name=settings.name, max_runs=settings.max_runs, retry=retry_rule(settings), fence=0.0)
    orchestrator = Orchestrator(outlet, worker, rules)
    watch_parent(parent, lambda: orchestrator.told(Cancel(request_id=errand.request.id)))
    try:
        outlet.start()
        orchestrator.take(errand.delivery)
        _stop_after(outlet.ended, orchestrator)
        orchestrator.run()
        outlet.close(FAREWELL)
    finally:
        directories.close()
    return outlet.ended.is_set()


def _stop_after(ended: threading.Event, orchestrator: Orchestrator) -> None:
    def stop() -> None:
        ended.wait()
        orchestrator.stop()

    threading.Thread(target=stop, name="end", daemon=True).start()


def retry_rule(settings: Settings) -> RetryRule:
    return RetryRule(max_tries=settings.max_tries, first_delay=settings.retry_delay)


def broker_of(url: str) -> Amqp:
    """Raises InvalidSetting, which does not show the password in the URL."""
    try:
        amqp = Amqp(url)
        amqp.parameters("check")
    except ValueError:
        raise InvalidSetting("AMQP_URL must be like amqp://user:password@host:5672/vhost") from None
    return amqp


def stop_on_signals(orchestrator: Orchestrator, grace: float) -> None:
    """The first signal lets running jobs end within the grace time; a second one ends them at once."""
    timer = threading.Timer(grace, orchestrator.cancel_runs)
    timer.daemon = True

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if timer.is_alive():
            orchestrator.cancel_runs()
        else:
            timer.start()
            orchestrator.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
