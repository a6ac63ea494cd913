# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import json
from pathlib import Path

from tools.chaos.report import Report, line, table
from tools.chaos.seen import Finding, Kind
from tools.chaos.trial import Result

CLEAN = Result(seed=2, form="small", vms=5, operations=7, kills={"api": 1})
BROKEN = Result(seed=1, form="big", vms=30, findings=[Finding(Kind.LOST, "task t")], kept="build/chaos/1")


def test_the_report_is_whole_after_every_seed_and_in_their_order(tmp_path: Path):
    report = Report(tmp_path)
    report.add(CLEAN)
    assert [row["seed"] for row in json.loads((tmp_path / "chaos.json").read_text())] == [2]
    assert not report.broken
    report.add(BROKEN)
    assert [row["seed"] for row in json.loads((tmp_path / "chaos.json").read_text())] == [1, 2]
    assert report.broken


def test_a_row_says_what_happened_and_counts_what_was_found():
    row = BROKEN.to_dict()
    words = "seed form operations vms kills lost stuck doubled orphaned over_the_bound disagree unmade seconds"
    assert set(words.split()) <= set(row)
    assert (row["lost"], row["stuck"], row["details"]) == (1, 0, ["lost: task t"])


def test_a_failed_seed_says_how_to_repeat_it_and_where_its_logs_are():
    assert "build/chaos/1; again: python -m tools.chaos --seed 1 --form big" in line(BROKEN)
    assert line(CLEAN).endswith("killed api:1  ok")


def test_the_table_has_a_column_for_each_form_that_there_was_and_one_for_all():
    rows = {row[:22].strip(): row[22:].split() for row in table([BROKEN, CLEAN]).splitlines()}
    assert rows[""] == ["small", "big", "all"]
    assert (rows["vms"], rows["lost"], rows["kills: api"]) == (["5", "30", "35"], ["0", "1", "1"], ["1", "0", "1"])
