# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM that was shut down for a change, and does not start with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import DriverError
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Store
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")
CYCLE = Allowed(power_cycle=True)
DATA = {"user_data": "#cloud-config\npassword: canary-1\n"}
OTHER = {"user_data": "#cloud-config\npassword: canary-2\n"}
STAYS_OFF = "'web' was shut down for this and is not on again"


def wanted(**fields: Any) -> VmDefinition:
    return VmDefinition.from_dict({"name": "web", "memory_mib": 64, "disks": [{"size_mib": 8}], **fields})


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.fixture
def driver(store: Store) -> Iterator[VmDriver]:
    """With VM web, which is on."""
    with open_driver(Connection(hypervisor_type="fake", url=f"fake://{store.directory}")) as opened:
        opened.create(wanted(cloud_init=DATA))
        opened.power(WEB, PowerAction.ON, 60)
        yield opened


def failed(driver: VmDriver, want: VmDefinition) -> str:
    with pytest.raises(DriverError) as error:
        ensure_present(driver, want, dry_run=False, allowed=CYCLE)
    return str(error.value)


@pytest.mark.parametrize("data", [DATA, OTHER])
def test_it_is_as_it_was_and_on_but_for_the_data_for_cloud_init(store: Store, driver: VmDriver, data: dict[str, str]):
    store.tell({"failures": [{"operation": "power_on", "times": 1}]})
    said = failed(driver, wanted(memory_mib=96, cloud_init=data))
    found = driver.find(WEB)
    assert (found.power, changes(found.definition, wanted(cloud_init=data))) == (PowerState.ON, ())
    assert STAYS_OFF not in said


@pytest.mark.parametrize(
    ("failing", "fields"),
    [
        # With its old definition as well; what is on a disk cannot be undone; after a change that has failed itself.
        (["power_on"], {"memory_mib": 96}),
        (["power_on"], {"memory_mib": 96, "disks": [{"size_mib": 16}]}),
        (["update", "power_on"], {"memory_mib": 96}),
    ],
)
def test_where_it_stays_off_the_error_says_so(
    store: Store, driver: VmDriver, failing: list[str], fields: dict[str, Any]
):
    store.tell({"failures": [{"operation": operation} for operation in failing]})
    assert STAYS_OFF in failed(driver, wanted(**fields))
    assert driver.find(WEB).power is PowerState.OFF
