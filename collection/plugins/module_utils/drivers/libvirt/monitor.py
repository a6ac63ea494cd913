# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""QEMU's own monitor, for the one thing that libvirt does not offer: internal snapshots of the disks of a guest that
runs, without its memory."""

from __future__ import annotations

import json
from typing import Any

from ..errors import DriverError
from .sdk import libvirt, libvirt_qemu


def written_nodes(domain: libvirt.virDomain) -> list[str]:
    """QEMU's names of the disks that the guest can write."""
    drives = (drive.get("inserted") for drive in _execute(domain, "query-block"))
    return [drive["node-name"] for drive in drives if drive and not drive["ro"]]


def take_snapshots(domain: libvirt.virDomain, nodes: list[str], name: str) -> None:
    """Of all disks at one moment, or of none."""
    actions = [
        {"type": "blockdev-snapshot-internal-sync", "data": {"device": node, "name": name}} for node in nodes
    ]  # fmt: skip
    _execute(domain, "transaction", actions=actions)


def drop_snapshots(domain: libvirt.virDomain, nodes: list[str], name: str) -> None:
    """Afterwards no disk has a snapshot of this name."""
    for node in nodes:
        if name in _snapshots_on(domain, node):
            _execute(domain, "blockdev-snapshot-delete-internal-sync", device=node, name=name)


def _snapshots_on(domain: libvirt.virDomain, node: str) -> set[str]:
    drives = (drive.get("inserted") for drive in _execute(domain, "query-block"))
    images = [drive["image"] for drive in drives if drive and drive["node-name"] == node]
    return {snapshot["name"] for image in images for snapshot in image.get("snapshots", ())}


def _execute(domain: libvirt.virDomain, command: str, **arguments: Any) -> Any:
    """QEMU's answer. Raises DriverError with QEMU's own words."""
    asked = json.dumps({"execute": command, "arguments": arguments})
    answer = json.loads(libvirt_qemu.qemuMonitorCommand(domain, asked, 0))
    if "error" in answer:
        raise DriverError(f"{command} of VM {domain.name()!r} failed", detail=str(answer["error"].get("desc", "")))
    return answer["return"]
