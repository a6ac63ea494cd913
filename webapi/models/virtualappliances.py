# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual appliances."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from sqlalchemy import ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column, relationship

from ansible_collections.millwright.virt.plugins.module_utils.vm.states import VmState

from ..database import Base, Name, OwnId, Ref, Stamp, table_arguments
from .virtualdatacenters import VirtualDatacenter
from .vms import DEPLOYED, VirtualMachine


class ApplianceState(StrEnum):
    """Computed from the VMs on every reading, never stored."""

    EMPTY = "EMPTY"
    UNKNOWN = "UNKNOWN"
    LOCKED = "LOCKED"
    DEPLOYED = "DEPLOYED"
    NOT_DEPLOYED = "NOT_DEPLOYED"
    NEEDS_SYNC = "NEEDS_SYNC"


#: The first row that holds gives the state.
_STATE_OF: tuple[tuple[ApplianceState, Callable[[Sequence[VirtualMachine]], bool]], ...] = (
    (ApplianceState.EMPTY, lambda vms: not vms),
    (ApplianceState.UNKNOWN, lambda vms: any(vm.state is VmState.UNKNOWN for vm in vms)),
    (ApplianceState.LOCKED, lambda vms: any(vm.task_id for vm in vms)),
    (ApplianceState.DEPLOYED, lambda vms: all(vm.state in DEPLOYED for vm in vms)),
    (ApplianceState.NOT_DEPLOYED, lambda vms: not any(vm.state in DEPLOYED for vm in vms)),
    (ApplianceState.NEEDS_SYNC, lambda _: True),
)


class VirtualAppliance(Base):
    """VMs that are deployed together."""

    __tablename__ = "virtualappliances"
    __table_args__ = table_arguments(UniqueConstraint("virtualdatacenter_id", "name"), Index(None, "created_at", "id"))

    id: Mapped[OwnId]
    virtualdatacenter_id: Mapped[Ref] = mapped_column(ForeignKey("virtualdatacenters.id"))
    name: Mapped[Name]
    created_at: Mapped[Stamp]

    virtualdatacenter: Mapped[VirtualDatacenter] = relationship(lazy="joined", innerjoin=True)
    vms: Mapped[list[VirtualMachine]] = relationship(
        lazy="raise", order_by=(VirtualMachine.created_at, VirtualMachine.id), cascade="all"
    )

    @property
    def state(self) -> ApplianceState:
        return next(state for state, holds in _STATE_OF if holds(self.vms))
