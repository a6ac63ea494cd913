# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names that a vCenter would refuse, and the simulator does not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from peers import definition
from vsphere_peers import VspherePeer, make_template, vsphere

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Conflict, Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import VsphereDriver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.templates import WantedTemplate

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
#: Written with escapes, it is longer than vSphere's names are.
LONG = "x" * 78 + "%%"


@pytest.fixture
def peer(tmp_path: Path) -> Iterator[VspherePeer]:
    with vsphere(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: VspherePeer) -> Iterator[VsphereDriver]:
    """With a VM, and beside it a template and a folder."""
    opened = VsphereDriver.open(peer.connection)
    opened.create(empty(peer, "web"))
    make_template(opened._session, peer.pool, "gold")
    opened._places.folder.CreateFolder("tenants")
    yield opened
    opened.close()


def empty(peer: VspherePeer, name: str, **fields: Any) -> VmDefinition:
    return definition(peer, name, disks=[{"name": "root", "size_mib": 4, "pool": peer.pool}], nics=[], **fields)


TAKEN = pytest.mark.parametrize(
    ("name", "error", "said"),
    [
        ("gold", Conflict, "there is a template or VM 'gold' .* already"),
        ("tenants", Conflict, "there is a folder 'tenants' .* already"),
        (LONG, Unsupported, "is 84 characters long as vSphere writes it; it takes 80"),
    ],
)


@TAKEN
def test_a_check_refuses_a_name_that_a_template_or_folder_beside_the_vm_has(
    peer: VspherePeer, driver: VsphereDriver, name: str, error: type[Exception], said: str
):
    with pytest.raises(error, match=said) as refused:
        driver.create(empty(peer, name))
    assert not refused.value.begun


@TAKEN
def test_a_vm_is_not_renamed_to_such_a_name(
    peer: VspherePeer, driver: VsphereDriver, name: str, error: type[Exception], said: str
):
    want = empty(peer, name, uuid=driver.find(WEB).uuid)
    with pytest.raises(error, match=said) as refused:
        ensure_present(driver, want, dry_run=False)
    assert not refused.value.begun
    assert driver.find(WEB)


def test_a_template_does_not_get_the_name_of_a_folder(driver: VsphereDriver):
    driver._places.folder.CreateFolder("golden.qcow2")
    with pytest.raises(Conflict, match=r"there is a folder 'golden\.qcow2'"):
        driver.check_capture(WEB, WantedTemplate(name="golden"))


def test_a_vm_in_its_folder_is_no_hindrance_to_itself(peer: VspherePeer, driver: VsphereDriver):
    assert not ensure_present(driver, empty(peer, "web"), dry_run=False).changed
    want = empty(peer, "shop", uuid=driver.find(WEB).uuid)
    assert ensure_present(driver, want, dry_run=False).changed
    peer.leave_residue(driver, empty(peer, "mail"))
    driver.create(empty(peer, "mail"))
    assert {vm.name for vm in driver.list_vms()} == {"shop", "mail"}
