# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What of the benchmark does not measure: rounds, statistics, targets, table, JSON and picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from tools.bench_all import names
from tools.bench_all.report import lines, write
from tools.bench_all.rounds import alternate
from tools.bench_all.rows import Reading, Row, number, rows_of
from tools.bench_all.targets import TARGETS, Target, median, ratio, verdicts

KEYS = {"case", "contestant", "median_s", "min_s", "max_s", "rounds", "unit"}


def row(case: str, contestant: str, value: float, unit: str = "s") -> Row:
    return Row(case, contestant, value, value, value, 5, unit)


def test_contestants_alternate_and_take_turns_at_being_the_first() -> None:
    turns = [lambda name=name: [Reading(name, 1.0)] for name in "ab"]
    assert [reading.contestant for reading in alternate(turns, 3)] == ["a", "b", "b", "a", "a", "b"]


def test_a_row_has_the_median_and_the_spread_of_its_contestant_and_unit() -> None:
    readings = [Reading("a", 3.0), Reading("a", 7.0, "MB"), Reading("a", 1.0), Reading("b", 5.0), Reading("a", 20.0)]
    assert rows_of("case", readings) == [
        Row("case", "a", 3.0, 1.0, 20.0, 3, "s"),
        Row("case", "a", 7.0, 7.0, 7.0, 1, "MB"),
        Row("case", "b", 5.0, 5.0, 5.0, 1, "s"),
    ]


@pytest.mark.parametrize(("value", "text"), [(0.01234, "0.012"), (12.345, "12.35"), (1234.5, "1,234.5"), (0, "0.000")])
def test_a_number_has_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_ratio_is_of_medians_of_one_case_and_unit() -> None:
    rows = [row("x", "slow", 30.0), row("x", "quick", 2.0), row("y", "quick", 5.0), row("x", "quick", 9.0, "MB")]
    assert ratio("x", "slow", "quick")(rows) == 15.0
    assert ratio("y", "slow", "quick")(rows) is None


def test_of_several_rows_the_worst_counts() -> None:
    rows = [row("x", "growth of a", 1.0, "MB"), row("x", "growth of b", 4.0, "MB"), row("x", "other", 9.0, "MB")]
    assert median("x", "growth of *", "MB")(rows) == 4.0


@pytest.mark.parametrize(
    ("at_least", "value", "word"), [(True, 20, "met"), (True, 19, "missed"), (False, 21, "missed")]
)
def test_a_target_is_met_or_missed(at_least: bool, value: float, word: str) -> None:
    target = Target("speed", median("x", "a"), 20, at_least=at_least)
    [verdict] = verdicts([row("x", "a", value)], [target])
    assert verdict.split()[-1] == word


def test_a_target_of_a_case_that_was_not_measured_is_not_judged() -> None:
    assert not list(verdicts([row(names.ONE_VM, names.RAW, 1.0)]))


def test_every_target_can_be_judged_by_what_the_cases_measure() -> None:
    effort = names.effort(names.TOTAL)
    rows = [
        row(names.ZERO_COST, names.REST, 5.0), row(names.ZERO_COST, names.REST, 20.0, "VMs/s"),
        row(names.ZERO_COST, effort, 0.1, "CPU s/VM"), row(names.ZERO_COST, names.COLD, 4.0),
        row(names.ZERO_COST, names.COMMUNITY, 100.0), row(names.QEMU, names.RAW, 10.0),
        row(names.QEMU, names.REST, 11.5), row(names.ONE_VM, names.REST, 0.35), row(names.ONE_VM, names.COMMUNITY, 2.8),
        row(names.MANY, names.IDEAL, 4.0), row(names.MANY, names.runners(1), 5.0),
        row(names.CROWD, names.ALL_TOLD, 0.9), row(names.CROWD, names.ONE_CHECKED, 0.01),
        row(names.VCENTER, names.ALL_TOLD, 0.9),
        row(names.IDLE, names.TOTAL, 350, "MB"), row(names.IDLE, names.AFTER_WORK, 350, "MB"),
        row(names.IDLE, names.growth("warm", 300), 1.0, "MB"),
    ]  # fmt: skip
    told = list(verdicts(rows))
    assert len(told) == len(TARGETS)
    assert all(line.endswith(" met") for line in told)


def test_table_json_and_picture_show_every_row(tmp_path: Path) -> None:
    rows = [row("x", "Millwright <one>", 1.5), row("x", "other", 0.0), row("y", "other", -1.0, "MB")]
    write(rows, tmp_path)
    written = json.loads((tmp_path / "bench.json").read_text())
    assert [set(one) for one in written] == [KEYS] * 3
    assert written[0]["median_s"] == 1.5
    picture = ET.parse(tmp_path / "bench.svg").getroot()
    assert sum(node.tag.endswith("rect") for node in picture.iter()) == 3 + 1  # and the background
    assert all(any(one.contestant in line for line in lines(rows)) for one in rows)


def test_a_picture_of_nothing_is_one(tmp_path: Path) -> None:
    write([], tmp_path)
    assert ET.parse(tmp_path / "bench.svg").getroot().tag.endswith("svg")
