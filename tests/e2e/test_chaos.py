# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of `make chaos`: processes are killed while VMs are deployed, and every promise holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.__main__ import line, run
from tools.chaos.plan import SHORT, plan_of

#: Chosen because runner, relay and a server die in it while something is being made.
SEED = 1


@pytest.mark.services
@pytest.mark.slow
def test_whatever_is_killed_nothing_is_lost_stuck_doubled_orphaned_or_over_the_bound(tmp_path: Path):
    (result,) = run([SEED], tmp_path, lambda _: SHORT, report=tmp_path / "chaos.json")
    assert result.operations
    assert not result.findings, line(result, tmp_path, plan_of(SEED, SHORT))
