# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of a job: who, when, where, how often, what Ansible said, and how a person repeats it."""

from __future__ import annotations

import base64

import pytest
from nacl.public import PrivateKey

from runner_service.contract.messages import Job
from runner_service.contract.states import Event
from tests.webapi_world import BROKEN, Runner, World, jobs_of, observed, small
from webapi.database import db
from webapi.models import Job as JobRow
from webapi.services import traces

PUBLIC_KEY = base64.b64encode(bytes(PrivateKey.generate().public_key)).decode()
SECRET = "#cloud-config\npassword: hunter2"


@pytest.fixture
def deploy(world: World) -> dict:
    [vm] = world.site("web")["vms"]
    return world.post(f"/vms/{vm['id']}/deploy")


def _runs(number: int) -> dict:
    return {"runs": [{"task": f"Millwright: {number}"}]}


def _configure(runner: Runner, number: int = 1) -> Job:
    """The first job is done, with a trace."""
    job = runner.root.children[0]
    runner.say(runner.root, Event.START)
    runner.say(job, Event.START)
    runner.say(job, Event.DONE, changed=True, vm=observed("off"), tries=2, trace=_runs(number))
    return job


def test_a_job_says_who_asked_when_where_and_what_became_of_it(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    first = runner.root.children[0]
    runner.say(first, Event.START)
    runner.say(first, Event.ERROR, error=BROKEN, tries=3, trace=_runs(1))
    job = world.get(f"/jobs/{first.id}")
    assert (job["requested_by"], job["runner"], job["attempt"], job["tries"]) == ("tester", "runner-1", 1, 3)
    assert (job["task_id"], job["root_id"], job["request_id"]) == (deploy["id"], deploy["id"], runner.request.id)
    assert (job["state"], job["error"]["detail"]) == ("FAILED", "no such bridge")
    assert job["created_at"] and job["started_at"] and job["ended_at"]
    [report] = job["trace"]["attempts"]["1"]
    assert (report["event"], report["tries"], report["runs"]) == ("ERROR", 3, _runs(1)["runs"])


def test_the_trace_of_undoing_a_job_stands_beside_that_of_doing_it(world: World, deploy: dict):
    runner = world.runner(deploy)
    job = _configure(runner)
    runner.say(job, Event.ROLLBACK_START)
    runner.say(job, Event.ROLLBACK_DONE, trace=_runs(2))
    kept = world.get(f"/jobs/{job.id}")
    assert [(report["event"], report["runs"]) for report in kept["trace"]["attempts"]["1"]] == [
        ("DONE", _runs(1)["runs"]), ("ROLLBACK_DONE", _runs(2)["runs"]),
    ]  # fmt: skip
    assert kept["tries"] == 2


def test_traces_of_the_newest_attempts_are_kept_and_it_is_said_how_many_were_not(world: World, deploy: dict):
    for attempt in range(1, traces.KEPT_ATTEMPTS + 3):
        job = _configure(world.runner(deploy, attempt), attempt)
    trace = world.get(f"/jobs/{job.id}")["trace"]
    assert list(trace["attempts"]) == ["3", "4", "5", "6", "7"]
    assert trace["dropped_attempts"] == 2


def test_a_trace_that_is_too_long_is_left_out_with_its_size(world: World, deploy: dict):
    runner = world.runner(deploy)
    runner.say(runner.root, Event.START)
    job = runner.root.children[0]
    runner.say(job, Event.START)
    runner.say(job, Event.ERROR, error=BROKEN, trace={"said": "x" * traces.MAX_TRACE})
    [report] = world.get(f"/jobs/{job.id}")["trace"]["attempts"]["1"]
    assert "are kept" in report["left_out"]


def test_jobs_are_listed_the_newest_first_and_filtered(world: World, deploy: dict):
    job = _configure(world.runner(deploy))
    assert len(world.get("/jobs")["items"]) == 3, "configure, power on, and the hypervisor's discovery"
    for filters, found in (
        (f"task_id={deploy['id']}", 2), ("state=PENDING", 1), ("operation=configure", 1),
        (f"vm_id={deploy['owner']['id']}", 2), (f"root_id={deploy['id']}&state=DONE", 1),
    ):  # fmt: skip
        assert len(world.get(f"/jobs?{filters}")["items"]) == found, filters
    [listed] = world.get("/jobs?state=DONE&operation=configure")["items"]
    assert listed["id"] == job.id
    assert "trace" not in listed and "replay" not in listed


def test_a_job_is_repeated_with_a_playbook_and_an_inventory_in_which_nothing_is_a_template(world: World, deploy: dict):
    configure, power_on = jobs_of(deploy)
    found = world.get(f"/jobs/{configure['id']}")["replay"]
    assert found["command"] == "ansible-playbook -i inventory.yml millwright.virt.configure"
    assert f'!unsafe "{deploy["owner"]["id"]}"' in found["inventory"]
    assert '!unsafe "url": !unsafe "fake:///' in found["inventory"]
    assert "{{" not in found["inventory"]
    assert found["files"] == {}
    assert "millwright.virt.power_on" in world.get(f"/jobs/{power_on['id']}")["replay"]["command"]


def test_secrets_are_files_beside_the_inventory(world: World):
    datacenter = world.datacenter(public_key=PUBLIC_KEY)
    world.hypervisor(datacenter, username="admin", password="letmein")
    web = small("web", cloud_init={"user_data": SECRET, "meta_data": "role: web"})
    [vm] = world.appliance(world.vdc(datacenter), web)["vms"]
    task = world.post(f"/vms/{vm['id']}/deploy")
    job = world.ask("GET", f"/jobs/{jobs_of(task)[0]['id']}")
    assert "hunter2" not in job.text and "letmein" not in job.text
    assert set(job.json["replay"]["files"]) == {"credentials.json", "user-data"}
    assert '!unsafe "credentials_file": "{{ inventory_dir }}/credentials.json"' in job.json["replay"]["inventory"]
    assert "inventory_dir ~ '/user-data'" in job.json["replay"]["inventory"]


def test_a_job_of_an_earlier_version_cannot_be_repeated(world: World, deploy: dict):
    [job, _] = jobs_of(deploy)
    db.session.get(JobRow, job["id"]).replay = None
    db.session.commit()
    assert world.get(f"/jobs/{job['id']}")["replay"] is None


def test_a_job_from_before_it_kept_all_that_its_playbook_is_told_is_repeated_with_its_timeout(
    world: World, deploy: dict
):
    row = db.session.get(JobRow, jobs_of(deploy)[0]["id"])
    kept = {name: value for name, value in row.replay.items() if name != "variables"}
    for timeout in (None, 30):
        row.replay = {**kept, "timeout": timeout}
        db.session.commit()
        told = world.get(f"/jobs/{row.id}")["replay"]["inventory"]
        assert ('!unsafe "millwright_timeout": 30' in told) is bool(timeout)


def test_a_job_that_does_not_exist_is_not_found(world: World):
    assert "there is no job with the id 'nobody'" in world.refused("GET", "/jobs/nobody", status=404)["message"]
