# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the vSphere driver promises of changes beyond the contract, over the simulator of a vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from pyVmomi import vim
from vsphere_peers import PATIENCE, VspherePeer, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    InsufficientResources,
    InvalidTransition,
    Unreachable,
    Unsupported,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver, cards
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import named_disks
from ansible_collections.millwright.virt.plugins.module_utils.ensure import Result, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    opened = VsphereDriver.open(peer.connection)
    yield opened
    opened.close()


def disk(peer: VspherePeer, name: str = "data", **fields: Any) -> dict[str, Any]:
    return {"name": name, "size_mib": 4, "pool": peer.pool, **fields}


def with_cards(peer: VspherePeer, *names: str) -> VmDefinition:
    return definition(peer, nics=[{"name": name, "network": peer.network} for name in names])


def front(peer: VspherePeer) -> list[dict[str, Any]]:
    return [{"name": "front", "network": peer.network}]


def make(driver: VsphereDriver, want: VmDefinition, *, on: bool = False) -> None:
    driver.create(want)
    if on:
        driver.power(WEB, PowerAction.ON, 30)


def change(driver: VsphereDriver, want: VmDefinition) -> Result:
    return ensure_present(driver, want, dry_run=False)


def reconfigure(driver: VsphereDriver, **spec: Any) -> None:
    """As somebody else does it."""
    vm = driver._vms.find(WEB)[0]
    driver._session.waiter.finish(vm.ReconfigVM_Task(vim.vm.ConfigSpec(**spec)), PATIENCE, "what the test asks for")


def config(driver: VsphereDriver, *paths: str) -> list[Any]:
    vm = driver._vms.find(WEB)[0]
    told = driver._session.read([vm], [f"config.{path}" for path in paths])[vm]
    return [told[f"config.{path}"] for path in paths]


def macs(driver: VsphereDriver) -> dict[str, str | None]:
    return {nic.name: nic.mac for nic in driver.find(WEB).definition.nics}


def refuse(driver: VsphereDriver, want: VmDefinition, error: type[Exception], words: str, **allowed: bool) -> None:
    """By plan and apply, before anything is changed."""
    before = driver.find(WEB)
    for dry_run in (True, False):
        with pytest.raises(error, match=words) as refused:
            ensure_present(driver, want, dry_run=dry_run, allowed=Allowed(**allowed))
        assert refused.value.begun is False
    assert driver.find(WEB) == before


def test_cards_keep_their_names_and_addresses_when_others_come_and_go(peer: VspherePeer, driver: VsphereDriver):
    make(driver, with_cards(peer, "one", "two", "three"))
    before = macs(driver)
    change(driver, with_cards(peer, "two", "three"))
    assert macs(driver) == {name: before[name] for name in ("two", "three")}
    change(driver, with_cards(peer, "four", "two", "three"))
    after = macs(driver)
    assert {name: after[name] for name in ("two", "three")} == {name: before[name] for name in ("two", "three")}
    change(driver, with_cards(peer, "four"))
    assert macs(driver) == {"four": after["four"]}


def test_a_card_that_somebody_else_has_removed_is_missed_by_its_name(peer: VspherePeer, driver: VsphereDriver):
    make(driver, with_cards(peer, "one", "two"))
    first = driver.find(WEB).definition.nics[0].mac
    gone = next(one for one in driver._vms.find(WEB)[1].devices if getattr(one, "macAddress", None) == first)
    reconfigure(driver, deviceChange=[vim.vm.device.VirtualDeviceSpec(operation="remove", device=gone)])
    assert list(macs(driver)) == ["two"]
    assert [one.path for one in change(driver, with_cards(peer, "one", "two")).changes] == ["nics[one]"]
    assert not change(driver, with_cards(peer, "one", "two")).changed


def test_a_card_of_another_model_keeps_its_address(peer: VspherePeer, driver: VsphereDriver):
    make(driver, with_cards(peer, "front"))
    before = macs(driver)
    change(driver, definition(peer, nics=[{"name": "front", "network": peer.network, "model": "e1000"}]))
    assert macs(driver) == before


def test_a_linked_disk_does_not_grow(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer))
    root = {"name": "root", "template": peer.template, "pool": peer.pool, "size_mib": peer.template_mib + 1}
    refuse(driver, definition(peer, disks=[root]), Unsupported, "linked disk")


def test_a_disk_is_never_made_smaller_by_the_driver_itself(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, disks=[disk(peer, size_mib=8)]))
    smaller = definition(peer, disks=[disk(peer, size_mib=4)])
    with pytest.raises(Unsupported, match="never made smaller"):
        driver.update(WEB, smaller, changes(driver.find(WEB).definition, smaller))
    assert driver.find(WEB).definition.disks[0].size_mib == 8


def test_a_disk_of_a_template_is_not_added_later(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, disks=[disk(peer)]))
    more = {"name": "more", "template": peer.template, "pool": peer.pool}
    refuse(driver, definition(peer, disks=[disk(peer), more]), Unsupported, "only together with their VM")


def test_a_disk_larger_than_its_datastore_is_refused(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, disks=[disk(peer)]))
    huge = 60 * 1024 * 1024
    refuse(driver, definition(peer, disks=[disk(peer, size_mib=huge)]), InsufficientResources, "data")
    more = [disk(peer), disk(peer, "more", size_mib=huge)]
    refuse(driver, definition(peer, disks=more), InsufficientResources, "more")


def test_a_sata_disk_is_added_only_while_the_vm_is_off(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, disks=[disk(peer)]), on=True)
    refuse(driver, definition(peer, disks=[disk(peer), disk(peer, "more", bus="sata")]), InvalidTransition, "more")


def test_words_are_changed_while_the_vm_runs(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer), on=True)
    done = change(driver, definition(peer, description="new", tags={"a": "b"}))
    assert (done.hot, done.power_cycled) == (("description", "tags"), False)


def test_memory_is_added_to_a_vm_that_runs_up_to_its_limit_and_never_taken(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, memory_mib=64, memory_max_mib=256), on=True)
    assert config(driver, "cpuHotAddEnabled", "memoryHotAddEnabled") == [False, True]
    assert change(driver, definition(peer, memory_mib=128, memory_max_mib=256)).hot == ("memory_mib",)
    refuse(driver, definition(peer, memory_mib=64, memory_max_mib=256), InvalidTransition, "memory_mib")


def test_what_vsphere_would_not_add_while_the_vm_runs_is_not_tried(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, cpu={"count": 1, "max_count": 4}))
    reconfigure(driver, cpuHotAddEnabled=False)
    driver.power(WEB, PowerAction.ON, 30)
    refuse(driver, definition(peer, cpu={"count": 2, "max_count": 4}), InvalidTransition, r"cpu\.count")


def test_an_image_is_changed_while_the_vm_runs_if_it_has_a_drive(peer: VspherePeer, driver: VsphereDriver):
    images = sorted(name for name in peer.files(driver) if name.endswith((".vmx", ".vmdk")) and peer.pool in name)[:2]
    first, second = (name.replace("]/", "] ") for name in images)
    make(driver, definition(peer), on=True)
    refuse(driver, definition(peer, cdrom=first), InvalidTransition, "cdrom")
    driver.power(WEB, PowerAction.OFF, 30)
    change(driver, definition(peer, cdrom=first))
    driver.power(WEB, PowerAction.ON, 30)
    assert change(driver, definition(peer, cdrom=second)).hot == ("cdrom",)
    assert driver.find(WEB).definition.cdrom == second


def test_a_vm_boots_from_a_card_that_is_only_now_added(peer: VspherePeer, driver: VsphereDriver):
    make(driver, definition(peer, nics=[]))
    nics = [{"name": "front", "network": peer.network}]
    change(driver, definition(peer, nics=nics, boot_order=["network", "disk"]))
    (order,) = config(driver, "bootOptions.bootOrder")
    card = next(one for one in driver._vms.find(WEB)[1].devices if getattr(one, "macAddress", None))
    assert [one.deviceKey for one in order][:1] == [card.key]
    assert len(order) == 2


def boots_from(driver: VsphereDriver) -> list[str]:
    """Names of the disk and the card that the VM boots from, in its order, as vSphere is told."""
    seen = driver._vms.find(WEB)[1]
    there = named_disks(seen) | cards.named(seen.kept, seen.devices)
    names = {device.key: name for name, device in there.items()}
    return [names[one.deviceKey] for one in config(driver, "bootOptions.bootOrder")[0]]


def counted(monkeypatch: pytest.MonkeyPatch, *answers: str) -> list[Any]:
    """Specifications of the changes that vSphere is asked for; what becomes of them, one after the other: they are
    made ("go"), refused ("fail") or not heard of any more ("gone"), as if we were killed; then all are made."""
    asked: list[Any] = []
    real, left = vim.VirtualMachine.ReconfigVM_Task, list(answers)

    def reconfigure(vm: Any, spec: Any) -> Any:
        answer = left[0] if left[:1] == ["gone"] else left.pop(0) if left else "go"
        if answer == "gone":
            raise KeyboardInterrupt
        asked.append(spec)
        if answer == "fail":
            raise vim.fault.NoDiskSpace(msg="full", datastore="x")
        return real(vm, spec)

    monkeypatch.setattr(vim.VirtualMachine, "ReconfigVM_Task", reconfigure)
    return asked


#: What the VM is that boots otherwise -> what it becomes, and what it then boots from.
BOOTS_OTHERWISE = {
    "a new card": ({}, {"nics": ["front"], "boot_order": ["network", "disk"]}, ["front", "one"]),
    "a new disk": ({"boot_order": ["network"], "nics": ["front"]},
                   {"disks": ["new", "one"], "nics": ["front"], "boot_order": ["disk"], "memory_mib": 96}, ["new"]),
    "a card before the others": ({"nics": ["back"], "boot_order": ["network", "disk"]},
                                 {"nics": ["front", "back"], "boot_order": ["network", "disk"]}, ["front", "one"]),
    "a card of another model": ({"nics": ["front"], "boot_order": ["network"]},
                                {"nics": ["front"], "boot_order": ["network"], "model": "e1000"}, ["front"]),
}  # fmt: skip


def bootable(peer: VspherePeer, fields: dict[str, Any]) -> VmDefinition:
    fields = {"disks": ["one"], "nics": [], **fields}
    model = fields.pop("model", "virtio")
    fields["disks"] = [disk(peer, name) for name in fields["disks"]]
    fields["nics"] = [{"name": name, "network": peer.network, "model": model} for name in fields["nics"]]
    return definition(peer, **fields)


@pytest.mark.parametrize("what", BOOTS_OTHERWISE)
def test_a_vm_boots_from_what_is_only_now_there_and_a_change_that_fails_half_way_is_undone(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, what: str
):
    now, then, expected = BOOTS_OTHERWISE[what]
    make(driver, bootable(peer, now))
    want, before, files = bootable(peer, then), driver.find(WEB), peer.files(driver)
    asked = counted(monkeypatch, "go", "fail")
    with pytest.raises(InsufficientResources) as failed:
        change(driver, want)
    assert (failed.value.begun, failed.value.left) == (True, ())
    assert len(asked) >= 3
    assert (driver.find(WEB).definition, peer.files(driver)) == (before.definition, files)
    assert change(driver, want).changed
    assert boots_from(driver) == expected
    assert not change(driver, want).changed


@pytest.mark.parametrize("what", BOOTS_OTHERWISE)
def test_who_comes_after_a_killed_change_finds_what_is_missing(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, what: str
):
    now, then, expected = BOOTS_OTHERWISE[what]
    make(driver, bootable(peer, now))
    with monkeypatch.context() as patch:
        counted(patch, "go", "gone")
        with pytest.raises(KeyboardInterrupt):
            change(driver, bootable(peer, then))
    assert change(driver, bootable(peer, then)).changed
    assert boots_from(driver) == expected
    assert not change(driver, bootable(peer, then)).changed


def test_what_an_undoing_cannot_take_back_is_named(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    make(driver, bootable(peer, {}))
    now, then, _expected = BOOTS_OTHERWISE["a new card"]
    counted(monkeypatch, "go", "fail", "fail")
    with pytest.raises(InsufficientResources) as failed:
        change(driver, bootable(peer, then))
    assert failed.value.left == ("nics[front]",)
    assert change(driver, bootable(peer, now)).changed


def test_a_second_step_whose_end_nobody_heard_of_is_not_undone(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    make(driver, bootable(peer, {}))
    want = bootable(peer, BOOTS_OTHERWISE["a new card"][1])
    real, told = driver._session.waiter.finish, []

    def finish(_waiter: Any, *arguments: Any) -> Any:
        told.append(real(*arguments))
        if len(told) == 2:
            raise ConnectionResetError
        return told[-1]

    monkeypatch.setattr("ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.waiting.Waiter.finish",
                        finish)  # fmt: skip
    with pytest.raises(Unreachable):
        change(driver, want)
    assert len(told) == 2
    assert not change(driver, want).changed


@pytest.mark.parametrize("order", [["disk"], ["network", "disk"]])
def test_a_vm_boots_from_the_first_disk_and_card_of_its_definition_wherever_they_sit(
    peer: VspherePeer, driver: VsphereDriver, order: list[str]
):
    make(driver, definition(peer, disks=[disk(peer, "one", bus="sata")], boot_order=["network"], nics=front(peer)))
    want = definition(
        peer, disks=[disk(peer, "one", bus="sata"), disk(peer, "two")], boot_order=order, nics=front(peer)
    )
    change(driver, want)
    assert boots_from(driver)[-1] == "one"
    disks = [disk(peer, "a", bus="sata"), disk(peer, "b")]
    driver.create(definition(peer, "other", disks=disks, nics=front(peer), boot_order=["network", "disk"]))
    vm, seen = driver._vms.find(VmRef(name="other"))
    order = driver._session.read([vm], ["config.bootOptions.bootOrder"])[vm]["config.bootOptions.bootOrder"]
    assert order[1].deviceKey == named_disks(seen)["a"].key


def test_a_change_of_what_a_vm_boots_from_is_one_task_where_the_devices_are_there(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    make(driver, definition(peer))
    asked = counted(monkeypatch)
    change(driver, definition(peer, boot_order=["network", "disk"], memory_mib=96))
    assert len(asked) == 1
    assert boots_from(driver) == [definition(peer).nics[0].name, definition(peer).disks[0].name]


def test_a_change_says_which_version_of_the_vm_was_compared(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    """The simulator has no versions, so it is said to have one."""
    make(driver, definition(peer))
    read, versions = Session.read, iter(["compared", "by update"])

    def versioned(session: Session, objects: Any, paths: Any) -> Any:
        told = read(session, objects, paths)
        if "config.changeVersion" in paths:
            told[objects[0]]["config.changeVersion"] = next(versions)
        return told

    monkeypatch.setattr(Session, "read", versioned)
    asked = counted(monkeypatch)
    change(driver, definition(peer, memory_mib=96))
    assert [spec.changeVersion for spec in asked] == ["by update"]


def test_a_change_that_vsphere_finds_outdated_is_a_conflict(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    make(driver, definition(peer))

    def outdated(_vm: Any, _spec: Any) -> None:
        raise vim.fault.ConcurrentAccess(msg="the version is another one")

    monkeypatch.setattr(vim.VirtualMachine, "ReconfigVM_Task", outdated)
    with pytest.raises(Conflict, match="somebody else changed VM 'web'") as refused:
        change(driver, definition(peer, memory_mib=96))
    assert refused.value.begun is False
