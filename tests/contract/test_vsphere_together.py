# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several who work on one VM of vSphere's at once: one wins, and the others are told to come again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from peers import definition
from vsphere_peers import VspherePeer, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers import alone
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Busy
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_absent, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")


@pytest.fixture
def peer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[VspherePeer]:
    monkeypatch.setattr(alone, "PARENT", tmp_path)
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    opened = VsphereDriver.open(peer.connection)
    yield opened
    opened.close()


def test_while_a_vm_is_changed_nobody_else_of_this_host_changes_it(peer: VspherePeer, driver: VsphereDriver):
    """However they spell where the vCenter is: one VM is one VM."""
    want, more = definition(peer), definition(peer, memory_mib=128)
    driver.create(want)
    other = VsphereDriver.open(replace(peer.connection, url=f"{peer.connection.url.partition('?')[0]}?datacenter=DC0"))
    with other._alone(want.identity, "changing"):
        for attempt in (
            lambda: driver.create(want),
            lambda: driver.update(WEB, more, changes(want, more)),
            lambda: driver.delete(WEB),
        ):
            with pytest.raises(Busy, match=r"web.*another process") as busy:
                attempt()
            assert (busy.value.retryable, busy.value.begun) == (True, False)
        driver.create(definition(peer, "other"))
    other.close()
    driver.update(WEB, more, changes(driver.find(WEB).definition, more))
    driver.delete(WEB)
    assert driver.find(WEB) is None


def elsewhere(driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, name: str, happens: Callable[[], object]) -> None:
    """Something happens, once, when a driver of another host is about to call one of its methods."""
    real, strikes = getattr(driver, name), [happens]

    def interrupted(*args, **named):
        while strikes:
            strikes.pop()()
        return real(*args, **named)

    monkeypatch.setattr(driver, name, interrupted)


@pytest.mark.parametrize("dry_run", [True, False])
def test_who_comes_upon_a_vm_that_another_host_has_just_begun_to_make_comes_again(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch, dry_run: bool
):
    want = definition(peer)
    elsewhere(driver, monkeypatch, "_refuse_beside", lambda: peer.leave_residue(driver, want))
    with pytest.raises(Busy, match="making VM 'web' right now") as busy:
        ensure_present(driver, want, dry_run=dry_run)
    assert (busy.value.retryable, busy.value.begun) == (True, False)
    assert ensure_present(driver, want, dry_run=False).changed
    assert not ensure_present(driver, want, dry_run=False).changed


def test_who_loses_a_half_made_vm_to_another_host_comes_again(
    peer: VspherePeer, driver: VsphereDriver, monkeypatch: pytest.MonkeyPatch
):
    want, before = definition(peer), peer.files(driver)
    maker = driver._maker()
    monkeypatch.setattr(driver, "_plan", lambda _want: (driver._planner.plan(want), maker))
    # Once the clone is there, somebody takes it for what a killed run has left.
    elsewhere(maker, monkeypatch, "_reconfigure", lambda: maker.remove_half_made(want.identity))
    with pytest.raises(Busy, match="somebody else removed VM 'web'") as busy:
        driver.create(want)
    assert (busy.value.retryable, busy.value.left, peer.files(driver)) == (True, (), before)
    assert not ensure_absent(driver, WEB, dry_run=False).changed
