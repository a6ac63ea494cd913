# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver that tells in what guests run otherwise than their VMs are defined (``ObservedVm.live``) does beyond
the contract of base.py, whose general rules hold here, too."""

from __future__ import annotations

from typing import Protocol

from ..vm.changes import Change
from .base import VmDriver, VmRef


class MendingDriver(VmDriver, Protocol):
    """Its VMs that run can be made what they are defined to be, where that takes nothing away from their guests."""

    def mendable(self, ref: VmRef, differences: tuple[Change, ...]) -> frozenset[str]:
        """Paths of those of the VM's differences that ``mend`` ends; changes nothing. Raises VmNotFound."""

    def mend(self, ref: VmRef) -> None:
        """Afterwards no difference is left that can be ended while the VM runs. What the VM is defined to be stays;
        after a failure some of the differences may have gone."""
