# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Making a template of a VM's disk, in the way of ensure.py: plan = apply."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from .drivers.base import Capability, VmDriver, VmRef
from .drivers.capture import CaptureDriver
from .drivers.errors import Unsupported, VmNotFound, deciding
from .vm.templates import Template, WantedTemplate


@dataclass(frozen=True, kw_only=True)
class TemplateResult:
    """What a capture did, or would do. In a dry run the size of a template that would be made is not known."""

    changed: bool
    template: Template | None
    name: str

    def to_dict(self) -> dict[str, Any]:
        """The result as modules return it; ``diff`` is in Ansible's form."""
        return {
            "changed": self.changed, "template": self.template.to_dict() if self.template else None,
            "diff": {"before": {"template": None if self.changed else self.name}, "after": {"template": self.name}},
        }  # fmt: skip


def ensure_template(driver: VmDriver, ref: VmRef, want: WantedTemplate, *, dry_run: bool) -> TemplateResult:
    """Afterwards there is a template of this name that was made of the VM; one that was made before stays as it is.
    Raises DriverError; Conflict for a volume of this name that is something else."""
    with deciding():
        if Capability.CAPTURE not in driver.capabilities:
            raise Unsupported(f"{driver.hypervisor_type} makes no templates of VMs")
        able = cast(CaptureDriver, driver)
        if driver.find(ref) is None:
            raise VmNotFound(f"{ref} is not at the hypervisor, so there is nothing to make a template of")
        there = able.template(ref, want)
        if there:
            return TemplateResult(changed=False, template=there, name=want.volume)
        able.check_capture(ref, want)
    if not dry_run:
        able.capture(ref, want)
    return TemplateResult(changed=True, template=able.template(ref, want), name=want.volume)
