# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A runner's figures, as Prometheus would read them."""

from __future__ import annotations

import socket
import urllib.request

import pytest

from runner_service.contract.control import LaneStatus, RunnerStatus
from runner_service.contract.operations import Operation
from runner_service.metrics import RunnerMetrics
from runner_service.settings import InvalidSetting

STATUS = RunnerStatus(
    runner_id="r1", name="runner-1", sequence=1, started_at="2026-11-25T12:00:00Z", partitions=(0, 2), running=3,
    requests=7, waiting=11, lanes=(LaneStatus(hypervisor_id="h1", sessions=4, in_use=3, waiting=11),),
)  # fmt: skip


@pytest.fixture
def metrics() -> RunnerMetrics:
    return RunnerMetrics(lambda: STATUS)


def _value(metrics: RunnerMetrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(name, labels)


def test_what_is_so_now_comes_from_the_runners_status(metrics: RunnerMetrics):
    assert _value(metrics, "millwright_requests") == 7
    assert _value(metrics, "millwright_jobs_running") == 3
    assert _value(metrics, "millwright_jobs_waiting") == 11
    assert _value(metrics, "millwright_partitions") == 2
    assert _value(metrics, "millwright_sessions_in_use", hypervisor="h1") == 3
    assert _value(metrics, "millwright_sessions_bound", hypervisor="h1") == 4
    assert _value(metrics, "millwright_lane_waiting", hypervisor="h1") == 11


def test_without_a_status_only_what_was_counted_is_shown():
    metrics = RunnerMetrics(lambda: None)
    metrics.dead_letter()
    assert _value(metrics, "millwright_requests") is None
    assert _value(metrics, "millwright_dead_letters_total") == 1


def test_jobs_are_counted_by_operation_and_result_with_how_long_they_took(metrics: RunnerMetrics):
    metrics.job_ended(Operation.CONFIGURE, None, 2.0)
    metrics.job_ended(Operation.CONFIGURE, None, 3.0)
    metrics.job_ended(Operation.CONFIGURE, "driver.unreachable", 30.0)
    ok = {"operation": "configure", "result": "ok"}
    assert _value(metrics, "millwright_job_seconds_count", **ok) == 2
    assert _value(metrics, "millwright_job_seconds_sum", **ok) == 5.0
    assert _value(metrics, "millwright_job_seconds_bucket", le="2.5", **ok) == 1
    failed = {"operation": "configure", "result": "driver.unreachable"}
    assert _value(metrics, "millwright_job_seconds_count", **failed) == 1


def test_retries_waits_and_dead_letters_are_counted(metrics: RunnerMetrics):
    metrics.retried(Operation.POWER_ON)
    metrics.retried(Operation.POWER_ON)
    metrics.waited(Operation.POWER_ON, 0.7)
    metrics.dead_letter()
    assert _value(metrics, "millwright_job_retries_total", operation="power_on") == 2
    assert _value(metrics, "millwright_queue_wait_seconds_sum", operation="power_on") == 0.7
    assert _value(metrics, "millwright_dead_letters_total") == 1


def test_two_runners_in_one_process_count_for_themselves(metrics: RunnerMetrics):
    RunnerMetrics(lambda: None).dead_letter()
    assert _value(metrics, "millwright_dead_letters_total") == 0


def test_it_is_served_for_prometheus_until_it_is_ended(metrics: RunnerMetrics):
    with socket.create_server(("127.0.0.1", 0)) as free:
        bind = f"127.0.0.1:{free.getsockname()[1]}"
    metrics.retried(Operation.RESET)
    stop = metrics.serve(bind)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{bind}/metrics", timeout=10) as answer:
        said = answer.read().decode()
    stop()
    assert 'millwright_job_retries_total{operation="reset"} 1.0' in said
    with pytest.raises(OSError):
        opener.open(f"http://{bind}/metrics", timeout=1)


@pytest.mark.parametrize("bind", ["", "9470", ":9470", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:99999"])
def test_an_address_that_is_none_is_refused_by_its_variable(metrics: RunnerMetrics, bind: str):
    with pytest.raises(InvalidSetting, match=r"MILLWRIGHT_METRICS_BIND must be like"):
        metrics.serve(bind)


def test_an_address_that_is_taken_is_said_so(metrics: RunnerMetrics):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(InvalidSetting, match="cannot listen on"):
        metrics.serve(f"127.0.0.1:{taken.getsockname()[1]}")
