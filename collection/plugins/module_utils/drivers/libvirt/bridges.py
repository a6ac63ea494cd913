# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bridges of the host: libvirt defines a VM on one that is not there, and only its start fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any
from xml.etree import ElementTree

from ...vm.definition import VmDefinition
from ..errors import NotFound
from .faults import code_of
from .sdk import libvirt

#: How many interfaces an error lists, and what the ends of guests' own cards at the host are called.
MOST_NAMED, OF_GUESTS = 10, ("vnet", "lo")


def refuse_missing_bridges(want: VmDefinition, connection: libvirt.virConnect) -> None:
    """Raises NotFound, which names those that there are. A host that cannot tell what it has is believed to have it."""
    for bridge, card in {nic.bridge: nic.name for nic in want.nics if nic.bridge}.items():
        if _is_missing(bridge, connection):
            raise NotFound(f"nics[{card}].bridge: the host has no bridge {bridge!r}; {_there(connection)}")


def _is_missing(name: str, connection: libvirt.virConnect) -> bool:
    """libvirt has two lists of interfaces, and some builds leave those out of the first that nobody configured."""
    try:
        connection.interfaceLookupByName(name)
    except libvirt.libvirtError as error:
        devices = _devices(connection)
        return code_of(error) == libvirt.VIR_ERR_NO_INTERFACE and bool(devices) and name not in devices
    return False


def _devices(connection: libvirt.virConnect) -> set[str]:
    """Every host has some: it does not tell if there are none."""
    try:
        listed = connection.listAllDevices(libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_NET)
    except libvirt.libvirtError:
        return set()
    return {
        ElementTree.fromstring(xml).findtext("capability/interface", "")  # noqa: S314  # libvirt wrote it
        for xml in _told(listed)
    }


def _told(listed: Iterable[Any]) -> Iterator[str]:
    """What is gone meanwhile, or nobody may see, is left out."""
    for one in listed:
        with suppress(libvirt.libvirtError):
            yield one.XMLDesc(0)


def _there(connection: libvirt.virConnect) -> str:
    """Of a host without bridges of Linux's, what else could be one: those of Open vSwitch look like any interface."""
    listed: list[Any] = []
    with suppress(libvirt.libvirtError):
        listed = connection.listAllInterfaces(0)
    told = [ElementTree.fromstring(xml) for xml in _told(listed)]  # noqa: S314  # libvirt's
    names = {node.get("name", ""): node.get("type") for node in told}
    bridges = sorted(name for name, kind in names.items() if kind == "bridge")
    others = sorted(name for name in names if not name.startswith(OF_GUESTS))
    shown = (bridges or others)[:MOST_NAMED]
    more = f" and {len(bridges or others) - len(shown)} more" if len(bridges or others) > len(shown) else ""
    return f"{'bridges' if bridges else 'no bridges; interfaces'}: {', '.join(shown) or 'none'}{more}"
