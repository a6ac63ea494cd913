# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates that are made of a VM's disk: what is asked for, and what there is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .parts import ONE_LINE, DiskFormat
from .schema import rule


@dataclass(frozen=True, kw_only=True)
class WantedTemplate:
    """A template as it is asked for."""

    # Not like the files of a VM, which begin with its identity and go with it.
    name: str = rule(
        "Name of the template. Its volume is called so, with the format as suffix.",
        max_length=100,
        pattern=r"(?![0-9a-f]{8}-[0-9a-f]{4}-)[A-Za-z0-9][A-Za-z0-9._-]*",
        pattern_help="letters, digits, dots, hyphens and underscores, and not begin like a uuid",
    )
    disk: str | None = rule("Name of the VM's disk; by default its first one.", None, max_length=32)
    pool: str | None = rule(
        "Storage pool or datastore that gets the template; by default that of the disk.",
        None,
        max_length=255,
        pattern=f"{ONE_LINE}+",
        pattern_help="a name on one line",
    )
    format: DiskFormat = rule("Format of the template.", DiskFormat.QCOW2)
    snapshot: str | None = rule(
        "Take the disk as it was in this snapshot of the VM.",
        None,
        max_length=63,
        pattern=r"[A-Za-z][A-Za-z0-9._-]*",
        pattern_help="the name of a snapshot that was taken by Millwright",
    )
    made_for: str | None = rule(
        "Tells this wish from earlier ones of the same name: only a template that was made for the same word is taken "
        "for done. Without it any template that was made of this disk of the VM is.",
        None,
        max_length=64,
        pattern=r"[A-Za-z0-9_.-]+",
        pattern_help="letters, digits, dots, hyphens and underscores",
    )

    @property
    def volume(self) -> str:
        return f"{self.name}.{self.format.value}"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A template that the hypervisor has, whole in itself."""

    #: As ``disks[].template`` of a definition can name it.
    name: str
    pool: str
    size_mib: int
    format: DiskFormat

    def to_dict(self) -> dict[str, Any]:
        """Plain data for results."""
        return {"name": self.name, "pool": self.pool, "size_mib": self.size_mib, "format": self.format.value}
