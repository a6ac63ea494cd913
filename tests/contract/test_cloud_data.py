# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract of other data for cloud-init in a VM that is there, over the drivers that say that they can."""

from __future__ import annotations

import json
from typing import Any

import pytest
from peers import Peer, definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Capability, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    Conflict,
    DriverError,
    InvalidTransition,
)
from ansible_collections.millwright.virt.plugins.module_utils.ensure import Result, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.ensure_snapshots import ensure_snapshot
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")
OLD, NEW = "#cloud-config\npassword: canary-1\n", "#cloud-config\npassword: canary-2\n"
FIRST = {"user_data": OLD, "meta_data": "instance-id: one\n", "network_config": "version: 2\n"}


@pytest.fixture(autouse=True)
def _able(driver: VmDriver) -> None:
    if not (Capability.CLOUD_INIT in driver.capabilities and "cloud_init.user_data" in driver.changeable):
        pytest.skip("data for cloud-init cannot be changed here")


def wanted(peer: Peer, cloud_init: dict[str, str] | None, **more: Any) -> VmDefinition:
    return definition(peer, cloud_init=cloud_init, **more)


def changed(driver: VmDriver, want: VmDefinition, allowed: Allowed | None = None) -> Result:
    """What is planned is what is done, a second run changes nothing, and no secret is told."""
    how = {"allowed": allowed} if allowed else {}
    plan = ensure_present(driver, want, dry_run=True, **how)
    done = ensure_present(driver, want, dry_run=False, **how)
    assert (plan.changes, plan.hot, plan.power_cycled) == (done.changes, done.hot, done.power_cycled)
    assert changes(driver.find(WEB).definition, want) == ()
    assert not ensure_present(driver, want, dry_run=False).changed
    for result in (plan, done):
        assert "canary" not in json.dumps(result.to_dict()) + repr(result.after.to_dict())
    return done


@pytest.mark.parametrize(
    ("said", "paths"),
    [
        ({"user_data": NEW}, ["cloud_init.user_data"]),
        ({"user_data": OLD, "meta_data": "instance-id: two\n"}, ["cloud_init.meta_data"]),
        ({"meta_data": "instance-id: two\n"}, ["cloud_init.meta_data"]),
        ({"user_data": NEW, "network_config": ""}, ["cloud_init.user_data", "cloud_init.network_config"]),
    ],
)
def test_a_vm_gets_other_data_and_keeps_what_nothing_is_said_of(peer: Peer, driver: VmDriver, said, paths):
    driver.create(wanted(peer, FIRST))
    files = peer.files(driver)
    done = changed(driver, wanted(peer, said))
    assert [change.path for change in done.changes] == paths
    assert done.hot == ()
    assert changes(driver.find(WEB).definition, wanted(peer, {**FIRST, **said})) == ()
    assert len(peer.files(driver)) == len(files)
    driver.delete(WEB)
    assert not peer.files(driver) & {file for file in files if "cloud-init" in file}


def test_a_vm_without_data_gets_some_and_loses_them_by_nothing_that_is_not_said(peer: Peer, driver: VmDriver):
    driver.create(wanted(peer, None))
    files = peer.files(driver)
    done = changed(driver, wanted(peer, FIRST))
    assert [change.path for change in done.changes] == ["cloud_init"]
    assert len(peer.files(driver)) == len(files) + 1
    assert not ensure_present(driver, wanted(peer, None), dry_run=False).changed
    driver.power(WEB, PowerAction.ON, 60)


def test_a_change_of_more_than_data_that_fails_leaves_the_old_ones(peer: Peer, driver: VmDriver):
    driver.create(wanted(peer, FIRST))
    before, files = driver.find(WEB), peer.files(driver)
    want = wanted(peer, {"user_data": NEW}, description="new")
    with peer.failing_update(driver, want), pytest.raises(DriverError) as failed:
        ensure_present(driver, want, dry_run=False)
    assert failed.value.begun
    assert "canary" not in str(failed.value.to_dict())
    assert (driver.find(WEB), peer.files(driver)) == (before, files)
    changed(driver, want)


def test_a_vm_that_is_on_gets_other_data_with_a_power_cycle_if_it_has_to(peer: Peer, driver: VmDriver):
    driver.create(wanted(peer, FIRST))
    driver.power(WEB, PowerAction.ON, 60)
    want = wanted(peer, {"user_data": NEW}, cpu={"count": 2})
    with pytest.raises(InvalidTransition, match="needs it powered off"):
        ensure_present(driver, want, dry_run=False)
    done = changed(driver, want, Allowed(power_cycle=True, shutdown_timeout=1))
    assert (done.power_cycled, done.after.power) == (True, PowerState.ON)


def test_data_stay_as_they_are_under_snapshots(peer: Peer, driver: VmDriver):
    driver.create(wanted(peer, FIRST))
    ensure_snapshot(driver, WEB, WantedSnapshot(name="one"), dry_run=False)
    for dry_run in (True, False):
        with pytest.raises(Conflict, match=r"has snapshots \(one\).* cloud_init\.user_data"):
            ensure_present(driver, wanted(peer, {"user_data": NEW}), dry_run=dry_run)


@pytest.mark.parametrize("stays_off", [False, True])
def test_a_vm_that_does_not_start_with_other_data_is_on_again_as_it_was_but_for_them(
    peer: Peer, driver: VmDriver, monkeypatch: pytest.MonkeyPatch, stays_off: bool
):
    driver.create(wanted(peer, FIRST))
    driver.power(WEB, PowerAction.ON, 60)
    before = driver.find(WEB).definition
    power = driver.power

    def starting(ref: VmRef, action: PowerAction, timeout: int) -> None:
        if action is PowerAction.ON and (stays_off or driver.find(WEB).definition.cpu.count == 2):
            raise DriverError("it does not start")
        power(ref, action, timeout)

    monkeypatch.setattr(driver, "power", starting)
    want = wanted(peer, {"user_data": NEW}, cpu={"count": 2})
    with pytest.raises(DriverError, match="it does not start") as failed:
        ensure_present(driver, want, dry_run=False, allowed=Allowed(power_cycle=True, shutdown_timeout=1))
    after = driver.find(WEB)
    assert ("VM 'web' was shut down for this and is not on again" in str(failed.value)) is stays_off
    assert after.power is (PowerState.OFF if stays_off else PowerState.ON)
    assert [change.path for change in changes(before, after.definition)] == ["cloud_init.user_data"]
