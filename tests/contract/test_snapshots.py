# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of drivers that have snapshots, over all that say so."""

from __future__ import annotations

import pytest
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    NotFound,
    Unsupported,
    VmNotFound,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.snapshots import SnapshotDriver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.ensure_snapshots import (
    SnapshotResult,
    ensure_no_snapshot,
    ensure_snapshot,
    revert_to_snapshot,
)
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import Quiesce, WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")


@pytest.fixture
def able(peer: Peer, driver: VmDriver) -> SnapshotDriver:
    """A driver with snapshots, and a VM that is off."""
    if Capability.SNAPSHOTS not in driver.capabilities:
        pytest.skip("no snapshots here")
    driver.create(definition(peer))
    return driver


def take(able: SnapshotDriver, name: str, **said) -> SnapshotResult:
    return ensure_snapshot(able, WEB, WantedSnapshot(name=name, **said), dry_run=False)


def shape(able: SnapshotDriver) -> list[tuple[str, str | None, bool]]:
    """What does not depend on the clock, sorted by name."""
    return sorted((one.name, one.parent, one.current) for one in able.snapshots(WEB))


def same(plan: SnapshotResult, done: SnapshotResult) -> bool:
    """Plan and apply say the same, but for when it was."""
    return plan.changed == done.changed and plan.to_dict()["diff"] == done.to_dict()["diff"]


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_snapshot_is_taken_once_and_the_vm_goes_on(able: SnapshotDriver, power: PowerState, memory: bool):
    if power is PowerState.ON:
        able.power(WEB, PowerAction.ON, 60)
    want = WantedSnapshot(name="before", description="the <first> & best", memory=memory)
    plan = ensure_snapshot(able, WEB, want, dry_run=True)
    assert able.snapshots(WEB) == ()
    done = ensure_snapshot(able, WEB, want, dry_run=False)
    assert same(plan, done)
    (taken,) = able.snapshots(WEB)
    assert (taken.name, taken.description, taken.parent, taken.current) == ("before", want.description, None, True)
    assert taken.power is (power if memory else PowerState.OFF)
    assert taken.created > 1_700_000_000
    assert able.find(WEB).power is power
    again = ensure_snapshot(able, WEB, want, dry_run=False)
    assert (again.changed, able.snapshots(WEB)) == (False, (taken,))


def test_snapshots_are_a_tree_whose_branches_begin_where_the_vm_went_back(able: SnapshotDriver):
    for name in ("one", "two"):
        take(able, name)
    revert_to_snapshot(able, WEB, "one", dry_run=False)
    take(able, "three")
    assert shape(able) == [("one", None, False), ("three", "one", True), ("two", "one", False)]
    (root,) = take(able, "three").to_dict()["snapshots"]
    assert (root["name"], sorted(child["name"] for child in root["children"])) == ("one", ["three", "two"])


def test_a_snapshot_of_a_vm_that_runs_stands_on_the_one_before(able: SnapshotDriver):
    take(able, "off")
    able.power(WEB, PowerAction.ON, 60)
    take(able, "disks")
    take(able, "all", memory=True)
    assert shape(able) == [("all", "disks", True), ("disks", "off", False), ("off", None, False)]


def test_a_revert_brings_the_definition_back(peer: Peer, able: SnapshotDriver):
    before = able.find(WEB)
    take(able, "before")
    ensure_present(able, definition(peer, memory_mib=96, description="changed"), dry_run=False)
    plan = revert_to_snapshot(able, WEB, "before", dry_run=True)
    assert able.find(WEB).definition.memory_mib == 96
    done = revert_to_snapshot(able, WEB, "before", dry_run=False)
    assert same(plan, done)
    assert changes(able.find(WEB).definition, before.definition) == ()


@pytest.mark.parametrize(("memory", "then"), [(True, PowerState.ON), (False, PowerState.OFF)])
def test_a_revert_leads_to_the_power_state_of_the_snapshot(able: SnapshotDriver, memory: bool, then: PowerState):
    able.power(WEB, PowerAction.ON, 60)
    take(able, "running", memory=memory)
    for power in (PowerAction.OFF, PowerAction.ON):
        able.power(WEB, power, 60)
        plan = revert_to_snapshot(able, WEB, "running", dry_run=True)
        done = revert_to_snapshot(able, WEB, "running", dry_run=False)
        assert same(plan, done)
        assert plan.vm.power is done.vm.power is able.find(WEB).power is then
        if then is PowerState.OFF:
            able.power(WEB, PowerAction.ON, 60)


def test_a_revert_to_what_is_not_there_names_what_is(able: SnapshotDriver):
    take(able, "real")
    for dry_run in (True, False):
        with pytest.raises(NotFound, match=r"'ghost'.*real") as refused:
            revert_to_snapshot(able, WEB, "ghost", dry_run=dry_run)
        assert refused.value.begun is False
    with pytest.raises(NotFound, match=r"'ghost'.*real"):
        able.revert_snapshot(WEB, "ghost")


@pytest.mark.parametrize(
    ("name", "children", "left"),
    [
        ("two", False, [("one", None, False), ("three", "one", True)]),
        ("two", True, [("one", None, True)]),
        ("three", False, [("one", None, False), ("two", "one", True)]),
        ("one", True, []),
    ],
)
@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_snapshot_is_deleted_alone_or_with_its_children(able: SnapshotDriver, name, children, left, power):
    for other in ("one", "two", "three"):
        take(able, other)
    if power is PowerState.ON:
        able.power(WEB, PowerAction.ON, 60)
    plan = ensure_no_snapshot(able, WEB, name, children=children, dry_run=True)
    assert len(able.snapshots(WEB)) == 3
    done = ensure_no_snapshot(able, WEB, name, children=children, dry_run=False)
    assert same(plan, done)
    assert shape(able) == left
    assert not ensure_no_snapshot(able, WEB, name, children=children, dry_run=False).changed
    able.delete_snapshot(WEB, name, children=children)


def test_a_vm_that_is_not_there_has_no_snapshots(peer: Peer, able: SnapshotDriver):
    nobody, want = VmRef(name="nobody"), WantedSnapshot(name="one")
    for attempt in (
        lambda: able.snapshots(nobody),
        lambda: ensure_snapshot(able, nobody, want, dry_run=True),
        lambda: revert_to_snapshot(able, nobody, "one", dry_run=True),
    ):
        with pytest.raises(VmNotFound, match="nobody"):
            attempt()
    gone = ensure_no_snapshot(able, nobody, "one", children=True, dry_run=False)
    assert (gone.changed, gone.vm) == (False, None)


def test_a_foreign_vm_is_left_alone(peer: Peer, able: SnapshotDriver):
    ref = VmRef(name="theirs", uuid=peer.make_foreign(able, "theirs"))
    want = WantedSnapshot(name="one")
    for attempt in (
        lambda: able.create_snapshot(ref, want),
        lambda: able.revert_snapshot(ref, "one"),
        lambda: able.delete_snapshot(ref, "one", children=False),
        lambda: ensure_snapshot(able, ref, want, dry_run=True),
    ):
        with pytest.raises(Conflict, match="theirs"):
            attempt()
    assert able.snapshots(ref) == ()


@pytest.mark.parametrize("power", [PowerState.OFF, PowerState.ON])
def test_a_deleted_vm_takes_its_snapshots_along(peer: Peer, able: SnapshotDriver, power: PowerState):
    with_vm = peer.files(able)
    if power is PowerState.ON:
        able.power(WEB, PowerAction.ON, 60)
    take(able, "one")
    take(able, "two", memory=True)
    assert peer.files(able) >= with_vm
    ensure_absent(able, WEB, dry_run=False)
    able.create(definition(peer))
    assert (able.snapshots(WEB), peer.files(able)) == ((), with_vm)


def test_who_must_have_rest_gets_it_or_an_error(able: SnapshotDriver):
    for power in (None, PowerAction.ON):
        if power:
            able.power(WEB, power, 60)
        for dry_run in (True, False):
            with pytest.raises(Unsupported, match="web"):
                ensure_snapshot(able, WEB, WantedSnapshot(name="one", quiesce=Quiesce.ALWAYS), dry_run=dry_run)
    assert able.snapshots(WEB) == ()
    assert take(able, "two", quiesce=Quiesce.AUTO).quiesced is False
