# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where VMs go: a query for what hypervisors have free, and a pure decision."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import func, select

from ..database import db
from ..errors import Refused
from ..models import Hypervisor, HypervisorState, VirtualDatacenter, VirtualMachine
from . import rows


@dataclass(frozen=True, kw_only=True)
class Host:
    """A hypervisor as the decision sees it. Memory in MiB."""

    id: str
    name: str
    state: HypervisorState
    memory_mib: int
    used_mib: int

    @property
    def free_mib(self) -> int:
        return self.memory_mib - self.used_mib

    def objection(self, need: Need) -> str | None:
        """Why the VM cannot be here; None if it can."""
        if need.wanted_host_id not in (None, self.id):
            return f"{self.name} is not the hypervisor that the VM is bound to"
        if self.state is not HypervisorState.MANAGED:
            return f"{self.name} is {self.state}"
        if need.memory_mib > self.free_mib:
            return f"{self.name} has {max(self.free_mib, 0)} of {self.memory_mib} MiB free"
        return None


@dataclass(frozen=True, kw_only=True)
class Need:
    """What a VM needs of a host."""

    vm_id: str
    name: str
    memory_mib: int
    wanted_host_id: str | None = None


def place(needs: Iterable[Need], hosts: Sequence[Host]) -> dict[str, str]:
    """A host for every VM, each time the one with most free memory; VMs placed before count. Raises Refused."""
    left = {host.id: host for host in hosts}
    chosen: dict[str, str] = {}
    for need in needs:
        host = _best(need, list(left.values()))
        left[host.id] = replace(host, used_mib=host.used_mib + need.memory_mib)
        chosen[need.vm_id] = host.id
    return chosen


def _best(need: Need, hosts: Sequence[Host]) -> Host:
    fitting = [host for host in hosts if host.objection(need) is None]
    if not fitting:
        raise _no_place(need, hosts)
    return max(fitting, key=lambda host: (host.free_mib, host.name))


def _no_place(need: Need, hosts: Sequence[Host]) -> Refused:
    objections = [str(host.objection(need)) for host in hosts]
    why = "; ".join(objections) or "there is no hypervisor of its type in the datacenter"
    return Refused(
        f"no hypervisor has a place for VM {need.name!r}, which needs {need.memory_mib} MiB: {why}",
        code="placement.none", vm_id=need.vm_id, need_mib=need.memory_mib, hypervisors=objections,
    )  # fmt: skip


def allocate(vms: Sequence[VirtualMachine], vdc: VirtualDatacenter) -> None:
    """Give every VM a place, or none of them. The hypervisors stay locked until the transaction ends, so that two
    deploys never take the same memory."""
    candidates = _candidates(vdc)
    needs = [_need(vm) for vm in vms]
    chosen = place(needs, [_host(row, used) for row, used in _with_usage(candidates)])
    by_id = {row.id: row for row in candidates}
    for vm in vms:
        vm.allocate(by_id[chosen[vm.id]])


def check_growth(vm: VirtualMachine, memory_mib: int) -> None:
    """Raises Refused if the host of the VM has no room for it to grow to so much memory."""
    growth = memory_mib - vm.memory_mib
    if vm.hypervisor_id is None or growth <= 0:
        return
    [(row, used)] = _with_usage([rows.lock(Hypervisor, vm.hypervisor_id)])
    host = _host(row, used)
    if growth > host.free_mib:
        raise _no_place(Need(vm_id=vm.id, name=vm.name, memory_mib=growth), [host])


def _need(vm: VirtualMachine) -> Need:
    return Need(vm_id=vm.id, name=vm.name, memory_mib=vm.memory_mib, wanted_host_id=vm.wanted_hypervisor_id)


def _host(row: Hypervisor, used_mib: int) -> Host:
    memory = int((row.host or {}).get("memory_mib", 0))
    return Host(id=row.id, name=row.name, state=row.state, memory_mib=memory, used_mib=used_mib)


def _candidates(vdc: VirtualDatacenter) -> list[Hypervisor]:
    of_the_type = select(Hypervisor.id).filter_by(datacenter_id=vdc.datacenter_id, type=vdc.hypervisor_type)
    return rows.lock_all(Hypervisor, list(db.session.scalars(of_the_type)))


def _with_usage(hypervisors: Sequence[Hypervisor]) -> list[tuple[Hypervisor, int]]:
    """Usage is a query over the VMs that are placed, never a counter."""
    usage = (
        select(VirtualMachine.hypervisor_id, func.sum(VirtualMachine.memory_mib))
        .where(VirtualMachine.hypervisor_id.in_([row.id for row in hypervisors]))
        .group_by(VirtualMachine.hypervisor_id)
    )
    used = {row_id: int(total) for row_id, total in db.session.execute(usage)}
    return [(row, used.get(row.id, 0)) for row in hypervisors]
