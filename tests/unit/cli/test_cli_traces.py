# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a task that failed to what was said of its job; and dead letters."""

from __future__ import annotations

import json

import pytest

from tests.unit.cli import fake_traces


@pytest.fixture
def failed(millwright, ok, shop) -> str:
    """What is said of a deploy that failed."""
    ok("vm", "create", "broken", "--vapp", "shop", "--template", "tiny", "--memory-mib", "64")
    return millwright("vm", "deploy", "broken").stdout


@pytest.fixture
def letters(api) -> list[str]:
    """An update, a request whose task has ended, and what nobody can read."""
    made = [
        api.add("deadletters", **fake_traces.letter(kind="update", reason="a defect", message={"event": "DONE"})),
        api.add("deadletters", **fake_traces.letter(kind="request", task_id="t1")),
        api.add("deadletters", **fake_traces.letter()),
    ]
    return [each["id"] for each in made]


def test_a_failed_task_leads_to_its_job_and_the_job_to_the_way_to_repeat_it(ok, failed):
    *_, last = failed.splitlines()
    command = last.partition("millwright ")[2].split()
    shown = ok(*command)
    assert "operation: power_on" in shown and "requested_by: admin" in shown and "Cannot recv data" in shown
    [again] = [line for line in shown.splitlines() if line.startswith("replay:")]
    said = ok(*again.partition("millwright ")[2].split())
    assert "millwright.virt.power_on" in said and '!unsafe "all"' in said


def test_jobs_are_listed_by_state_operation_and_task(ok, as_json, failed):
    [job] = as_json("job", "list", "--state", "failed")["items"]
    assert job["operation"] == "power_on"
    assert "driver.unreachable" in ok("job", "list", "--operation", "power_on")
    assert len(as_json("job", "list", "--task", job["root_id"])["items"]) == 2
    assert as_json("job", "show", job["id"][:8])["id"] == job["id"]


def test_an_inventory_is_written_into_a_folder(ok, as_json, failed, tmp_path):
    [job] = as_json("job", "list", "--state", "failed")["items"]
    folder = tmp_path / "by hand"
    said = ok("job", "replay", job["id"], "--out", str(folder))
    assert (folder / "inventory.yml").read_text() == fake_traces.INVENTORY
    assert said == f"cd '{folder}' && ansible-playbook -i inventory.yml millwright.virt.power_on --check --diff\n"
    assert as_json("job", "replay", job["id"])["inventory"] == fake_traces.INVENTORY


def test_an_inventory_that_was_worked_at_is_not_written_over(ok, millwright, as_json, failed, tmp_path):
    [job] = as_json("job", "list", "--state", "failed")["items"]
    again = ("job", "replay", job["id"], "--out", str(tmp_path))
    assert ok(*again) == ok(*again)
    (tmp_path / "inventory.yml").write_text("mine")
    refused = millwright(*again)
    assert (refused.exit_code, "inventory.yml is there already" in refused.stderr) == (1, True)
    assert (tmp_path / "inventory.yml").read_text() == "mine"


def test_files_that_must_stand_beside_it_are_named(ok, as_json, failed, monkeypatch):
    found = {"command": "ansible-playbook", "inventory": "", "files": {"credentials.json": "how to log in"}}
    monkeypatch.setattr(fake_traces, "replay", lambda job: found)
    [job] = as_json("job", "list", "--state", "failed")["items"]
    assert "put beside it: credentials.json, how to log in" in ok("job", "replay", job["id"])


def test_a_job_of_which_too_little_was_kept_cannot_be_repeated(millwright, as_json, failed, monkeypatch):
    monkeypatch.setattr(fake_traces, "replay", lambda job: None)
    [job] = as_json("job", "list", "--state", "failed")["items"]
    result = millwright("job", "replay", job["id"])
    assert (result.exit_code, "too little was kept" in result.stderr) == (1, True)


def test_dead_letters_are_listed_and_shown(ok, as_json, letters):
    assert "a defect" in ok("dlq", "list")
    assert [letter["id"] for letter in as_json("dlq", "list")["items"]] == letters[::-1]
    assert "what is this" in ok("dlq", "show", letters[2])
    assert as_json("dlq", "show", letters[0][:8])["body"] == "what is this"
    shown = ok("dlq", "show", letters[0])
    assert "event: DONE" in shown and "body:" not in shown, "what is JSON is shown once"


def test_one_is_sent_again(ok, as_json, letters):
    assert ok("dlq", "requeue", letters[0]) == "1 dead letter will be sent again.\n"
    assert as_json("dlq", "show", letters[0])["requeue_asked_at"]
    assert "to be sent again" in ok("dlq", "list")


def test_one_that_is_refused_is_told_with_its_code(millwright, letters):
    for id, code in ((letters[1], "deadletter.gone"), (letters[2], "deadletter.unreadable")):
        result = millwright("dlq", "requeue", id)
        assert (result.exit_code, result.stdout) == (1, "")
        assert f"[{code}]" in result.stderr


def test_a_task_that_asks_for_the_same_anew_is_named(ok, api, letters):
    api.rows["deadletters"][letters[1]]["is_of_a_vm_that_is_there"] = True
    assert ok("dlq", "requeue", letters[1]) == "Task 0a1b2c3d-anew asks for the same anew.\n"


def test_of_all_those_that_can_be_are_sent_again_and_the_others_told(millwright, letters):
    result = millwright("dlq", "requeue", "--all")
    assert (result.exit_code, result.stdout) == (1, "1 dead letter will be sent again.\n")
    assert all(id in result.stderr for id in letters[1:])


def test_dropping_asks_first(millwright, as_json, letters):
    asked = millwright("dlq", "drop", "--all", stdin="n\n")
    assert (asked.exit_code, "Forget 3 dead letters for good?" in asked.stderr) == (1, True)
    assert len(as_json("dlq", "list")["items"]) == 3
    assert millwright("dlq", "drop", letters[0], stdin="y\n").stdout == "1 dead letter was dropped.\n"
    assert millwright("dlq", "drop", "--all", "--yes").stdout == "2 dead letters were dropped.\n"
    assert as_json("dlq", "list")["items"] == []


def test_filters_choose_which(ok, as_json, api, lab, letters):
    dc1 = as_json("datacenter", "show", "dc1")["id"]
    api.rows["deadletters"][letters[2]]["datacenter_id"] = dc1
    assert [each["id"] for each in as_json("dlq", "list", "--datacenter", "dc1")["items"]] == [letters[2]]
    ok("dlq", "drop", "--all", "--datacenter", "dc1", "--yes")
    assert [each["id"] for each in as_json("dlq", "list")["items"]] == letters[1::-1]


@pytest.mark.parametrize(
    "words", [["drop"], ["requeue"], ["drop", "{id}", "--all"], ["requeue", "{id}", "--datacenter", "dc1"]]
)
def test_neither_one_nor_all_is_wrong_usage(millwright, letters, words):
    result = millwright(
        "dlq", *(word.format(id=letters[0]) for word in words), "--yes" if words[0] == "drop" else "-ojson"
    )
    assert result.exit_code == 2


def test_what_is_acted_on_answers_nothing_in_json(ok, letters):
    assert ok("dlq", "requeue", letters[0], "-o", "json") == ""
    assert json.loads(ok("dlq", "list", "-o", "json"))["next"] is None
