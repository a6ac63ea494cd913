# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vCenter with very many VMs: what looking at all of them, and at one of them, costs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.modules import hypervisor_info
from tools import vcsim
from tools.bench_all import names
from tools.bench_all.crowd import check_one, timed
from tools.bench_all.hosts import NotDone
from tools.bench_all.place import vm_names
from tools.bench_all.rows import Reading

#: The simulator spreads its VMs over so many hosts.
HOSTS = 50


@contextmanager
def crowded(place: Path, vms: int) -> Iterator[VmDriver]:
    """A driver to a vCenter with so many VMs of others, all of them on, and one of ours."""
    with vcsim.running(place, "-vm", str(vms), "-hosts", str(HOSTS)) as simulator:
        connection = Connection(
            hypervisor_type="vsphere", url=f"{simulator.url.removesuffix('/sdk')}/?datastore=LocalDS_0",
            username="bench", password="bench", ca_path=str(simulator.certificate),
        )  # fmt: skip
        with open_driver(connection) as driver:
            driver.create(_ours())
            yield driver


def readings(driver: VmDriver, vms: int) -> Iterator[Reading]:
    """What two modules do between their login and their answer."""
    yield Reading(names.ALL_TOLD, timed(partial(_tell_all, driver, vms)))
    yield Reading(names.ONE_CHECKED, timed(partial(check_one, driver, _ours())))


def _ours() -> VmDefinition:
    return VmDefinition.from_dict({"name": vm_names(1)[0], "memory_mib": 16})


def _tell_all(driver: VmDriver, vms: int) -> None:
    told = json.loads(json.dumps(hypervisor_info.tell(driver)))
    on = sum(vm["power"] == "on" for vm in told["vms"])
    if (len(told["vms"]), on) != (vms + 1, vms):
        raise NotDone(f"{len(told['vms'])} VMs were told, {on} of them on, where {vms} are and one is off")
