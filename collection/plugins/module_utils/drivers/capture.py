# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a driver with Capability.CAPTURE does beyond the contract of base.py, whose general rules hold here, too."""

from __future__ import annotations

from typing import Protocol

from ..vm.templates import Template, WantedTemplate
from .base import VmDriver, VmRef


class CaptureDriver(VmDriver, Protocol):
    """A template belongs to nobody: it stays when the VM that it was made of goes."""

    def template(self, ref: VmRef, want: WantedTemplate) -> Template | None:
        """The template of the wanted name where it would be put, if it is the one that ``capture`` would make: of this
        disk of the VM, of this snapshot, whole, and for the same ``made_for`` if the wish has one. Else None, also for
        what else has the name; vSphere does not tell these apart yet. Raises VmNotFound, and NotFound for a disk or
        pool that is not there."""

    def check_capture(self, ref: VmRef, want: WantedTemplate) -> None:
        """Raise what ``capture`` would refuse; change nothing."""

    def capture(self, ref: VmRef, want: WantedTemplate) -> None:
        """Afterwards ``template`` gives it: it has the disk's content and needs no other file; the VM is as it was.
        On failure there is none; what a killed try left is no template, and goes. Raises InvalidTransition for a VM
        that is not off, Conflict if the name is taken."""
