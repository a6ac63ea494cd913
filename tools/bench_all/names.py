# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cases and contestants are called in rows and targets."""

from __future__ import annotations

ZERO_COST, QEMU, ONE_VM, MANY, IDLE = "zero-cost", "qemu", "one-vm", "many-hypervisors", "idle"
CROWD, VCENTER = "crowd", "vcenter"

RAW = "raw libvirt loop"
REST = "Millwright REST to ON"
COLD = "Millwright playbook alone, cold"
WARM = "Millwright playbook alone, warm"
COMMUNITY = "community.libvirt playbook"
ALL_TOLD, ONE_CHECKED = "hypervisor_info, of all", "vm in check mode, of one"
IDEAL = "ideal: work / sessions"
TOTAL = "all processes of Millwright"
AFTER_WORK = "all processes, after work"


def runners(number: int) -> str:
    return f"Millwright, {number} runner{'s' if number > 1 else ''}"


def effort(part: str) -> str:
    """What a part of the platform costs the processor for a VM."""
    return f"{REST}: {part}"


def growth(part: str, jobs: int) -> str:
    return f"growth over {jobs:,} jobs: {part}"
