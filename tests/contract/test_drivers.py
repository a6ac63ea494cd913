# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The driver contract: one suite, run unchanged over every driver (peers.py says over which)."""

from __future__ import annotations

import dataclasses
import json
import pathlib

import pytest
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    AuthenticationFailed,
    Conflict,
    DriverError,
    InvalidTemplate,
    InvalidTransition,
    NotFound,
    TimedOut,
    Unreachable,
    Unsupported,
    VmNotFound,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import (
    Result,
    ensure_absent,
    ensure_power,
    ensure_present,
)
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import (
    POWER_FROM,
    POWER_GOAL,
    PowerAction,
    PowerState,
)

WEB = VmRef(name="web")
#: The way from OFF to each power state that can be reached on purpose.
ROUTES = {
    PowerState.OFF: (),
    PowerState.ON: (PowerAction.ON,),
    PowerState.PAUSED: (PowerAction.ON, PowerAction.PAUSE),
}
HOSTILE_NAMES = (
    "{{ lookup('pipe','id') }}",
    "{% for x in y %}",
    "'; DROP TABLE vms; --",
    "<b> &amp; <![CDATA[ ]]>",
    "quo\"te's & co",
    "$(touch pwned)",
    "-rf",
    "snö ☃ 雪",
    "x" * 80,
)


def two_disks(peer: Peer) -> list[dict[str, object]]:
    return [{"name": name, "size_mib": 4, "pool": peer.pool} for name in ("first", "second")]


def create(driver: VmDriver, want: VmDefinition, power: PowerState = PowerState.OFF) -> None:
    driver.create(want)
    for action in ROUTES[power]:
        driver.power(VmRef.of(want), action, 30)


def agreed(plan: Result, done: Result) -> bool:
    """Plan and apply say the same. Where a VM has addresses and logs is only known once it is there."""
    return (
        plan.changed == done.changed
        and plan.before == done.before
        and plan.changes == done.changes
        and plan.removed == done.removed
        and (plan.after is None) == (done.after is None)
        and (plan.after is None or plan.after.power is done.after.power)
        and (plan.after is None or (plan.after.name, plan.after.uuid) == (done.after.name, done.after.uuid))
        and (plan.after is None or changes(done.after.definition, plan.after.definition) == ())
    )


# --- create, find, list ---


def test_a_created_vm_is_off_and_managed_and_as_it_was_defined(peer: Peer, driver: VmDriver):
    want = definition(peer, cpu={"count": 2, "cores_per_socket": 2}, description="front end", tags={"tier": "web"})
    driver.create(want)
    found = driver.find(VmRef.of(want))
    assert (found.name, found.uuid) == ("web", want.identity)
    assert (found.power, found.managed) == (PowerState.OFF, True)
    assert changes(found.definition, want) == ()


def test_a_vm_is_found_by_its_uuid_and_by_its_name(peer: Peer, driver: VmDriver):
    uuid = "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"
    driver.create(definition(peer, uuid=uuid))
    assert driver.find(VmRef(name="web")).uuid == uuid
    assert driver.find(VmRef(name="called otherwise", uuid=uuid)).name == "web"
    assert driver.find(VmRef(name="web", uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a11")) is None
    assert driver.find(VmRef(name="absent")) is None


def test_vms_are_listed_by_name_with_the_foreign_ones(peer: Peer, driver: VmDriver):
    before = {vm.name for vm in driver.list_vms()}
    driver.create(definition(peer, "zeta"))
    driver.create(definition(peer, "alpha"))
    foreign = peer.make_foreign(driver, "middle")
    listed = [vm for vm in driver.list_vms() if vm.name not in before]
    assert [(vm.name, vm.managed) for vm in listed] == [("alpha", True), ("middle", False), ("zeta", True)]
    assert listed[1].uuid == foreign


def test_an_empty_disk_and_several_disks_are_made(peer: Peer, driver: VmDriver):
    scratch = {"name": "scratch", "size_mib": 8, "pool": peer.pool}
    raw = {"name": "raw", "size_mib": 4, "format": "raw", "bus": "sata", "pool": peer.pool}
    want = definition(peer, disks=[scratch, raw])
    driver.create(want)
    assert changes(driver.find(WEB).definition, want) == ()


def test_a_full_copy_of_a_template_is_made(peer: Peer, driver: VmDriver):
    disk = {"name": "root", "template": peer.template, "clone": "full", "pool": peer.pool}
    want = definition(peer, disks=[disk])
    driver.create(want)
    assert changes(driver.find(WEB).definition, want) == ()


def test_the_second_configure_changes_nothing(peer: Peer, driver: VmDriver):
    want = definition(peer)
    assert ensure_present(driver, want, dry_run=False).changed
    files = peer.files(driver)
    again = ensure_present(driver, want, dry_run=False)
    assert (again.changed, again.changes, peer.files(driver)) == (False, (), files)


def test_a_vm_made_by_its_name_alone_is_the_same_when_its_uuid_is_given(peer: Peer, driver: VmDriver):
    want = definition(peer)
    driver.create(want)
    again = ensure_present(driver, definition(peer, uuid=want.identity), dry_run=False)
    assert (again.changed, again.after.uuid) == (False, want.identity)


def test_the_plan_of_a_configure_is_what_it_does(peer: Peer, driver: VmDriver):
    want, files = definition(peer), peer.files(driver)
    plan = ensure_present(driver, want, dry_run=True)
    assert (driver.find(WEB), peer.files(driver)) == (None, files)
    assert agreed(plan, ensure_present(driver, want, dry_run=False))


def test_a_name_that_another_vm_has_is_a_conflict_and_leaves_nothing(peer: Peer, driver: VmDriver):
    driver.create(definition(peer))
    want, files = definition(peer, uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"), peer.files(driver)
    for attempt in (driver.check, driver.create):
        with pytest.raises(Conflict, match="web"):
            attempt(want)
    assert peer.files(driver) == files
    assert driver.find(WEB).uuid == definition(peer).identity


def test_an_identity_that_another_vm_has_is_a_conflict_and_leaves_nothing(peer: Peer, driver: VmDriver):
    uuid = "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"
    driver.create(definition(peer, uuid=uuid))
    want, files = definition(peer, "other", uuid=uuid), peer.files(driver)
    for attempt in (driver.check, driver.create):
        with pytest.raises(Conflict):
            attempt(want)
    assert (driver.find(VmRef(name="other")), peer.files(driver)) == (None, files)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_hostile_names_and_texts_are_data(peer: Peer, driver: VmDriver, name: str):
    want = definition(peer, name, description=f"{name}\n]]>", tags={name: name})
    files = peer.files(driver)
    driver.create(want)
    found = driver.find(VmRef(name=name))
    assert (found.name, found.definition.description, found.definition.tags) == (name, f"{name}\n]]>", {name: name})
    assert name in [vm.name for vm in driver.list_vms()]
    driver.delete(VmRef(name=name))
    assert (driver.find(VmRef(name=name)), peer.files(driver)) == (None, files)


def test_user_data_is_compared_and_never_shown(peer: Peer, driver: VmDriver):
    if Capability.CLOUD_INIT not in driver.capabilities:
        pytest.skip("no cloud-init here")
    want = definition(peer, cloud_init={"user_data": "#cloud-config\npassword: {{ canary-4711 }} '\"&<>\n"})
    done = ensure_present(driver, want, dry_run=False)
    assert not ensure_present(driver, want, dry_run=False).changed
    assert "canary-4711" not in json.dumps(done.to_dict())
    other = definition(peer, cloud_init={"user_data": "#cloud-config\n"})
    assert [change.path for change in changes(driver.find(WEB).definition, other)] == ["cloud_init.user_data"]
    if "cloud_init.user_data" not in driver.changeable:
        with pytest.raises(Unsupported, match=r"cloud_init\.user_data of VM 'web': a guest reads them when it first"):
            ensure_present(driver, other, dry_run=True)


# --- what the hypervisor lacks, and operations that fail ---


LACKING = {
    "template": lambda peer: {"disks": [{"template": "no-such-template", "pool": peer.pool}]},
    "template path": lambda peer: {"disks": [{"template": "/no/such/template.qcow2", "pool": peer.pool}]},
    "pool": lambda peer: {"disks": [{"size_mib": 1, "pool": "no-such-pool"}]},
    "network": lambda peer: {"nics": [{"network": "no-such-network"}]},
    "cdrom": lambda peer: {"cdrom": "no-such.iso"},
}


@pytest.mark.parametrize("what", LACKING)
def test_a_definition_that_names_what_is_not_there_is_refused_by_plan_and_apply(peer: Peer, driver: VmDriver, what):
    want, files = definition(peer, **LACKING[what](peer)), peer.files(driver)
    for attempt in (driver.check, driver.create):
        with pytest.raises(NotFound, match=r"no.such"):
            attempt(want)
    with pytest.raises(NotFound):
        ensure_present(driver, want, dry_run=True)
    assert (driver.find(WEB), driver.residue(WEB), peer.files(driver)) == (None, (), files)


@pytest.mark.parametrize("what", ["pool", "network"])
def test_the_refusal_names_what_there_is(peer: Peer, driver: VmDriver, what):
    with pytest.raises(NotFound, match=getattr(peer, what)):
        driver.create(definition(peer, **LACKING[what](peer)))


@pytest.mark.parametrize("clone", ["linked", "full"])
def test_files_of_a_vm_are_no_templates(peer: Peer, driver: VmDriver, clone: str):
    before = peer.files(driver)
    driver.create(definition(peer, "other"))
    made = peer.files(driver)
    for file in made - before:
        want = definition(peer, disks=[{"name": "root", "template": file, "pool": peer.pool, "clone": clone}])
        for attempt in (driver.check, driver.create):
            with pytest.raises((InvalidTemplate, NotFound)):
                attempt(want)
    assert (driver.find(WEB), peer.files(driver)) == (None, made)


def test_a_create_that_fails_leaves_nothing(peer: Peer, driver: VmDriver):
    want, files = definition(peer), peer.files(driver)
    with peer.failing_create(driver, want), pytest.raises(DriverError) as failure:
        driver.create(want)
    assert failure.value.left == ()
    assert (driver.find(WEB), driver.residue(WEB), peer.files(driver)) == (None, (), files)
    driver.create(want)


def test_what_a_killed_create_left_is_named_and_replaced(peer: Peer, driver: VmDriver):
    want = definition(peer)
    peer.leave_residue(driver, want)
    left = driver.residue(WEB)
    assert left
    plan = ensure_present(driver, want, dry_run=True)
    done = ensure_present(driver, want, dry_run=False)
    assert plan.removed == done.removed == left
    assert agreed(plan, done)


def test_what_a_killed_create_left_is_removed_with_the_vm(peer: Peer, driver: VmDriver):
    want, files = definition(peer), peer.files(driver)
    peer.leave_residue(driver, want)
    assert peer.files(driver) != files
    plan = ensure_absent(driver, WEB, dry_run=True)
    done = ensure_absent(driver, WEB, dry_run=False)
    assert done.changed
    assert agreed(plan, done)
    assert (driver.residue(WEB), peer.files(driver)) == ((), files)


def test_a_vm_that_is_there_is_no_residue(peer: Peer, driver: VmDriver):
    driver.create(definition(peer))
    files = peer.files(driver)
    assert driver.residue(WEB) == ()
    driver.remove_residue(WEB)
    assert (driver.find(WEB).name, peer.files(driver)) == ("web", files)


def test_residue_of_one_vm_is_not_anothers(peer: Peer, driver: VmDriver):
    peer.leave_residue(driver, definition(peer, "web-2"))
    assert driver.residue(WEB) == ()


# --- delete ---


@pytest.mark.parametrize("power", ROUTES)
def test_a_deleted_vm_is_gone_with_its_disks_whatever_its_power(peer: Peer, driver: VmDriver, power):
    files = peer.files(driver)
    create(driver, definition(peer), power)
    assert peer.files(driver) != files
    done = ensure_absent(driver, WEB, dry_run=False)
    assert (done.changed, done.before.name, done.after) == (True, "web", None)
    assert (driver.find(WEB), peer.files(driver)) == (None, files)


def test_a_missing_vm_is_a_deleted_vm(peer: Peer, driver: VmDriver):
    driver.delete(WEB)
    assert not ensure_absent(driver, WEB, dry_run=False).changed


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_deleting_the_old_name_of_a_renamed_vm_takes_nothing_of_it(peer: Peer, driver: VmDriver, power):
    want = definition(peer)
    driver.create(want)
    renamed = definition(peer, "shop", uuid=want.identity)
    ensure_present(driver, renamed, dry_run=False)
    for action in ROUTES[power]:
        driver.power(VmRef.of(renamed), action, 30)
    files = peer.files(driver)
    assert driver.residue(WEB) == ()
    for dry_run in (True, False):
        done = ensure_absent(driver, WEB, dry_run=dry_run)
        assert (done.changed, done.removed) == (False, ())
    driver.delete(WEB)
    assert (driver.find(VmRef.of(renamed)).power, peer.files(driver)) == (power, files)


def test_the_plan_of_an_unconfigure_is_what_it_does(peer: Peer, driver: VmDriver):
    driver.create(definition(peer))
    files = peer.files(driver)
    plan = ensure_absent(driver, WEB, dry_run=True)
    assert driver.find(WEB) is not None
    assert peer.files(driver) == files
    assert agreed(plan, ensure_absent(driver, WEB, dry_run=False))


def test_a_vm_of_which_a_delete_that_failed_has_taken_disks_is_made_anew(peer: Peer, driver: VmDriver):
    """Who undid a deploy may have been killed, and the deploy is carried out once more."""
    disks = [{"name": name, "size_mib": 4, "pool": peer.pool} for name in ("a", "b", "c")]
    want = definition(peer, disks=disks)
    driver.create(want)
    files = peer.files(driver)
    with peer.failing_delete(driver, want), pytest.raises(DriverError):
        driver.delete(WEB)
    plan = ensure_present(driver, want, dry_run=True)
    done = ensure_present(driver, want, dry_run=False)
    assert plan.changed is done.changed is (plan.before is not None and plan.before.half_deleted)
    assert (peer.files(driver), driver.find(WEB).half_deleted) == (files, False)
    assert not ensure_present(driver, want, dry_run=False).changed


def test_a_delete_that_fails_half_way_leaves_a_vm_that_can_be_deleted(peer: Peer, driver: VmDriver):
    want, files = definition(peer, disks=two_disks(peer)), peer.files(driver)
    driver.create(want)
    made = peer.files(driver)
    with peer.failing_delete(driver, want), pytest.raises(DriverError) as failed:
        ensure_absent(driver, WEB, dry_run=False)
    left = peer.files(driver) - files
    assert left < made - files
    assert {pathlib.PurePosixPath(name).name for name in failed.value.left} == left
    assert failed.value.begun
    assert driver.find(WEB) is not None
    plan = ensure_absent(driver, WEB, dry_run=True)
    assert agreed(plan, ensure_absent(driver, WEB, dry_run=False))
    assert (driver.find(WEB), driver.residue(WEB), peer.files(driver)) == (None, (), files)


def test_deleting_one_vm_leaves_its_neighbour_whole(peer: Peer, driver: VmDriver):
    driver.create(definition(peer, "web-2"))
    files = peer.files(driver)
    driver.create(definition(peer, "web"))
    driver.delete(WEB)
    assert peer.files(driver) == files
    assert driver.find(VmRef(name="web-2")) is not None


# --- foreign VMs ---


def test_a_foreign_vm_is_never_changed_or_deleted(peer: Peer, driver: VmDriver):
    uuid = peer.make_foreign(driver, "web")
    ref, want, files = VmRef(name="web", uuid=uuid), definition(peer, uuid=uuid), peer.files(driver)
    refused = (
        lambda: driver.delete(ref),
        lambda: driver.update(ref, want, ()),
        lambda: driver.create(want),
        lambda: ensure_present(driver, want, dry_run=False),
        lambda: ensure_present(driver, want, dry_run=True),
        lambda: ensure_absent(driver, ref, dry_run=False),
        lambda: ensure_absent(driver, ref, dry_run=True),
    )
    for attempt in refused:
        with pytest.raises(Conflict, match="web"):
            attempt()
    assert (driver.find(ref).managed, peer.files(driver)) == (False, files)


def test_a_foreign_vm_can_be_powered(peer: Peer, driver: VmDriver):
    ref = VmRef(name="web", uuid=peer.make_foreign(driver, "web"))
    done = ensure_power(driver, ref, PowerAction.ON, timeout=30, dry_run=False)
    assert (done.changed, done.after.power, done.after.managed) == (True, PowerState.ON, False)
    driver.power(ref, PowerAction.OFF, 30)


# --- update ---


BIGGER = {"memory_mib": 96, "cpu": {"count": 4, "cores_per_socket": 2}, "description": "grown", "tags": {"a": "b"}}


def test_a_reconfigure_makes_the_vm_as_wanted_and_says_what_it_changed(peer: Peer, driver: VmDriver):
    driver.create(definition(peer))
    want, files = definition(peer, **BIGGER), peer.files(driver)
    plan = ensure_present(driver, want, dry_run=True)
    assert driver.find(WEB).definition.memory_mib == 64
    done = ensure_present(driver, want, dry_run=False)
    assert agreed(plan, done)
    assert plan.to_dict()["diff"] == done.to_dict()["diff"], "what it does not touch is shown as it is"
    assert {change.path for change in done.changes} == {
        "memory_mib", "cpu.count", "cpu.cores_per_socket", "description", "tags",
    }  # fmt: skip
    assert changes(driver.find(WEB).definition, want) == ()
    assert (driver.find(WEB).power, peer.files(driver)) == (PowerState.OFF, files)
    again = ensure_present(driver, want, dry_run=False)
    assert (again.changed, again.before) == (False, again.after), "nothing is different in what it shows"


def test_a_vm_with_a_uuid_can_be_renamed(peer: Peer, driver: VmDriver):
    uuid = "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"
    driver.create(definition(peer, uuid=uuid))
    want = definition(peer, "shop", uuid=uuid)
    plan = ensure_present(driver, want, dry_run=True)
    done = ensure_present(driver, want, dry_run=False)
    assert agreed(plan, done)
    assert [change.path for change in done.changes] == ["name"]
    assert driver.find(VmRef(name="web")) is None
    assert driver.find(VmRef(name="shop")).uuid == uuid
    driver.delete(VmRef.of(want))
    assert driver.find(VmRef.of(want)) is None


def test_a_rename_to_a_name_that_is_taken_is_a_conflict_and_changes_nothing(peer: Peer, driver: VmDriver):
    uuid = "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10"
    driver.create(definition(peer, uuid=uuid))
    driver.create(definition(peer, "shop"))
    for dry_run in (True, False):
        with pytest.raises(Conflict, match="shop"):
            ensure_present(driver, definition(peer, "shop", uuid=uuid, memory_mib=96), dry_run=dry_run)
    found = driver.find(VmRef(name="web", uuid=uuid))
    assert (found.name, found.definition.memory_mib) == ("web", 64)


@pytest.mark.parametrize("power", [PowerState.ON, PowerState.PAUSED])
def test_a_vm_that_is_not_off_is_not_reconfigured(peer: Peer, driver: VmDriver, power):
    create(driver, definition(peer), power)
    before, want = driver.find(WEB), definition(peer, **BIGGER)
    for attempt in (
        lambda: ensure_present(driver, want, dry_run=True),
        lambda: ensure_present(driver, want, dry_run=False),
        lambda: driver.update(WEB, want, changes(before.definition, want)),
    ):
        with pytest.raises(InvalidTransition, match=power.value):
            attempt()
    assert driver.find(WEB).definition == before.definition


def test_a_vm_that_is_on_is_reconfigured_with_a_power_cycle_if_that_is_allowed(peer: Peer, driver: VmDriver):
    create(driver, definition(peer), PowerState.ON)
    want, allowed = definition(peer, **BIGGER), Allowed(power_cycle=True, shutdown_timeout=1)
    plan = ensure_present(driver, want, dry_run=True, allowed=allowed)
    done = ensure_present(driver, want, dry_run=False, allowed=allowed)
    assert agreed(plan, done)
    assert (plan.power_cycled, done.power_cycled, done.after.power) == (True, True, PowerState.ON)
    assert changes(driver.find(WEB).definition, want) == ()


def test_what_the_driver_cannot_change_is_refused_by_plan_and_apply(peer: Peer, driver: VmDriver):
    if "firmware" in driver.changeable or Capability.UEFI not in driver.capabilities:
        pytest.skip("this driver changes the firmware, or has no other")
    driver.create(definition(peer))
    for dry_run in (True, False):
        with pytest.raises(Unsupported, match="firmware"):
            ensure_present(driver, definition(peer, firmware="uefi", memory_mib=96), dry_run=dry_run)
    assert driver.find(WEB).definition.memory_mib == 64


def test_a_limit_of_the_hypervisor_is_refused_by_the_plan_of_a_reconfigure_as_well(peer: Peer, driver: VmDriver):
    if not peer.limits_cpus:
        pytest.skip("no limit here")
    driver.create(definition(peer))
    before, want = driver.find(WEB), definition(peer, cpu={"count": 512}, memory_mib=96)
    for attempt in (
        lambda: driver.check(want, updating=WEB),
        lambda: ensure_present(driver, want, dry_run=True),
        lambda: ensure_present(driver, want, dry_run=False),
        lambda: driver.update(WEB, want, changes(before.definition, want)),
    ):
        with pytest.raises(Unsupported, match=r"cpu\.count 512") as refused:
            attempt()
        assert refused.value.begun is False
    assert driver.find(WEB) == before


def test_a_vm_that_is_not_there_is_not_reconfigured(peer: Peer, driver: VmDriver):
    with pytest.raises(VmNotFound, match="web"):
        ensure_present(driver, definition(peer), dry_run=False, create=False)
    with pytest.raises(VmNotFound, match="web"):
        driver.update(WEB, definition(peer), ())


# --- refusals ---


def test_what_is_refused_before_anything_is_done_says_so(peer: Peer, driver: VmDriver):
    create(driver, definition(peer), PowerState.ON)
    driver.create(definition(peer, "off"))
    foreign = VmRef(name="foreign", uuid=peer.make_foreign(driver, "foreign"))
    bigger, lacking, off = (
        definition(peer, **BIGGER),
        definition(peer, "new", **LACKING["pool"](peer)),
        VmRef(name="off"),
    )
    for attempt in (
        lambda: driver.create(lacking),
        lambda: driver.create(definition(peer, uuid="0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10")),
        lambda: driver.update(WEB, bigger, ()),
        lambda: driver.delete(foreign),
        lambda: driver.power(off, PowerAction.PAUSE, 30),
        lambda: driver.power(VmRef(name="absent"), PowerAction.ON, 30),
        lambda: ensure_present(driver, lacking, dry_run=False),
        lambda: ensure_present(driver, bigger, dry_run=False),
        lambda: ensure_present(driver, definition(peer, "absent"), dry_run=False, create=False),
        lambda: ensure_absent(driver, foreign, dry_run=False),
        lambda: ensure_power(driver, off, PowerAction.PAUSE, timeout=30, dry_run=False),
        lambda: ensure_power(driver, VmRef(name="absent"), PowerAction.ON, timeout=30, dry_run=False),
    ):
        with pytest.raises(DriverError) as refused:
            attempt()
        assert refused.value.begun is False


def test_an_operation_that_failed_on_its_way_had_begun(peer: Peer, driver: VmDriver):
    want = definition(peer)
    with peer.failing_create(driver, want), pytest.raises(DriverError) as failed:
        ensure_present(driver, want, dry_run=False)
    assert failed.value.begun


# --- power ---


@pytest.mark.parametrize("power", ROUTES)
@pytest.mark.parametrize("action", PowerAction)
def test_a_power_action_does_what_the_tables_say(peer: Peer, driver: VmDriver, power, action):
    if action is PowerAction.SHUTDOWN and not (
        peer.guests_obey_shutdown and Capability.SHUTDOWN in driver.capabilities
    ):
        pytest.skip("nobody here shuts down when asked")
    create(driver, definition(peer), power)
    done = power is POWER_GOAL[action] and action is not PowerAction.RESET
    if not done and power not in POWER_FROM[action]:
        with pytest.raises(InvalidTransition, match=power.value):
            driver.power(WEB, action, 30)
        assert driver.find(WEB).power is power
        return
    plan = ensure_power(driver, WEB, action, timeout=30, dry_run=True)
    assert driver.find(WEB).power is power
    result = ensure_power(driver, WEB, action, timeout=30, dry_run=False)
    assert (result.changed, driver.find(WEB).power) == (not done, POWER_GOAL[action])
    assert agreed(plan, result)


def test_a_plan_refuses_the_power_that_apply_would_refuse(peer: Peer, driver: VmDriver):
    driver.create(definition(peer))
    for dry_run in (True, False):
        with pytest.raises(InvalidTransition, match="it allows: on"):
            ensure_power(driver, WEB, PowerAction.PAUSE, timeout=30, dry_run=dry_run)


def test_on_resumes_a_paused_vm(peer: Peer, driver: VmDriver):
    create(driver, definition(peer), PowerState.PAUSED)
    plan = ensure_power(driver, WEB, PowerAction.ON, timeout=30, dry_run=True)
    assert agreed(plan, ensure_power(driver, WEB, PowerAction.ON, timeout=30, dry_run=False))
    assert driver.find(WEB).power is PowerState.ON


@pytest.mark.parametrize("action", [action for action in PowerAction if action is not PowerAction.RESET])
def test_a_power_action_that_is_done_already_is_done(peer: Peer, driver: VmDriver, action):
    create(driver, definition(peer), POWER_GOAL[action])
    driver.power(WEB, action, 30)
    assert driver.find(WEB).power is POWER_GOAL[action]


def test_a_guest_that_ignores_the_shutdown_stays_on(peer: Peer, driver: VmDriver):
    if peer.guests_obey_shutdown or Capability.SHUTDOWN not in driver.capabilities:
        pytest.skip("guests here obey, or cannot be asked")
    create(driver, definition(peer), PowerState.ON)
    with pytest.raises(TimedOut, match="web"):
        driver.power(WEB, PowerAction.SHUTDOWN, 1)
    assert driver.find(WEB).power is PowerState.ON


def test_power_of_a_vm_that_is_not_there_is_refused(peer: Peer, driver: VmDriver):
    with pytest.raises(VmNotFound, match="web"):
        driver.power(WEB, PowerAction.ON, 30)
    for dry_run in (True, False):
        with pytest.raises(VmNotFound, match="web"):
            ensure_power(driver, WEB, PowerAction.ON, timeout=30, dry_run=dry_run)


# --- the hypervisor and the connection ---


def test_the_host_tells_its_pools_networks_and_size(peer: Peer, driver: VmDriver):
    host = driver.host()
    assert host.hypervisor_type == peer.connection.hypervisor_type
    assert peer.network in host.networks
    assert set(host.pools[peer.pool]) == {"capacity_mib", "free_mib"}
    assert host.cores >= 1
    assert 0 <= host.free_memory_mib <= host.memory_mib


def test_a_hypervisor_that_does_not_answer_is_unreachable_and_named(peer: Peer):
    dead = peer.dead_connection
    if dead is None:
        pytest.skip("nothing here can be dead")
    with pytest.raises(Unreachable) as failure, open_driver(dead):
        pass
    assert dead.url in str(failure.value)
    assert failure.value.retryable
    assert failure.value.detail


def test_closing_twice_is_harmless(peer: Peer):
    with open_driver(peer.connection) as driver:
        driver.close()


def test_a_session_serves_until_it_is_ended(peer: Peer, driver: VmDriver):
    if Capability.SESSIONS not in driver.capabilities:
        assert driver.session() is None
        driver.logout()
        return
    kept = dataclasses.replace(peer.connection, session=driver.session())
    assert kept.session not in repr(kept)
    with open_driver(kept) as again:
        again.list_vms()
    driver.logout()
    with pytest.raises(AuthenticationFailed), open_driver(kept) as ended:
        ended.list_vms()
