# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import os
import subprocess
import sys

from tools.bench_all.usage import WARM, cpu_of, family, parts_of, pss_of

STARTS_A_WARM_SERVER = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()", sys.argv[1] + ".warm"], stdin=sys.stdin)
print(child.pid, flush=True)
child.wait()
"""


def test_a_family_is_a_process_and_all_below_it() -> None:
    assert family({2: 1, 3: 2, 4: 3, 5: 1}, 2) == {2, 3, 4}


def test_a_warm_server_is_no_part_of_its_runner() -> None:
    command = [sys.executable, "-c", STARTS_A_WARM_SERVER, WARM.removesuffix(".warm")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as runner:
        warm = int(runner.stdout.readline())
        parts = parts_of({"runner-0": runner.pid})
        runner.stdin.write("\n")
    assert parts == {"runner-0": {runner.pid}, "warm": {warm}}


def test_memory_and_processor_time_are_told_by_part() -> None:
    parts = {"ours": {os.getpid()}, "nobody": set()}
    assert pss_of(parts)["ours"] > 1
    assert cpu_of(parts)["ours"] > 0
    assert pss_of(parts)["nobody"] == cpu_of(parts)["nobody"] == 0


def test_a_process_that_is_gone_has_no_memory() -> None:
    with subprocess.Popen(["true"]) as gone:
        pass
    assert pss_of({"gone": {gone.pid}}) == {"gone": 0}
