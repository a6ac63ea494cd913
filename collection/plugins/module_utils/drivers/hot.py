# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver with Capability.HOT_CHANGES does beyond the contract of base.py, whose general rules hold here, too."""

from __future__ import annotations

from typing import Protocol

from ..vm.changes import Change
from ..vm.definition import VmDefinition
from .base import VmDriver, VmRef


class HotDriver(VmDriver, Protocol):
    """Its ``update`` also takes a VM that is on, if each of the changes is hot; all of them are made, or none is."""

    def hot(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> frozenset[str]:
        """Paths of the changes that can be made to the VM as it runs now; changes nothing. Raises VmNotFound."""
