# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of changing a VM's devices, off or while it runs, over the drivers that say that they can."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    InvalidTransition,
    NotFound,
    Unsupported,
)
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_power, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.ensure_snapshots import ensure_snapshot
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import Change, changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")
CYCLE = Allowed(power_cycle=True, shutdown_timeout=1)
REMOVAL = Allowed(disk_removal=True)


@pytest.fixture(autouse=True)
def _able(driver: VmDriver) -> None:
    if "disks[]" not in driver.changeable:
        pytest.skip("disks cannot be changed here")


def root(peer: Peer, **more: Any) -> dict[str, Any]:
    clone = "linked" if peer.linked_disks_grow else "full"
    disk = {"name": "root", "template": peer.template, "size_mib": peer.template_mib, "pool": peer.pool}
    return {**disk, "clone": clone, **more}


def data(peer: Peer, **more: Any) -> dict[str, Any]:
    return {"name": "data", "size_mib": 4, "pool": peer.pool, **more}


def front(peer: Peer, **more: Any) -> dict[str, Any]:
    return {"name": "front", "network": peer.network, **more}


#: What is changed of a VM with the disk root and the card front -> the definition's fields, and the paths that differ.
ADDITIONS = {
    "disk": lambda peer: ({"disks": [root(peer), data(peer)]}, ["disks[data]"]),
    "larger disk": lambda peer: ({"disks": [root(peer, size_mib=peer.template_mib + 4)]}, ["disks[root].size_mib"]),
    "card": lambda peer: (
        {"nics": [front(peer), {"name": "back", "network": peer.network}]}, ["nics[back]"],
    ),
    "words": lambda peer: ({"description": "new", "tags": {"a": "b"}, "autostart": True},
                           ["description", "tags", "autostart"]),
}  # fmt: skip
OTHERS = {
    "card's model": lambda peer: ({"nics": [front(peer, model="e1000")]}, ["nics[front].model"]),
    "card's address": lambda peer: ({"nics": [front(peer, mac="52:54:00:12:34:56")]}, ["nics[front].mac"]),
    "no card": lambda peer: ({"nics": []}, ["nics[front]"]),
    "boot order": lambda peer: ({"boot_order": ["network", "disk"]}, ["boot_order"]),
    "screen": lambda peer: ({"console": {"graphics": "vnc"}}, ["console.graphics"]),
    "serial log": lambda peer: ({"console": {"graphics": "none", "serial_log": True}}, ["console.serial_log"]),
    "limits": lambda peer: ({"cpu": {"max_count": 4}, "memory_max_mib": 128}, ["cpu.max_count", "memory_max_mib"]),
    "all at once": lambda peer: (
        {"disks": [root(peer, size_mib=peer.template_mib + 1), data(peer, bus="scsi")], "nics": [], "memory_mib": 96},
        ["memory_mib", "disks[data]", "disks[root].size_mib", "nics[front]"],
    ),
}  # fmt: skip
ALL = {**ADDITIONS, **OTHERS}


def made(peer: Peer, driver: VmDriver, power: PowerState = PowerState.OFF, **fields: Any) -> VmDefinition:
    want = definition(peer, disks=[root(peer)], **fields)
    driver.create(want)
    if power is PowerState.ON:
        driver.power(WEB, PowerAction.ON, 60)
    return want


def fields_of(peer: Peer, driver: VmDriver, what: str) -> tuple[dict[str, Any], list[str]]:
    """The definition's fields and the paths that differ; skips what this driver cannot change."""
    fields, paths = ALL[what](peer)
    if not {Change(path, None, None).kind for path in paths} <= driver.changeable:
        pytest.skip("this cannot be changed here")
    return fields, paths


def agree(plan, done) -> bool:
    return (
        (plan.changed, plan.changes, plan.hot, plan.power_cycled)
        == (done.changed, done.changes, done.hot, done.power_cycled)
        and plan.after.power is done.after.power
        and changes(done.after.definition, plan.after.definition) == ()
    )


@pytest.mark.parametrize("what", ALL)
def test_a_vm_that_is_off_becomes_as_it_is_wanted(peer: Peer, driver: VmDriver, what: str):
    fields, paths = fields_of(peer, driver, what)
    made(peer, driver)
    want = definition(peer, **{"disks": [root(peer)], **fields})
    plan = ensure_present(driver, want, dry_run=True)
    done = ensure_present(driver, want, dry_run=False)
    assert sorted(change.path for change in done.changes) == sorted(paths)
    assert agree(plan, done)
    new = {change.path for change in done.changes if change.before is None}
    shown = changes(plan.after.definition, done.after.definition)
    assert all(any(change.path.startswith(path) for path in new) for change in shown), "but for what is only made then"
    assert (done.hot, done.power_cycled) == ((), False)
    assert changes(driver.find(WEB).definition, want) == ()
    assert not ensure_present(driver, want, dry_run=False).changed
    driver.power(WEB, PowerAction.ON, 60)
    assert changes(driver.find(WEB).definition, want) == ()


@pytest.mark.parametrize("what", ADDITIONS)
def test_a_vm_that_runs_takes_what_is_added(peer: Peer, driver: VmDriver, what: str):
    if Capability.HOT_CHANGES not in driver.capabilities:
        pytest.skip("no changes of running VMs here")
    fields, paths = fields_of(peer, driver, what)
    made(peer, driver, PowerState.ON)
    want = definition(peer, **{"disks": [root(peer)], **fields})
    plan = ensure_present(driver, want, dry_run=True)
    done = ensure_present(driver, want, dry_run=False)
    assert agree(plan, done)
    assert (done.hot, done.power_cycled, done.after.power) == (tuple(sorted(paths)), False, PowerState.ON)
    assert changes(driver.find(WEB).definition, want) == ()
    assert not ensure_present(driver, want, dry_run=False).changed
    for power in (PowerAction.OFF, PowerAction.ON):
        driver.power(WEB, power, 60)
    assert changes(driver.find(WEB).definition, want) == ()


def test_processors_are_added_up_to_the_limit_while_the_vm_runs(peer: Peer, driver: VmDriver):
    if Capability.HOT_CHANGES not in driver.capabilities:
        pytest.skip("no changes of running VMs here")
    made(peer, driver, PowerState.ON, cpu={"count": 1, "max_count": 3})
    more = definition(peer, disks=[root(peer)], cpu={"count": 3, "max_count": 3})
    assert ensure_present(driver, more, dry_run=False).hot == ("cpu.count",)
    assert changes(driver.find(WEB).definition, more) == ()
    for count in (4, 2):
        with pytest.raises(InvalidTransition, match=r"cpu\.count.*allow_power_cycle"):
            ensure_present(driver, definition(peer, disks=[root(peer)], cpu={"count": count}), dry_run=False)


def test_a_screen_and_a_serial_log_go_and_come_with_a_power_cycle(peer: Peer, driver: VmDriver):
    if "console.graphics" not in driver.changeable:
        pytest.skip("no consoles here")
    logs, files = "console.serial_log" in driver.changeable, peer.files(driver)
    console = {"graphics": "vnc", "serial_log": logs}
    made(peer, driver, PowerState.ON, console=console)
    paths = {"console.graphics", "console.serial_log"} if logs else {"console.graphics"}
    both, none = (definition(peer, disks=[root(peer)], console=how) for how in (console, {"graphics": "none"}))
    for want in (none, both):
        with pytest.raises(InvalidTransition, match=r"console\.graphics.*allow_power_cycle"):
            ensure_present(driver, want, dry_run=False)
        plan = ensure_present(driver, want, dry_run=True, allowed=CYCLE)
        done = ensure_present(driver, want, dry_run=False, allowed=CYCLE)
        assert agree(plan, done)
        assert ({change.path for change in done.changes}, done.power_cycled) == (paths, True)
        assert (done.after.serial_log is not None, done.after.live) == (want.console.serial_log, ())
        assert not ensure_present(driver, want, dry_run=False).changed
    ensure_present(driver, none, dry_run=False, allowed=CYCLE)
    driver.delete(WEB)
    assert peer.files(driver) == files


def test_a_limit_that_nobody_repeats_gives_way(peer: Peer, driver: VmDriver):
    if "cpu.max_count" not in driver.changeable:
        pytest.skip("no limits here")
    made(peer, driver, cpu={"count": 1, "max_count": 2}, memory_max_mib=96)
    more = definition(peer, disks=[root(peer)], cpu={"count": 4, "cores_per_socket": 4}, memory_mib=128)
    assert ensure_present(driver, more, dry_run=False).changed
    assert changes(driver.find(WEB).definition, more) == ()
    assert not ensure_present(driver, more, dry_run=False).changed
    again = replace(more, description="changed once more")
    assert ensure_present(driver, again, dry_run=False).changed
    driver.power(WEB, PowerAction.ON, 60)
    assert changes(driver.find(WEB).definition, again) == ()


def test_a_drive_without_a_disc_is_none_and_takes_no_change(peer: Peer, driver: VmDriver):
    made(peer, driver)
    assert not ensure_present(driver, definition(peer, disks=[root(peer)], cdrom=""), dry_run=False).changed
    ensure_absent(driver, WEB, dry_run=False)
    empty = definition(peer, disks=[root(peer)], cdrom="", boot_order=["disk"])
    driver.create(empty)
    assert changes(driver.find(WEB).definition, empty) == ()


def test_what_needs_it_is_done_with_a_power_cycle_if_that_is_allowed(peer: Peer, driver: VmDriver):
    made(peer, driver, PowerState.ON)
    want = definition(peer, disks=[root(peer), data(peer)], nics=[front(peer, model="e1000")], memory_mib=96)
    for dry_run in (True, False):
        with pytest.raises(InvalidTransition, match=r"memory_mib.*allow_power_cycle") as refused:
            ensure_present(driver, want, dry_run=dry_run)
        assert refused.value.begun is False
    plan = ensure_present(driver, want, dry_run=True, allowed=CYCLE)
    done = ensure_present(driver, want, dry_run=False, allowed=CYCLE)
    assert agree(plan, done)
    assert (done.hot, done.power_cycled, done.after.power) == ((), True, PowerState.ON)
    assert changes(driver.find(WEB).definition, want) == ()
    assert not ensure_present(driver, want, dry_run=False, allowed=CYCLE).changed


def test_a_paused_vm_is_not_changed_whatever_is_allowed(peer: Peer, driver: VmDriver):
    made(peer, driver, PowerState.ON)
    driver.power(WEB, PowerAction.PAUSE, 60)
    want = definition(peer, disks=[root(peer), data(peer)])
    with pytest.raises(InvalidTransition, match="paused"):
        ensure_present(driver, want, dry_run=False, allowed=CYCLE)


def test_a_disk_is_removed_only_if_that_is_allowed(peer: Peer, driver: VmDriver):
    files = peer.files(driver)
    small = made(peer, driver)
    one = peer.files(driver)
    ensure_present(driver, definition(peer, disks=[root(peer), data(peer)]), dry_run=False)
    assert peer.files(driver) > one
    for dry_run in (True, False):
        with pytest.raises(Unsupported, match=r"disks\[data\].*allow_disk_removal"):
            ensure_present(driver, small, dry_run=dry_run)
    plan = ensure_present(driver, small, dry_run=True, allowed=REMOVAL)
    assert agree(plan, ensure_present(driver, small, dry_run=False, allowed=REMOVAL))
    assert peer.files(driver) == one
    assert not ensure_present(driver, small, dry_run=False).changed
    driver.power(WEB, PowerAction.ON, 60)
    driver.delete(WEB)
    assert peer.files(driver) == files


def test_a_disk_never_becomes_smaller(peer: Peer, driver: VmDriver):
    driver.create(definition(peer, disks=[data(peer, size_mib=8)]))
    for dry_run in (True, False):
        with pytest.raises(Unsupported, match=r"disks\[data\]\.size_mib from 8 to 4"):
            ensure_present(driver, definition(peer, disks=[data(peer, size_mib=4)]), dry_run=dry_run, allowed=CYCLE)
    assert driver.find(WEB).definition.disks[0].size_mib == 8


LACKING = {
    "pool": lambda peer: {"disks": [root(peer), data(peer, pool="no-such-pool")]},
    "template": lambda peer: {"disks": [root(peer), data(peer, size_mib=None, template="no-such-template")]},
    "network": lambda peer: {"nics": [front(peer), {"name": "back", "network": "no-such-network"}]},
    "iso": lambda peer: {"cdrom": "no-such.iso"},
}


@pytest.mark.parametrize("what", LACKING)
def test_what_is_not_there_is_refused_by_plan_and_apply_and_nothing_changes(peer: Peer, driver: VmDriver, what: str):
    made(peer, driver)
    before, files = driver.find(WEB), peer.files(driver)
    want = definition(peer, **{"disks": [root(peer)], **LACKING[what](peer)})
    for dry_run in (True, False):
        with pytest.raises(NotFound, match=r"no.such") as refused:
            ensure_present(driver, want, dry_run=dry_run)
        assert refused.value.begun is False
    assert (driver.find(WEB), peer.files(driver)) == (before, files)


def test_disks_stay_as_they_are_under_snapshots(peer: Peer, driver: VmDriver):
    if Capability.SNAPSHOTS not in driver.capabilities:
        pytest.skip("no snapshots here")
    made(peer, driver)
    ensure_snapshot(driver, WEB, WantedSnapshot(name="one"), dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"snapshots \(one\).*disks\[data\]"):
            ensure_present(driver, definition(peer, disks=[root(peer), data(peer)]), dry_run=dry_run)
    assert ensure_present(driver, definition(peer, disks=[root(peer)], memory_mib=96), dry_run=False).changed


def test_of_two_who_change_a_vm_at_once_one_wins_and_the_other_is_told(peer: Peer, driver: VmDriver):
    made(peer, driver)
    found, files = driver.find(WEB), peer.files(driver)
    mine = definition(peer, disks=[root(peer), data(peer)], memory_mib=96)
    theirs = definition(peer, disks=[root(peer)], memory_mib=128)
    driver.update(WEB, theirs, changes(found.definition, theirs))
    with pytest.raises(Conflict, match="somebody else") as refused:
        driver.update(WEB, mine, changes(found.definition, mine))
    assert refused.value.begun is False
    assert (changes(driver.find(WEB).definition, theirs), peer.files(driver)) == ((), files)
    # The same wish of both is granted to both.
    driver.update(WEB, theirs, changes(found.definition, theirs))


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_change_that_fails_leaves_the_vm_as_it_was(peer: Peer, driver: VmDriver, power: PowerState):
    made(peer, driver, power)
    before, files = driver.find(WEB), peer.files(driver)
    logs = "console.serial_log" in driver.changeable
    console = {"graphics": "none", "serial_log": logs}
    want = definition(peer, disks=[root(peer), data(peer)], description="new", memory_mib=96, console=console)
    with peer.failing_update(driver, want), pytest.raises(DriverError) as failed:
        ensure_present(driver, want, dry_run=False, allowed=CYCLE)
    assert failed.value.begun
    assert failed.value.left == ()
    after = driver.find(WEB)
    assert (after.power, after.definition) == (before.power, before.definition)
    assert peer.files(driver) == files
    assert ensure_present(driver, want, dry_run=False, allowed=CYCLE).changed


def test_a_guest_that_does_not_shut_down_is_powered_off_if_that_is_wanted(peer: Peer, driver: VmDriver):
    made(peer, driver, PowerState.ON)
    plan = ensure_power(driver, WEB, PowerAction.SHUTDOWN, timeout=1, force=True, dry_run=True)
    assert driver.find(WEB).power is PowerState.ON
    done = ensure_power(driver, WEB, PowerAction.SHUTDOWN, timeout=1, force=True, dry_run=False)
    assert (plan.changed, plan.after.power) == (done.changed, done.after.power) == (True, PowerState.OFF)
    assert not ensure_power(driver, WEB, PowerAction.SHUTDOWN, timeout=1, force=True, dry_run=False).changed
