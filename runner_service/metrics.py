# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner's figures, in Prometheus' format."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest, start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .contract.control import RunnerStatus
from .contract.operations import Operation
from .settings import InvalidSetting

#: Result of a job that went well; of others it is the code of their error.
OK = "ok"

#: Seconds. A power operation takes less than one, a copy of a large disk an hour.
_JOB_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_WAIT_SECONDS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600)


class _Now(Collector):
    """What is so at the moment of the scrape, by the runner's own status."""

    def __init__(self, status: Callable[[], RunnerStatus | None]):
        self._status = status

    def collect(self) -> Iterator[GaugeMetricFamily]:
        status = self._status()
        if status is None:
            return
        yield GaugeMetricFamily("millwright_requests", "Requests that the runner holds.", value=status.requests)
        yield GaugeMetricFamily("millwright_jobs_running", "Jobs whose playbook runs.", value=status.running)
        yield GaugeMetricFamily("millwright_jobs_waiting", "Jobs that wait for a session.", value=status.waiting)
        yield GaugeMetricFamily(
            "millwright_partitions", "Partitions that the runner consumes.", value=len(status.partitions)
        )
        yield from _of_lanes(status)


def _of_lanes(status: RunnerStatus) -> Iterator[GaugeMetricFamily]:
    """Hypervisors at which something runs or waits."""
    label = ["hypervisor"]
    in_use = GaugeMetricFamily("millwright_sessions_in_use", "Operations that run on a hypervisor.", labels=label)
    bound = GaugeMetricFamily("millwright_sessions_bound", "How many may run on it at once.", labels=label)
    waiting = GaugeMetricFamily("millwright_lane_waiting", "Jobs that wait for one of its sessions.", labels=label)
    for lane in status.lanes:
        in_use.add_metric([lane.hypervisor_id], lane.in_use)
        bound.add_metric([lane.hypervisor_id], lane.sessions)
        waiting.add_metric([lane.hypervisor_id], lane.waiting)
    yield from (in_use, bound, waiting)


class RunnerMetrics:
    """Counts what the runner tells it. Any thread may call; ``status`` is called on the thread that answers a scrape,
    and gives the latest status, or None as long as there is none."""

    def __init__(self, status: Callable[[], RunnerStatus | None]):
        self.registry = CollectorRegistry()
        self.registry.register(_Now(status))
        self._jobs = Histogram(
            "millwright_job_seconds", "How long runs of jobs took, by their result: ok, or the code of the error.",
            ["operation", "result"], buckets=_JOB_SECONDS, registry=self.registry,
        )  # fmt: skip
        self._retries = Counter(
            "millwright_job_retries", "Jobs that were tried again.", ["operation"], registry=self.registry
        )
        self._dead_letters = Counter(
            "millwright_dead_letters",
            "Requests that were given up, and messages that nobody can read.",
            registry=self.registry,
        )
        self._waits = Histogram(
            "millwright_queue_wait_seconds", "How long jobs waited for a session.",
            ["operation"], buckets=_WAIT_SECONDS, registry=self.registry,
        )  # fmt: skip

    def job_ended(self, operation: Operation, code: str | None, seconds: float) -> None:
        """A run of a job is over; ``code`` is that of its error, None: it went well."""
        self._jobs.labels(operation.value, code or OK).observe(seconds)

    def waited(self, operation: Operation, seconds: float) -> None:
        """A job got a session, so long after it could have run."""
        self._waits.labels(operation.value).observe(seconds)

    def retried(self, operation: Operation) -> None:
        self._retries.labels(operation.value).inc()

    def dead_letter(self) -> None:
        self._dead_letters.inc()

    def exposition(self) -> str:
        """All figures now, as Prometheus reads them."""
        return generate_latest(self.registry).decode()

    def serve(self, bind: str) -> Callable[[], None]:
        """Answer ``GET /metrics`` at HOST:PORT on a thread of its own; gives the way to end that. Raises
        InvalidSetting."""
        host, _, port = bind.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65535:
            raise InvalidSetting(f"MILLWRIGHT_METRICS_BIND must be like 127.0.0.1:9470, not {bind!r}")
        try:
            server, thread = start_http_server(int(port), addr=host.strip("[]"), registry=self.registry)
        except OSError as error:
            raise InvalidSetting(f"MILLWRIGHT_METRICS_BIND: cannot listen on {bind}: {error.strerror}") from error

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop
