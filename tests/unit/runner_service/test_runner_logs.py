# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner's log: every line says what it is about, for people and for programs."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runner_service import logs
from runner_service.contract.log_lines import JsonForm, TextForm, about
from runner_service.settings import InvalidSetting

ROOT = Path(__file__).parents[3]


def record(message: str, *args: Any, exc_info: Any = None) -> logging.LogRecord:
    return logging.LogRecord("millwright", logging.INFO, "x.py", 1, message, args, exc_info)


def test_a_line_says_what_it_is_about_and_only_while_it_is() -> None:
    with about(request="r-1", task=None), about(job="j-1"):
        assert TextForm().format(record("begins %s", "now")).endswith("INFO millwright: begins now request=r-1 job=j-1")
    assert TextForm().format(record("idle")).endswith("INFO millwright: idle")


def test_a_trace_of_an_error_stands_below_the_line() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        with about(job="j-1"):
            lines = TextForm().format(record("failed", exc_info=sys.exc_info())).splitlines()
    assert lines[0].endswith("failed job=j-1")
    assert lines[-1] == "KeyError: 'x'"


def test_a_program_reads_one_object_a_line() -> None:
    try:
        raise KeyError("x")
    except KeyError:
        with about(request="r-1", job="j-1", hypervisor="h-1"):
            text = JsonForm().format(record("two\nlines", exc_info=sys.exc_info()))
    assert "\n" not in text
    line = json.loads(text)
    assert line.pop("at").endswith("Z")
    assert line.pop("exception").endswith("KeyError: 'x'")
    assert line == {
        "level": "INFO", "logger": "millwright", "thread": "MainThread", "message": "two\nlines",
        "request": "r-1", "job": "j-1", "hypervisor": "h-1",
    }  # fmt: skip


def test_what_one_thread_is_about_is_not_what_another_is_about() -> None:
    lines: list[str] = []
    with about(job="j-1"):
        thread = threading.Thread(target=lambda: lines.append(TextForm().format(record("other"))))
        thread.start()
        thread.join()
    assert lines[0].endswith("other")


@pytest.mark.parametrize(("level", "form"), [("LOUD", "text"), ("INFO", "xml")])
def test_a_level_or_form_that_there_is_not_is_refused_by_name(level: str, form: str) -> None:
    with pytest.raises(InvalidSetting, match=r"MILLWRIGHT_LOG_(LEVEL|FORMAT) must be .* not '(LOUD|xml)'"):
        logs.begin(level, form)


def test_a_process_logs_in_the_form_that_was_set() -> None:
    code = "import logging; from runner_service import logs; logs.begin('INFO', 'json'); logging.info('up')"
    said = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(said.stderr)["message"] == "up"
