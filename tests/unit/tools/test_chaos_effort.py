# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
import sys

from tools.chaos.effort import processor_seconds

BUSY = "import time\nwhile time.process_time() < 0.3: pass\nprint(flush=True)\n"


def test_what_a_process_has_cost_counts_while_it_lives_and_afterwards():
    before = processor_seconds()
    code = f"{BUSY}import sys; sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        child.stdout.readline()
        alive = processor_seconds() - before
    assert 0.25 <= alive <= processor_seconds() - before + 0.05
