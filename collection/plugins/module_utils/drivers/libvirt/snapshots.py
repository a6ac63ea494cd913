# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Snapshots of a domain: reading libvirt's, and taking one with or without the guest's memory.

libvirt takes internal snapshots of a guest that is off, or of one that runs together with its memory. For one that runs
and whose memory is not wanted, QEMU itself takes those of the disks, all at one moment, and libvirt is told of them as
of a VM that was off: it then lists, reverts to and deletes them as its own.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ...vm.snapshots import Quiesce, Snapshot, WantedSnapshot
from ...vm.states import PowerState
from ..errors import InvalidTransition, Unsupported
from . import agent, monitor, power
from .devices import Domain
from .looking import INACTIVE
from .sdk import libvirt

#: libvirt's word for the state of a domain in a snapshot -> what a revert leads to.
STATES = {"running": PowerState.ON, "paused": PowerState.PAUSED}
_TELL = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT


def of(domain: libvirt.virDomain) -> tuple[Snapshot, ...]:
    """Parents before their children, else by age."""
    seen = [snapshot_of(one.getXMLDesc(0), current=bool(one.isCurrent(0))) for one in domain.listAllSnapshots(0)]
    parents = {snapshot.name: snapshot.parent for snapshot in seen}
    return tuple(sorted(seen, key=lambda one: (one.created or 0, _depth(parents, one.name), one.name)))


def _depth(parents: dict[str, str | None], name: str | None) -> int:
    """How many snapshots a snapshot stands on. libvirt counts seconds, so a child may be as old as its parent."""
    return 0 if name is None else 1 + _depth(parents, parents.get(name))


def snapshot_of(xml: str, *, current: bool) -> Snapshot:
    """The snapshot as libvirt describes it."""
    root = ElementTree.fromstring(xml)  # noqa: S314  # libvirt wrote it
    return Snapshot(
        name=root.findtext("name", ""),
        description=root.findtext("description", ""),
        created=int(root.findtext("creationTime", "0")),
        power=STATES.get(root.findtext("state", ""), PowerState.OFF),
        parent=root.findtext("parent/name"),
        current=current,
    )


def refuse(domain: libvirt.virDomain, want: WantedSnapshot) -> None:
    """Raise Unsupported or InvalidTransition for a domain that cannot have the snapshot."""
    if power.is_saved(domain):
        raise InvalidTransition(
            f"VM {domain.name()!r} is paused with its memory saved, which a snapshot would not have; "
            "resume it or power it off"
        )
    told = Domain(domain.XMLDesc(INACTIVE))
    if told.has_flash:
        raise Unsupported(f"VM {domain.name()!r} boots by UEFI, and libvirt keeps no snapshots of its variables")
    for node in _written(told):
        kind = node.find("driver[@type='qcow2']")
        if kind is None:
            target = node.find("target")
            disk = "" if target is None else target.get("dev")
            raise Unsupported(f"disk {disk} of VM {domain.name()!r} is not of format qcow2, so it has no snapshots")
    if not _written(told):
        raise Unsupported(f"VM {domain.name()!r} has no disk, so it has no snapshots")
    if want.quiesce is Quiesce.ALWAYS and not (_keeps_disks_only(domain, want) and agent.answers(domain)):
        raise Unsupported(
            f"the guest of VM {domain.name()!r} cannot be brought to rest: it takes one that runs, "
            "with an agent that answers, and a snapshot without memory"
        )


def _written(told: Domain) -> list[Element]:
    """The disks that the guest can write."""
    return [node for node in told.root.iterfind("devices/disk[@device='disk']") if node.find("readonly") is None]


def _keeps_disks_only(domain: libvirt.virDomain, want: WantedSnapshot) -> bool:
    return not want.memory and power.power_of(domain) in (PowerState.ON, PowerState.PAUSED)


def create(domain: libvirt.virDomain, want: WantedSnapshot, *, is_test: bool) -> bool:
    """Take it; gives whether the guest was brought to rest for it."""
    if not _keeps_disks_only(domain, want):
        domain.snapshotCreateXML(_xml(_described(want)), 0)
        return False
    with agent.at_rest(domain, want.quiesce) as rests, _disks_taken(domain, want.name, is_test=is_test):
        domain.snapshotCreateXML(_xml(_as_of_one_that_was_off(domain, want)), _TELL)
    return rests


@contextmanager
def _disks_taken(domain: libvirt.virDomain, name: str, *, is_test: bool) -> Iterator[None]:
    """Within, QEMU has taken the disks' snapshots; they go again if the block fails. The mock has no QEMU."""
    if is_test:
        yield
        return
    nodes = monitor.written_nodes(domain)
    # What a killed one left; nobody knows of it.
    monitor.drop_snapshots(domain, nodes, name)
    monitor.take_snapshots(domain, nodes, name)
    try:
        yield
    except BaseException:
        with suppress(libvirt.libvirtError):
            monitor.drop_snapshots(domain, nodes, name)
        raise


def _described(want: WantedSnapshot) -> Element:
    root = Element("domainsnapshot")
    SubElement(root, "name").text = want.name
    if want.description:
        SubElement(root, "description").text = want.description
    return root


def _as_of_one_that_was_off(domain: libvirt.virDomain, want: WantedSnapshot) -> Element:
    root = _described(want)
    SubElement(root, "state").text = "shutoff"
    SubElement(root, "creationTime").text = str(int(time.time()))
    if domain.hasCurrentSnapshot(0):
        SubElement(SubElement(root, "parent"), "name").text = domain.snapshotCurrent(0).getName()
    SubElement(root, "memory", snapshot="no")
    told = Domain(domain.XMLDesc(INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    disks = SubElement(root, "disks")
    for node in told.root.iterfind("devices/disk"):
        SubElement(disks, "disk", _of_disk(node))
    root.append(told.root)
    return root


def _of_disk(node: Element) -> dict[str, Any]:
    target = node.find("target")
    writes = node.get("device") == "disk" and node.find("readonly") is None
    return {"name": "" if target is None else target.get("dev", ""), "snapshot": "internal" if writes else "no"}


def _xml(root: Element) -> str:
    return ElementTree.tostring(root, encoding="unicode")
