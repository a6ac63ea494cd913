# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wiring: makes a runner from its settings. Nothing else here makes another part."""

from __future__ import annotations

import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from types import FrameType
from typing import IO

from . import logs
from .companions import Companions
from .contract.control import Cancel
from .contract.topology import Topology
from .core.patience import Patience
from .core.retry import RetryRule
from .credentials import read_key
from .metrics import RunnerMetrics
from .orchestrator import Orchestrator, OrchestratorRules
from .ports import Errand, JobRunner
from .queue_manager import Outlet, QueueManager
from .queue_manager.connection import Amqp
from .settings import InvalidSetting, Settings
from .solitary import watch_parent
from .warm.keeper import Keeper, ordinary_playbook, write_shim
from .workers.ansible_worker import AnsibleWorker
from .workers.guardian import Guardian
from .workers.logins import LOGOUT, Ender, Logins
from .workers.playbook_run import warm_environment
from .workers.run_directories import RunDirectories, sweep

log = logging.getLogger(__name__)

#: Seconds for the broker to confirm the last updates and close.
FAREWELL = 10.0


def run(settings: Settings) -> None:
    """Run a runner until SIGTERM or SIGINT. Raises InvalidSetting, UnusableKey."""
    logs.begin(settings.log_level, settings.log_format)
    quiet_libraries()
    sweep(Path(settings.run_dir))
    with guarded_worker(settings, warm=settings.warm) as (worker, alive):
        logins = ending_logins(settings, worker)
        left = serve(settings, worker, alive)
        alive()
        logins.stop(min(left, LOGOUT))


def ending_logins(settings: Settings, worker: AnsibleWorker) -> Ender:
    assert worker.logins is not None
    return Ender(worker.logins, worker.log_out, settings.login_idle)


@contextmanager
def guarded_worker(settings: Settings, *, warm: bool = False) -> Iterator[tuple[AnsibleWorker, Callable[[], None]]]:
    """A worker, and the sign of life that those beside it wait for; afterwards nothing of its runs is left."""
    key = read_key(Path(settings.private_key_file)) if settings.private_key_file else None
    directories = RunDirectories(Path(settings.run_dir))
    guardian = Guardian(directories.base, log_format=settings.log_format)
    keeper = _warm(settings, directories.base / "warm") if warm else None

    def alive() -> None:
        guardian.alive()
        if keeper:
            keeper.alive()

    try:
        programs = keeper.directory if keeper else None
        logins = Logins(directories.base / "logins")
        yield AnsibleWorker(directories, settings.collections_path, key, programs, logins), alive
    finally:
        if keeper:
            keeper.close()
        directories.close()
        guardian.close()


def _warm(settings: Settings, directory: Path) -> Keeper | None:
    """Warm Ansible in the directory, which is then where ansible-playbook is to be looked for first."""
    ordinary = ordinary_playbook()
    if ordinary is None:
        return None
    directory.mkdir(mode=0o700)
    keeper = Keeper(directory, warm_environment(directory, settings.collections_path), log_format=settings.log_format)
    write_shim(directory, keeper.socket, ordinary)
    return keeper


def quiet_libraries() -> None:
    """What pika says of a lost connection, we say too."""
    logging.getLogger("pika").setLevel(logging.CRITICAL)


def serve(settings: Settings, worker: JobRunner, alive: Callable[[], None] = lambda: None) -> float:
    """Take requests and have their jobs run by the worker, until SIGTERM or SIGINT; how many seconds of the grace time
    are left then. ``alive`` is called about every second while the broker is heard of."""
    topology = Topology(settings.datacenter, settings.partitions)
    metrics = RunnerMetrics(lambda: orchestrator.status)
    queues = QueueManager(broker_of(settings.amqp_url), topology, settings.prefetch, metrics.dead_letter)
    rules = OrchestratorRules(
        name=settings.name, max_runs=settings.max_runs, starts=settings.starts, partitions=settings.partitions,
        retry=retry_rule(settings), patience=patience(settings), fence=settings.fence,
    )  # fmt: skip
    orchestrator = Orchestrator(queues, worker, rules, Companions(alive=alive, metrics=metrics))
    left = stop_on_signals(orchestrator, settings.grace)
    stop_metrics = metrics.serve(settings.metrics_bind) if settings.metrics_bind else None
    queues.start(orchestrator)
    log.info("runner %s serves datacenter %s", settings.name, settings.datacenter)
    orchestrator.run()
    queues.close(FAREWELL)
    if stop_metrics:
        stop_metrics()
    log.info("runner %s has stopped", settings.name)
    return left()


def run_alone(settings: Settings, errand: Errand, parent: IO[bytes]) -> bool:
    """Carry one request out, for a runner at the other end of ``parent``; whether it came to its end.

    One job at a time: the runner has given it one session."""
    logs.begin(settings.log_level, settings.log_format)
    quiet_libraries()
    outlet = Outlet(broker_of(settings.amqp_url), Topology(settings.datacenter, settings.partitions))
    rules = OrchestratorRules(
        name=settings.name, max_runs=1, retry=retry_rule(settings), patience=patience(settings), fence=0.0
    )  # fmt: skip
    with guarded_worker(settings) as (worker, alive):
        logins = ending_logins(settings, worker)
        orchestrator = Orchestrator(outlet, worker, rules, Companions(alive=alive))
        # First, so that a wish to cancel, which may be there already, finds it.
        orchestrator.take(errand.delivery)
        watch_parent(parent, lambda: orchestrator.told(Cancel(request_id=errand.request.id)))
        outlet.start()
        _stop_after(outlet.ended, orchestrator)
        orchestrator.run()
        outlet.close(FAREWELL)
        alive()
        logins.stop(LOGOUT)
    return outlet.ended.is_set()


def _stop_after(ended: threading.Event, orchestrator: Orchestrator) -> None:
    def stop() -> None:
        ended.wait()
        orchestrator.stop()

    threading.Thread(target=stop, name="end", daemon=True).start()


def retry_rule(settings: Settings) -> RetryRule:
    return RetryRule(max_tries=settings.max_tries, first_delay=settings.retry_delay)


def patience(settings: Settings) -> Patience:
    return Patience(undoing=settings.cancel_patience)


def broker_of(url: str) -> Amqp:
    """Raises InvalidSetting, which does not show the password in the URL."""
    try:
        amqp = Amqp(url)
        amqp.parameters("check")
    except ValueError:
        raise InvalidSetting("AMQP_URL must be like amqp://user:password@host:5672/vhost") from None
    return amqp


def stop_on_signals(orchestrator: Orchestrator, grace: float) -> Callable[[], float]:
    """The first signal lets running jobs end within the grace time; a second one ends them at once. What is given says
    how many seconds of the grace time are left."""
    timer = threading.Timer(grace, orchestrator.cancel_runs)
    timer.daemon = True
    signals, until = count(1), [math.inf]

    def stop(_signal: int, _frame: FrameType | None) -> None:
        if next(signals) > 1:
            until.append(0.0)
            orchestrator.cancel_runs()
        else:
            until.append(time.monotonic() + grace)
            timer.start()
            orchestrator.stop()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    return lambda: max(0.0, until[-1] - time.monotonic())
