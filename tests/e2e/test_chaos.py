# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The short form of `make chaos`: processes are killed while VMs are deployed, and every promise holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools.chaos.__main__ import run
from tools.chaos.plan import plan_of
from tools.chaos.report import Report, line
from tools.chaos.sizes import SMALL

#: Chosen because relay, runner, broker and API are struck in it while VMs are being made, some within a tenant's bound.
SEED = 13


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_whatever_is_killed_nothing_is_lost_stuck_doubled_orphaned_or_over_the_bound(tmp_path: Path):
    (result,) = run([plan_of(SEED, SMALL)], tmp_path, 1, Report(tmp_path)).results
    assert result.operations
    assert not result.findings, line(result)
