# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import sys
from pathlib import Path

import pytest

from tests.waiting import wait_until
from tools.processes import Background, ProcessEnded

FOREVER = [sys.executable, "-c", "import signal; signal.pause()"]
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); print('ready', flush=True); signal.pause()"


@pytest.fixture
def background(tmp_path: Path):
    process = Background(tmp_path, "sleeper")
    yield process
    process.stop()


def test_a_process_that_runs_is_not_started_twice(background: Background):
    assert background.start(FOREVER) == background.start(FOREVER) == background.pid()


def test_a_stopped_process_is_gone_and_forgotten(background: Background):
    background.start(FOREVER)
    assert background.stop() is True
    assert background.pid() is None
    assert background.stop() is False


def test_a_process_that_ignores_the_signal_is_killed_after_the_timeout(background: Background):
    background.start([sys.executable, "-c", STUBBORN])
    wait_until(lambda: "ready" in background.log_tail(), 30, "the process to be ready")
    background.stop(timeout=0.2)
    assert background.pid() is None


def test_an_id_that_belongs_to_somebody_else_now_is_not_ours(background: Background):
    pid = background.start(FOREVER)
    (background.directory / "other.pid").write_text(f"{pid} 1\n")
    other = Background(background.directory, "other")
    assert other.pid() is None
    other.stop()
    assert background.pid() == pid


def test_a_process_that_ended_is_reported_with_the_end_of_its_log(background: Background):
    background.start([sys.executable, "-c", "print('out of coal')"])
    wait_until(lambda: background.pid() is None, 30, "the process to end")
    with pytest.raises(ProcessEnded, match="out of coal"):
        background.require()
