# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Giving a guest that runs what its VM is defined to have, where somebody changed only one of the two."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from ...vm.changes import Change
from ...vm.definition import VmDefinition
from ...vm.hot import mending
from . import hotplug
from .changing import part_of
from .devices import Domain, cdrom_node, disk_nodes, nic_nodes, source_path
from .domain_xml import Source, put_in
from .editing import xml_of
from .sdk import libvirt

#: Of a card: a new one has the place that is free, and one that is there stays where it is.
OF_ITS_PLACE = ("address", "alias")


@dataclass(frozen=True, kw_only=True)
class Apart:
    """A VM whose guest runs otherwise than it is defined."""

    domain: libvirt.virDomain
    #: The configuration, in libvirt's words and in ours; and the guest.
    told: Domain
    kept: VmDefinition
    live: Domain
    runs: VmDefinition
    differences: tuple[Change, ...]

    @property
    def mendable(self) -> frozenset[str]:
        """Paths of the differences that end while the guest runs. A card of which anything else differs is another."""
        ends = tuple(end for end in map(mending, self.differences) if end.after is not None)
        hot = hotplug.hot_paths(self.domain, self.runs, ends)
        others = {
            part_of(one.path) for one in self.differences if one.kind.startswith("nics[].") and one.path not in hot
        }
        return frozenset(path for path in hot if not (path.startswith("nics[") and part_of(path) in others))

    def mend(self) -> None:
        """What a guest may refuse comes last."""
        mendable = self.mendable
        kinds = {one.path: one.kind for one in self.differences if one.path in mendable}
        if "cpu.count" in mendable:
            self.domain.setVcpusFlags(self.kept.cpu.count, hotplug.NOW)
        for node in self._changed(kinds):
            self.domain.updateDeviceFlags(xml_of(node), hotplug.NOW)
        for node in self._added(kinds):
            self.domain.attachDeviceFlags(xml_of(node), hotplug.NOW)

    def _changed(self, kinds: dict[str, str]) -> Iterator[Element]:
        wanted, there = nic_nodes(self.told), nic_nodes(self.live)
        for name in sorted({part_of(path) for path, kind in kinds.items() if kind.startswith("nics[].")}):
            yield _in_place_of(there[name], wanted[name])
        drive, wanted_drive = cdrom_node(self.live.root), cdrom_node(self.told.root)
        if "cdrom" in kinds and drive is not None and wanted_drive is not None:
            path = source_path(wanted_drive)
            put_in(drive, Source(path=path, block=wanted_drive.get("type") == "block") if path else None)
            yield drive

    def _added(self, kinds: dict[str, str]) -> Iterator[Element]:
        nodes = {"disks[]": disk_nodes(self.told, self.kept), "nics[]": nic_nodes(self.told)}
        for path, kind in sorted(kinds.items()):
            if kind in nodes:
                node = deepcopy(nodes[kind][part_of(path)])
                for address in node.findall("address[@type='pci']"):
                    node.remove(address)
                yield node


def _in_place_of(old: Element, wanted: Element) -> Element:
    """The card as it is wanted, where the guest has it: by that libvirt finds it."""
    node = deepcopy(wanted)
    for tag in OF_ITS_PLACE:
        for mine in node.findall(tag):
            node.remove(mine)
        node.extend(old.findall(tag))
    return node
