# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The runner as a process: a real broker before it, real playbooks and a fake hypervisor behind it."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path

from nacl.public import PublicKey, SealedBox

from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store, most_at_once
from runner_service.contract.control import Drop
from runner_service.contract.messages import Task
from runner_service.contract.states import Event
from runner_service.credentials import make_key
from tests.integration.runner.conftest import Api, RunnerProcess
from tests.requests import UNDEPLOY, appliance, chain, job, request, vm_id
from tests.waiting import wait_until


def at(hypervisor: Store) -> str:
    return f"fake://{hypervisor.directory}"


def power(hypervisor: Store) -> dict[str, str]:
    return {machine.name: machine.power.value for machine in hypervisor.read().machines.values()}


def volumes(hypervisor: Store) -> list[str]:
    return sorted(hypervisor.read().pools["default"].volumes)


def test_a_deploy_makes_the_vms_and_reports_each_step(api: Api, runner: RunnerProcess, hypervisor: Store) -> None:
    api.send(request(appliance("web", "db"), url=at(hypervisor)))
    assert api.wait_for("appliance").event is Event.DONE
    assert power(hypervisor) == {"web": "on", "db": "on"}
    for node in ("web.task", "web.configure", "web.power_on", "db.power_on", "appliance"):
        assert api.events(node) == [Event.START, Event.DONE], node
    done = api.wait_for("web.power_on", Event.DONE)
    assert done.changed
    assert done.vm is not None
    assert (done.vm["power"], done.vm["uuid"]) == ("on", vm_id("web"))
    assert [update.sequence for update in api.updates] == list(range(1, len(api.updates) + 1))
    assert runner.stop() == 0
    assert api.waiting() == 0


def test_an_undeploy_leaves_nothing(api: Api, runner: RunnerProcess, hypervisor: Store) -> None:
    api.send(request(appliance("web"), url=at(hypervisor)))
    api.wait_for("appliance")
    api.send(request(chain("web", *UNDEPLOY), url=at(hypervisor)))
    assert api.wait_for("web.unconfigure").vm is None
    assert (power(hypervisor), volumes(hypervisor)) == ({}, [])


def test_a_deploy_whose_second_step_fails_leaves_nothing_and_does_not_touch_its_sibling(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"failures": [{"operation": "power_on", "vm": "db"}]})
    api.send(request(appliance("web", "db"), url=at(hypervisor)))
    ended = api.wait_for("appliance")
    assert ended.event is Event.ERROR
    assert ended.error is not None
    assert ended.error.code == "driver.failed"
    assert power(hypervisor) == {"web": "on"}
    assert len(volumes(hypervisor)) == 1
    assert api.events("db.power_on") == [Event.START, Event.ERROR, Event.ROLLBACK_START, Event.ROLLBACK_DONE]
    assert api.events("db.configure") == [Event.START, Event.DONE, Event.ROLLBACK_START, Event.ROLLBACK_DONE]
    assert api.events("web.task") == [Event.START, Event.DONE]


def test_a_runner_that_is_killed_in_the_middle_of_a_job_loses_and_doubles_nothing(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"delays": {"create": 20}})
    api.send(request(appliance("web"), url=at(hypervisor)))
    wait_until(lambda: volumes(hypervisor), 30, "the first half of create")
    runner.kill()
    hypervisor.tell({})
    runner.start()
    ended = api.wait_for("appliance")
    assert (ended.event, ended.attempt) == (Event.DONE, 2)
    assert power(hypervisor) == {"web": "on"}
    assert len(volumes(hypervisor)) == 1
    creates = [span for span in hypervisor.operations() if span.operation == "create"]
    assert [span.end is None for span in creates] == [True, False]


def test_what_was_ended_without_its_runner_is_dropped_and_the_next_request_for_its_vm_goes_on(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"delays": {"create": 600}})
    ended = request(appliance("web"), url=at(hypervisor))
    api.send(ended)
    wait_until(lambda: volumes(hypervisor), 30, "the first half of create")
    held = wait_until(lambda: api.read() and api.runners.get("runner") and api.runners["runner"].holds, 30, "a status")
    assert held == (ended.id,)
    api.tell(Drop(request_id=ended.id))
    hypervisor.tell({})
    api.send(request(chain("web", *UNDEPLOY), url=at(hypervisor)))
    assert api.wait_for("web.unconfigure").event is Event.DONE
    assert (power(hypervisor), volumes(hypervisor)) == ({}, [])
    assert {update.event for update in api.updates if update.request_id == ended.id} == {Event.START}
    wait_until(lambda: api.read() and not api.runners["runner"].holds, 30, "a status without any")
    assert runner.stop() == 0
    assert api.waiting() == 0


def test_rubbish_goes_to_the_dead_letters_with_its_reason(api: Api, runner: RunnerProcess, hypervisor: Store) -> None:
    bad = json.loads(request(chain("web", *UNDEPLOY)).encode())
    bad["task"]["children"][0]["operation"] = "explode"
    for body in (b"\x00rubbish", json.dumps(bad).encode()):
        api.send_raw(body, api.topology.in_queue(0))
    wait_until(lambda: api.read() is api.updates and len(api.reasons) == 2, 20, "two dead letters")
    assert "not JSON" in api.reasons[0]
    assert "task.children[0].operation: must be one of: configure" in api.reasons[1]
    api.send(request(chain("web", *UNDEPLOY), url=at(hypervisor)))
    assert api.wait_for("web.task").event is Event.DONE, "the runner goes on"


def test_the_hypervisor_never_sees_more_sessions_than_it_may_have(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"delays": {"create": 2.0}})
    labels = [f"vm{number}" for number in range(3)]
    for label in labels:
        api.send(request(chain(label, job(label, "configure").operation), url=at(hypervisor), open_sessions=2))
    for label in labels:
        assert api.wait_for(f"{label}.task").event is Event.DONE
    assert most_at_once([span for span in hypervisor.operations() if span.operation == "create"]) == 2


def test_an_error_that_passes_is_tried_again(api: Api, runner: RunnerProcess, hypervisor: Store) -> None:
    hypervisor.tell({"failures": [{"operation": "create", "error": "driver.busy", "times": 1}]})
    api.send(request(appliance("web"), url=at(hypervisor)))
    assert api.wait_for("appliance").event is Event.DONE
    assert api.events("web.configure") == [Event.START, Event.DONE]


def test_a_hypervisor_that_does_not_answer_fails_the_job_with_its_words(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"unreachable": True})
    api.send(request(appliance("web"), url=at(hypervisor)))
    error = api.wait_for("web.configure", Event.ERROR).error
    assert error is not None
    assert (error.code, error.retryable) == ("driver.unreachable", True)
    assert str(hypervisor.directory) in error.message
    assert "behaviour.json says so" in error.detail
    assert api.wait_for("appliance").event is Event.ERROR
    assert error.begun is False
    # It was never reached, so there is nothing to undo.
    assert api.events("web.configure") == [Event.START, Event.ERROR]


def test_a_password_is_in_no_message_and_no_log(
    api: Api, runner: RunnerProcess, hypervisor: Store, tmp_path: Path
) -> None:
    runner.stop()
    public = PublicKey(base64.b64decode(make_key(tmp_path / "key")))
    runner.environment |= {"MILLWRIGHT_PRIVATE_KEY_FILE": str(tmp_path / "key"), "MILLWRIGHT_LOG_LEVEL": "DEBUG"}
    runner.start()
    sealed, wrong = (
        base64.b64encode(
            SealedBox(public).encrypt(json.dumps({"username": "admin", "password": word}).encode())
        ).decode()
        for word in ("canary-77aa", "canary-88bb")
    )
    hypervisor.tell({"accounts": {"admin": "canary-77aa"}, "failures": [{"operation": "power_on", "vm": "db"}]})
    api.send(request(appliance("web", "db"), url=at(hypervisor), sealed_credentials=sealed))
    api.wait_for("appliance")
    api.send(request(chain("web", *UNDEPLOY), url=at(hypervisor), sealed_credentials=wrong))
    error = api.wait_for("web.unconfigure", Event.ERROR).error
    assert error is not None
    assert error.code == "driver.authentication_failed"
    assert power(hypervisor) == {"web": "on"}
    for said in (runner.said, repr(api.updates)):
        assert "canary-77aa" not in said
        assert "canary-88bb" not in said


def test_user_data_is_in_no_message_and_no_log(
    api: Api, runner: RunnerProcess, hypervisor: Store, tmp_path: Path
) -> None:
    runner.stop()
    public = PublicKey(base64.b64decode(make_key(tmp_path / "key")))
    runner.environment |= {"MILLWRIGHT_PRIVATE_KEY_FILE": str(tmp_path / "key"), "MILLWRIGHT_LOG_LEVEL": "DEBUG"}
    runner.start()
    sealed = base64.b64encode(SealedBox(public).encrypt(b"#cloud-config\npassword: canary-31cd\n")).decode()
    hypervisor.tell({"failures": [{"operation": "create", "vm": "db"}]})
    for label in ("web", "db"):
        asked = request(Task(id=f"{label}.task", children=(job(label, "configure", sealed_user_data=sealed),)))
        assert b"canary-31cd" not in asked.encode()
        api.send(replace(asked, hypervisor=replace(asked.hypervisor, url=at(hypervisor))))
    assert api.wait_for("web.task").event is Event.DONE
    assert api.wait_for("db.task").event is Event.ERROR
    assert "canary-31cd" not in runner.said
    assert "canary-31cd" not in repr(api.updates)
    (web,) = hypervisor.read().machines.values()
    assert web.definition is not None
    assert web.definition["cloud_init"]["user_data"], "its fingerprint"


def test_sigterm_lets_the_running_job_end_and_hands_the_rest_back(
    api: Api, runner: RunnerProcess, hypervisor: Store
) -> None:
    hypervisor.tell({"delays": {"create": 2}})
    api.send(request(appliance("web"), url=at(hypervisor)))
    wait_until(lambda: volumes(hypervisor), 30, "the first half of create")
    assert runner.stop() == 0
    assert power(hypervisor) == {"web": "off"}
    wait_until(lambda: api.waiting() == 1, 10, "the request to be back in its queue")
    assert list(runner.log.parent.joinpath("runs").iterdir()) == []
    hypervisor.tell({})
    runner.start()
    assert api.wait_for("appliance").event is Event.DONE
    assert power(hypervisor) == {"web": "on"}
    assert api.events("web.configure", attempt=2) == [Event.START, Event.DONE]
