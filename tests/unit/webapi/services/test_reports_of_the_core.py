# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever the runner's core reports, over however many deliveries, can be applied, and ends."""

from __future__ import annotations

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runner_service.contract.messages import ErrorReport, TaskRequest
from runner_service.core.steps import Outcome, Start
from tests.drive import Drive
from tests.webapi_world import POWER_AFTER, Json, Runner, World, observed, small
from webapi.services import updates

VERDICTS = st.sampled_from(["done", "done", "failed", "refused"])


def outcome(start: Start, verdict: str) -> Outcome:
    if verdict != "done":
        return Outcome(error=ErrorReport(code="driver.failed", message="it broke", begun=verdict == "failed"))
    return Outcome(changed=True, vm=observed(POWER_AFTER[start.job.operation]))


def deliver(request: TaskRequest, attempt: int, verdicts: list[str], dies_after: int) -> None:
    """One runner's work on the request, until it dies."""
    left = iter(verdicts)
    drive = Drive(request.task, lambda start: outcome(start, next(left, "done")), attempt=attempt).to_the_end()
    runner = Runner(request, attempt)
    for node, event in drive.reports[:dies_after]:
        of = drive.outcomes[node, event] or Outcome()
        updates.apply(runner.update(node, event, changed=of.changed, vm=of.vm, error=of.error))


def _asked(world: World, vm: Json, action: str) -> Json:
    """The task, of a VM that is on unless it is to be deployed."""
    if action == "deploy":
        return world.post(f"/vms/{vm['id']}/deploy")
    world.carry_out(world.post(f"/vms/{vm['id']}/deploy"))
    if action == "undeploy":
        return world.post(f"/vms/{vm['id']}/undeploy")
    return world.post(f"/vms/{vm['id']}/power", {"action": action})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    action=st.sampled_from(["deploy", "undeploy", "shutdown", "pause"]),
    attempts=st.lists(st.tuples(st.lists(VERDICTS, max_size=4), st.integers(0, 9)), max_size=3),
    last=st.lists(VERDICTS, max_size=4),
)
@example(action="deploy", attempts=[([], 5)], last=["failed"])
@example(action="deploy", attempts=[(["done", "failed"], 9)], last=[])
def test_every_report_is_taken_and_the_last_one_frees_the_vm(
    world: World, action: str, attempts: list[tuple[list[str], int]], last: list[str]
):
    datacenter = world.datacenter()
    world.hypervisor(datacenter)
    [vm] = world.appliance(world.vdc(datacenter), small("web"))["vms"]
    task = _asked(world, vm, action)
    [request] = world.requests(task)
    for number, (verdicts, dies_after) in enumerate([*attempts, (last, 10_000)], start=1):
        deliver(request, number, verdicts, dies_after)
    ended, vm = world.get(f"/tasks/{task['id']}"), world.vm(vm)
    assert ended["state"] in ("FINISHED_SUCCESSFULLY", "FINISHED_UNSUCCESSFULLY")
    assert vm["locked_by"] is None
    assert (vm["hypervisor_id"] is None) == (vm["state"] == "NOT_ALLOCATED")
    if ended["state"] == "FINISHED_SUCCESSFULLY":
        assert {job["rollback_state"] for job in ended["children"]} == {"NONE"}
