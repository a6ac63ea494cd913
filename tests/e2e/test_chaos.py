# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of `make chaos`: processes are killed while VMs are deployed, and every promise holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.__main__ import line, run
from tools.chaos.plan import SHORT, plan_of

#: Chosen because runner, relay, broker and API are killed in it, one after the other, while VMs are being made.
SEED = 6


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_is_killed_nothing_is_lost_stuck_doubled_orphaned_or_over_the_bound(tmp_path: Path):
    (result,) = run([SEED], tmp_path, lambda _: SHORT, report=tmp_path / "chaos.json")
    assert result.operations
    assert not result.findings, line(result, tmp_path, plan_of(SEED, SHORT))
