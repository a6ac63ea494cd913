# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks of a domain of ours that somebody else has put into it: what stays of them, and what goes with it if whoever
removes it wants that. And what stands on files that go."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from ..base import NOT_OURS, KeptDisk
from ..errors import Conflict, Unsupported
from . import names
from .devices import Domain, attribute_of, is_seed
from .others import Needs, needs, place_of, running
from .sdk import libvirt
from .storage import Storage

#: Kinds of devices that hold what a guest writes. Others have discs.
_DISKS = ("disk", "lun")


@dataclass(frozen=True, kw_only=True)
class Foreign:
    """The disks that were not made for a domain."""

    kept: tuple[KeptDisk, ...]
    #: Paths.
    going: tuple[str, ...] = ()


def foreign(said: Sequence[Domain], storage: Storage, connection: libvirt.virConnect, *, remove: bool) -> Foreign:
    """Of a domain as it is kept and, if it runs, as it runs. Raises NotFound and Unsupported for a disk that should go
    and cannot."""
    nodes = {place: node for told in said for place, node in _places(told, storage).items()}
    if not remove or not nodes:
        return Foreign(kept=tuple(KeptDisk(path=place, why=NOT_OURS) for place in sorted(nodes)))
    identity = said[0].uuid
    needed = needs(connection, storage, identity)
    reasons = {
        place: _own_reason(place, node) or needed.reason(storage.spellings(place)) for place, node in nodes.items()
    }
    going = {place for place, reason in reasons.items() if reason is None}
    # Here what was made for VMs counts as well: a template may be among what goes. What stays may stand on something.
    while standing := dict(_overlays(storage, going, identity, made_for_vms=True)):
        reasons |= {base: f"{overlay} stands on it" for base, overlay in standing.items()}
        going -= standing.keys()
    _refuse_unreachable(going, nodes, storage)
    return Foreign(
        kept=tuple(KeptDisk(path=place, why=reason) for place, reason in sorted(reasons.items()) if reason),
        going=tuple(sorted(going)),
    )


def _places(told: Domain, storage: Storage) -> dict[str, Element]:
    nodes = [node for node in told.root.iterfind("devices/disk") if node.get("device", "disk") in _DISKS]
    found = [(node, node.find("source")) for node in nodes if not is_seed(node)]
    places = {
        _place(node, source, storage): node
        for node, source in found
        if source is not None and not storage.is_gone(source.get("pool"), source.get("volume"))
    }
    ours = names.prefix(told.uuid)
    return {place: node for place, node in places.items() if not PurePosixPath(place).name.startswith(ours)}


def _place(node: Element, source: Element, storage: Storage) -> str:
    """Its path, the name by which another host knows it or, of a device of the host, what the guest calls it."""
    elsewhere = ":".join(source.attrib[key] for key in ("pool", "volume", "protocol", "name") if key in source.attrib)
    return place_of(source, storage) or elsewhere or attribute_of(node, "target", "dev") or ""


def _own_reason(place: str, node: Element) -> str | None:
    if node.find("shareable") is not None:
        return "it is shared with other VMs"
    if node.find("readonly") is not None:
        return "the VM may only read it"
    if names.is_of_a_vm(PurePosixPath(place).name):
        return "it was made for another VM"
    return None


def _refuse_unreachable(going: Collection[str], nodes: Mapping[str, Element], storage: Storage) -> None:
    elsewhere = sorted(place for place in going if not place.startswith("/"))
    if elsewhere:
        raise Unsupported(
            f"{', '.join(elsewhere)} is no file or block device of the hypervisor, and libvirt cannot remove it; "
            "detach it from the VM first, or let it stay"
        )
    luns = sorted(place for place in going if nodes[place].get("device") == "lun")
    if luns:
        raise Unsupported(f"{', '.join(luns)} is a LUN, and libvirt cannot remove it; detach it first, or let it stay")
    storage.refuse_out_of_reach(going)
    fixed = sorted(place for place in going if storage.is_fixed(place))
    if fixed:
        raise Unsupported(
            f"{', '.join(fixed)} is in a pool whose volumes libvirt cannot remove; detach it first, or let it stay"
        )


def refuse_overlays(domain: Domain, going: Collection[str], storage: Storage, connection: libvirt.virConnect) -> None:
    """Raise Conflict if anything that stays stands on a disk that is about to go.

    Only volumes that bear no VM's identity are asked what they stand on: those that do Millwright made, and it makes
    none of a VM's disk. So that is one more listing of the pools, and a question (0.3 ms) for each image and each
    volume made by hand, not for each VM of a host. Which VM has an overlay is looked for when there is one. What VMs
    that run stand on, libvirt knows wherever it is; of those that are off, an overlay outside of all active pools, or
    put into a pool of another host since libvirt has read it, is not seen.
    """
    found = dict(_overlays(storage, going, domain.uuid, made_for_vms=False))
    if found:
        who = needs(connection, storage)
        raise Conflict("; ".join(_standing(domain, base, overlay, who) for base, overlay in sorted(found.items())))
    used = running(connection, storage, domain.uuid) if going else {}
    taken = sorted((base, used[path]) for base in going for path in storage.spellings(base) if path in used)
    if taken:
        base, owner = taken[0]
        raise Conflict(
            f"VM {owner!r} runs on {base} of VM {domain.name!r}, and would lose it; give it a disk of its own first"
        )


def _standing(domain: Domain, base: str, overlay: str, who: Needs) -> str:
    owner = who.used.get(overlay)
    has = f"VM {owner!r} has {overlay}, which is" if owner else f"{overlay} is"
    return (
        f"{has} an overlay on {base} of VM {domain.name!r} and would be lost with it; flatten the overlay or remove it "
        "first"
    )


def _overlays(
    storage: Storage, bases: Collection[str], identity: str, *, made_for_vms: bool
) -> Iterator[tuple[str, str]]:
    """Each of the files on which a volume stands that does not go, and the volume."""
    known = {spelling: base for base in bases for spelling in storage.spellings(base)}
    if not known:
        return
    ours = names.prefix(identity)
    storage.refresh_what_was_put_in()
    for volume in storage.volumes_called(
        lambda name: not name.startswith(ours) and (made_for_vms or not names.is_of_a_vm(name))
    ):
        backing, path = storage.backing_of(volume), storage.real(volume.path())
        base = next((known[one] for one in storage.spellings(backing) if one in known), None) if backing else None
        if base and path not in known:
            yield base, path
