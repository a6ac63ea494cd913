# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Progress of long operations: told to whoever asked for it, not too often, and never a reason to fail."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from ansible_collections.millwright.virt.plugins.module_utils import progress
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver


@pytest.fixture(autouse=True)
def nothing_reported_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(progress, "_last", float("-inf"))
    yield


def test_a_report_is_in_the_file_whole_and_the_next_one_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "progress"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    progress.report(1, 10)
    progress.report(2, 10)
    assert json.loads(file.read_text()) == {"done": 1, "total": 10}
    monkeypatch.setattr(progress, "EVERY", 0)
    progress.report(3, 10)
    assert json.loads(file.read_text()) == {"done": 3, "total": 10}
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("file", ["", "/nowhere/at/all", "/proc/version"])
def test_a_report_that_nobody_wants_or_that_cannot_be_written_is_no_error(
    monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    monkeypatch.setenv(progress.VARIABLE, file)
    progress.report(1, 10)
    monkeypatch.delenv(progress.VARIABLE)
    progress.report(1, 10)


@pytest.mark.parametrize("told", [{"progress": True}, {}], ids=["reporting", "silent"])
def test_a_fake_hypervisor_that_is_told_to_reports_progress_while_it_takes_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: dict[str, bool]
) -> None:
    file = tmp_path / "progress"
    monkeypatch.setenv(progress.VARIABLE, str(file))
    Store(tmp_path).tell({"delays": {"host": 0.2}, **told})
    with open_driver(Connection(hypervisor_type="fake", url=f"fake://{tmp_path}")) as driver:
        driver.host()
    assert file.exists() is bool(told)
