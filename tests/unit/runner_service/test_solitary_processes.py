# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process for one request: what its end says about the request."""

from __future__ import annotations

import sys
import time

import pytest

from runner_service.contract.operations import Operation
from runner_service.ports import Errand, NotStarted
from runner_service.solitary import SolitaryProcess
from tests.requests import chain, request

ERRAND = Errand(request=request(chain("web", Operation.CONFIGURE)), attempt=4, sequence=0)
BEGUN = "import sys, os; os.write(1, b'begun\\n'); sys.stdin.buffer.readline(); "


def carried_out(*command: str) -> bool:
    until = time.monotonic() + 30
    return SolitaryProcess(command).carry_out(ERRAND, lambda: time.monotonic() > until, lambda: False)


def test_one_that_ends_well_has_brought_it_to_its_end() -> None:
    assert carried_out(sys.executable, "-c", BEGUN + "sys.exit(0)")


def test_one_that_breaks_off_was_brought_down_by_it() -> None:
    assert not carried_out(sys.executable, "-c", BEGUN + "os.abort()")


def test_what_it_leaves_running_holds_nobody_up() -> None:
    """Its output stays open as long as that runs."""
    left = "import subprocess; subprocess.Popen(['sleep', '3']); os._exit(1)"
    assert not carried_out(sys.executable, "-c", BEGUN + left)


@pytest.mark.parametrize("command", [("/nowhere/python",), ("false",), (sys.executable, "-m", "no_such_module")])
def test_one_that_never_was_says_nothing_about_it(command: tuple[str, ...]) -> None:
    with pytest.raises(NotStarted):
        carried_out(*command)


def test_what_one_prints_after_its_word_fills_no_pipe() -> None:
    """Nobody reads it, so it would stand still for ever."""
    printing = "from runner_service.solitary import say_begun; say_begun(); print('x' * 1_000_000); os._exit(0)"
    assert carried_out(sys.executable, "-c", f"import os, sys; {printing}")
