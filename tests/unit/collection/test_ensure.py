# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a plan says, and only that, is what applying it changes: properties over the fake hypervisor."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from definition_strategies import definitions
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import (
    Capability,
    Connection,
    VmDriver,
    VmRef,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import DriverError, Unsupported
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
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction

pytestmark = pytest.mark.timeout(120)


@contextmanager
def hypervisor() -> Iterator[VmDriver]:
    with (
        tempfile.TemporaryDirectory() as directory,
        open_driver(Connection(hypervisor_type="fake", url=f"fake://{directory}")) as driver,
    ):
        yield driver


def said(operation: Callable[..., Result], *, dry_run: bool) -> dict | str:
    """What an operation says: its result without what only the real run can know, or its error."""
    try:
        result = operation(dry_run=dry_run)
    except DriverError as error:
        # Nothing fails at this hypervisor, so this is a refusal.
        assert not error.begun
        return str(error)
    shown = result.to_dict()
    if result.after:
        shown["vm"] = (result.after.name, result.after.uuid, result.after.power)
    del shown["diff"]
    return shown


SAME_NAME = definitions(name=st.just("web"))
ALLOWED = st.builds(Allowed, power_cycle=st.booleans(), disk_removal=st.booleans())


@settings(deadline=None, max_examples=30)
@given(SAME_NAME, SAME_NAME, st.lists(st.sampled_from(PowerAction), max_size=2), ALLOWED)
def test_a_plan_says_what_apply_does_and_a_second_run_does_nothing(first, second, actions, allowed):
    with hypervisor() as driver:
        driver.create(first)
        for action in actions:
            said(partial(ensure_power, driver, VmRef.of(first), action, timeout=1), dry_run=False)
        present = partial(ensure_present, driver, second, allowed=allowed)
        before = driver.find(VmRef.of(first))
        plan = said(present, dry_run=True)
        assert driver.find(VmRef.of(first)) == before
        done = said(present, dry_run=False)
        assert plan == done
        if isinstance(done, str):
            assert driver.find(VmRef.of(first)) == before
        else:
            assert not ensure_present(driver, second, dry_run=False).changed
            assert changes(driver.find(VmRef.of(second)).definition, second) == ()


@settings(deadline=None, max_examples=30)
@given(definitions())
def test_a_vm_that_is_made_and_removed_leaves_nothing(want: VmDefinition):
    with hypervisor() as driver:
        free = driver.host().pools
        made = said(partial(ensure_present, driver, want), dry_run=False)
        assert isinstance(made, dict), made
        assert said(partial(ensure_absent, driver, VmRef.of(want)), dry_run=True)["changed"]
        assert ensure_absent(driver, VmRef.of(want), dry_run=False).changed
        assert (driver.list_vms(), driver.residue(VmRef.of(want)), driver.host().pools) == ((), (), free)


def test_a_hypervisor_that_ejects_no_discs_says_so(monkeypatch: pytest.MonkeyPatch):
    full, empty = (
        VmDefinition.from_dict({"name": "web", "memory_mib": 64, "cdrom": cdrom}) for cdrom in ("/isos/a.iso", "")
    )
    with hypervisor() as driver:
        driver.create(full)
        monkeypatch.setattr(type(driver), "capabilities", driver.capabilities - {Capability.EJECT})
        with pytest.raises(Unsupported, match="take the disc out") as refused:
            ensure_present(driver, empty, dry_run=True)
    assert refused.value.begun is False
