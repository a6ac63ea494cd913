# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What being told to stop is, in a block and behind it."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.stopping import stopping_in_order


@pytest.fixture(autouse=True)
def heard() -> Iterator[list[int]]:
    """Signals that come outside of a block, or for the second time."""
    heard: list[int] = []
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    for number in before:
        signal.signal(number, lambda number, _frame: heard.append(number))
    yield heard
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_being_told_to_stop_ends_the_block_and_being_told_again_is_as_ever(number: signal.Signals, heard: list[int]):
    with pytest.raises(SystemExit) as ended, stopping_in_order():
        try:
            os.kill(os.getpid(), number)
        finally:
            os.kill(os.getpid(), number)
    assert ended.value.code == 128 + number
    assert heard == [number]


def test_behind_the_block_all_is_as_before(heard: list[int]):
    with stopping_in_order():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [signal.SIGTERM]


def test_what_is_ignored_stays_ignored():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with stopping_in_order():
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN


def test_in_another_thread_than_the_first_nothing_can_be_told():
    done: list[bool] = []

    def work() -> None:
        with stopping_in_order():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
