# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A host with very many VMs: what looking at all of them, and at one of them, costs."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from functools import partial

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.modules import hypervisor_info
from tools.bench_all import names
from tools.bench_all.hosts import LibvirtHost, NotDone, opened
from tools.bench_all.place import vm_names
from tools.bench_all.rows import Reading


def fill(host: LibvirtHost, vms: int) -> None:
    """Every second one runs."""
    connection = opened(host.url)
    for number, name in enumerate(vm_names(vms)):
        domain = connection.defineXML(host.xml(name))
        if number % 2:
            domain.create()
    connection.close()


def readings(host: LibvirtHost, vms: int) -> Iterator[Reading]:
    """What two modules do between their login and their answer."""
    with open_driver(Connection(hypervisor_type=host.type, url=host.url)) as driver:
        yield Reading(names.ALL_TOLD, timed(partial(_tell_all, driver, vms)))
        want = VmDefinition.from_dict(host.definition(vm_names(vms)[-1]))
        yield Reading(names.ONE_CHECKED, timed(partial(check_one, driver, want)))


def timed(work: Callable[[], None]) -> float:
    """Seconds that the work takes."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def _tell_all(driver: VmDriver, vms: int) -> None:
    told = json.loads(json.dumps(hypervisor_info.tell(driver)))
    ours = [vm for vm in told["vms"] if vm["managed"]]
    if len(ours) != vms or sum(vm["power"] == "on" for vm in ours) != vms // 2:
        raise NotDone(f"{len(ours)} VMs were told, of which {vms} are there and half should run")


def check_one(driver: VmDriver, want: VmDefinition) -> None:
    """What the module ``vm`` does in check mode for a VM that is as it should be. Raises NotDone if it is not."""
    if ensure_present(driver, want, dry_run=True).changed:
        raise NotDone(f"VM {want.name!r} is as it is defined, and was to be changed")
