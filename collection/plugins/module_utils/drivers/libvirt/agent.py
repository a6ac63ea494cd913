# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent inside a guest, where there is one: whether it answers, and bringing file systems to rest."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from ipaddress import ip_address
from xml.etree import ElementTree

from ...vm.snapshots import Quiesce
from ...vm.states import PowerState
from . import names, power
from .sdk import libvirt


def answers(domain: libvirt.virDomain) -> bool:
    """Whether an agent has opened its end of the channel; one that hangs has, too."""
    root = ElementTree.fromstring(domain.XMLDesc(0))  # noqa: S314  # libvirt wrote it
    return root.find(f"devices/channel/target[@name='{names.AGENT_CHANNEL}'][@state='connected']") is not None


def addresses(domain: libvirt.virDomain) -> set[str]:
    """What the agent says of the guest's addresses, without those that lead nowhere else; empty if it says nothing."""
    try:
        cards = domain.interfaceAddresses(libvirt.VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_AGENT)
    except libvirt.libvirtError:
        return set()
    told = {address["addr"] for card in cards.values() for address in card["addrs"] or ()}
    return {address for address in told if not _is_local(address)}


def _is_local(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return True


@contextmanager
def at_rest(domain: libvirt.virDomain, quiesce: Quiesce) -> Iterator[bool]:
    """Within, the guest's file systems rest, if that was asked for and an agent could do it: the value says so."""
    rests = _frozen(domain, quiesce)
    try:
        yield rests
    finally:
        if rests:
            with suppress(libvirt.libvirtError):
                domain.fsThaw()


def _frozen(domain: libvirt.virDomain, quiesce: Quiesce) -> bool:
    """Raises libvirt's error only where it must be."""
    if quiesce is Quiesce.NEVER or power.power_of(domain) is not PowerState.ON or not answers(domain):
        return False
    try:
        return domain.fsFreeze() >= 0
    except libvirt.libvirtError:
        # It may have frozen some and failed on another.
        with suppress(libvirt.libvirtError):
            domain.fsThaw()
        if quiesce is Quiesce.ALWAYS:
            raise
        return False
