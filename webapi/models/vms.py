# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import AT_HYPERVISOR, VmState

from ..database import Base, LongText, Name, OwnId, Ref, Stamp, table_arguments, utc_now
from .hypervisors import Hypervisor

if TYPE_CHECKING:
    from .virtualappliances import VirtualAppliance

#: States that count as deployed for a virtual appliance.
DEPLOYED = AT_HYPERVISOR - {VmState.UNKNOWN}


class VirtualMachine(Base):
    """A VM as its owner wants it (``definition``), and as it was last seen (``state``, ``addresses``).

    ``task_id`` is the lock: the task that holds the VM. Only that task's reports change the VM, and its end frees it.
    """

    __tablename__ = "vms"
    __table_args__ = table_arguments(
        Index(None, "virtualappliance_id", "name"), Index(None, "created_at", "id"), Index(None, "state")
    )

    id: Mapped[OwnId]
    virtualappliance_id: Mapped[Ref] = mapped_column(ForeignKey("virtualappliances.id"))
    name: Mapped[Name]
    definition: Mapped[dict[str, Any]]
    #: The definition's cloud_init.user_data, which is a secret, sealed to the datacenter's key.
    sealed_user_data: Mapped[str | None] = mapped_column(LongText)
    #: What a running reconfiguration will make of ``definition``, and of ``sealed_user_data``.
    pending_definition: Mapped[dict[str, Any] | None]
    pending_user_data: Mapped[str | None] = mapped_column(LongText)
    #: What the VM takes of its host's memory, now or once a running reconfiguration is done.
    memory_mib: Mapped[int]
    template_id: Mapped[Ref | None] = mapped_column(ForeignKey("templates.id"))
    state: Mapped[VmState] = mapped_column(default=VmState.NOT_ALLOCATED)
    task_id: Mapped[Ref | None] = mapped_column(ForeignKey("tasks.id"))
    hypervisor_id: Mapped[Ref | None] = mapped_column(ForeignKey("hypervisors.id"))
    #: Where its owner wants it; None: anywhere that it fits.
    wanted_hypervisor_id: Mapped[Ref | None] = mapped_column(ForeignKey("hypervisors.id"))
    addresses: Mapped[list[str]] = mapped_column(default=list)
    serial_log: Mapped[str | None] = mapped_column(String(1024))
    #: Its snapshots when a runner last told of them: what that said (SnapshotFacts), and of those that Millwright took
    #: the ``definition`` and the sealed ``user_data`` of then.
    snapshots: Mapped[list[dict[str, Any]] | None]
    power_changed_at: Mapped[datetime | None]
    created_at: Mapped[Stamp]
    updated_at: Mapped[Stamp] = mapped_column(onupdate=utc_now)
    generation: Mapped[int] = mapped_column()

    __mapper_args__ = {"version_id_col": generation}

    hypervisor: Mapped[Hypervisor | None] = relationship(lazy="joined", foreign_keys=[hypervisor_id])
    virtualappliance: Mapped[VirtualAppliance] = relationship("VirtualAppliance", viewonly=True)

    @property
    def native_name(self) -> str:
        """Its name at the hypervisor, where tenants' names must not collide."""
        return native_name(self.name, self.id)

    @property
    def virtualappliance_name(self) -> str:
        return self.virtualappliance.name

    @property
    def hypervisor_name(self) -> str | None:
        return self.hypervisor.name if self.hypervisor else None

    def native(self, definition: dict[str, Any]) -> dict[str, Any]:
        """A definition of this VM as it goes to the hypervisor: with identity, and the name that the VM has there."""
        return {**definition, "name": native_name(definition["name"], self.id), "uuid": self.id}

    def redefine(self, definition: dict[str, Any], sealed_user_data: str | None) -> None:
        """The definition is another one from now on."""
        self.definition, self.name, self.memory_mib = definition, definition["name"], definition["memory_mib"]
        self.sealed_user_data = sealed_user_data

    def hold(self, task_id: str) -> None:
        """The task has the VM until ``release``."""
        self.task_id = task_id

    def allocate(self, hypervisor: Hypervisor) -> None:
        """The VM has a place and takes its memory there."""
        self.hypervisor = hypervisor
        self.become(VmState.ALLOCATED)

    def want(self, definition: dict[str, Any], sealed_user_data: str | None) -> None:
        """A reconfiguration is under way; until it ends the VM takes the larger memory of both definitions."""
        self.pending_definition, self.pending_user_data = definition, sealed_user_data
        self.memory_mib = max(self.memory_mib, definition["memory_mib"])

    def become(self, state: VmState) -> None:
        """The VM was seen in a state."""
        if state is not self.state:
            self.state, self.power_changed_at = state, utc_now()

    def observe(self, observed: dict[str, Any]) -> None:
        """Take over what a reading of the hypervisor (ObservedVm) says beside the power state."""
        self.addresses = list(observed.get("addresses") or ())
        self.serial_log = observed.get("serial_log")

    def snapshot(self, name: str) -> dict[str, Any] | None:
        """The snapshot of this name, if one is known."""
        return next((snapshot for snapshot in self.snapshots or () if snapshot["name"] == name), None)

    def release(self, *, done: bool) -> None:
        """The task that held the VM has ended. A VM that is only allocated goes back to where it has no place."""
        self.task_id = None
        if done and self.pending_definition:
            self.redefine(self.pending_definition, self.pending_user_data)
        else:
            self.redefine(self.definition, self.sealed_user_data)
        self.pending_definition = self.pending_user_data = None
        if self.state is VmState.ALLOCATED:
            self.become(VmState.NOT_ALLOCATED)
            self.hypervisor, self.addresses, self.serial_log, self.snapshots = None, [], None, None


def native_name(name: str, vm_id: str) -> str:
    return f"{name}-{vm_id[:8]}"


#: Longest name that leaves room for the part of the id.
NAME_LENGTH = 71
