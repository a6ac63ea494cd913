# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The benchmark of the core runs, at tiny size; what it measures there means nothing."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from runner_service.core.lanes import Ticket
from tools.bench.decisions import FOLLOWERS, crowded
from tools.bench.figures import SIZES
from tools.bench_core import bench

KEYS = {"case", "size", "value", "unit", "target", "ok"}


def test_the_benchmark_prints_a_table_and_writes_the_figures_and_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench(SIZES["tiny"], tmp_path)
    rows = json.loads((tmp_path / "bench-core.json").read_text())
    assert all(set(row) == KEYS for row in rows)
    assert all(row["value"] > 0 and (row["ok"] is None) is (row["target"] is None) for row in rows)
    assert {row["case"].split(",")[0] for row in rows} == {"transitions", "memory", "decision"}
    printed = capsys.readouterr().out
    assert all(row["case"] in printed for row in rows)
    assert ET.parse(tmp_path / "bench-core.svg").getroot().tag.endswith("svg")
    missed = any(row["ok"] is False and row["unit"] == "1/s" for row in rows)
    assert (tmp_path / "bench-core-profile.txt").exists() is missed


def test_a_decision_on_a_batch_has_followers_and_leaves_as_many_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    busy = crowded(1, waiting=100)
    waiting, running = sum(lane.waiting for lane in busy.lanes.overview()), busy.lanes.running
    followed: list[Ticket | None] = []
    follow = busy.lanes.follow
    monkeypatch.setattr(busy.lanes, "follow", lambda *given: followed.append(follow(*given)) or followed[-1])
    busy.decide_on_a_batch(Ticket("r", "j"))
    assert len([ticket for ticket in followed if ticket]) == FOLLOWERS
    assert sum(lane.waiting for lane in busy.lanes.overview()) == waiting
    assert busy.lanes.running == running
