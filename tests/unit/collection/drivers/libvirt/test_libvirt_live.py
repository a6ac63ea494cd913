# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What counts as another machine than the defined one, and what libvirt only shows otherwise while a guest runs."""

from __future__ import annotations

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import live
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.devices import Domain
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.observation import definition_of

CARD = (
    "<interface type='network'><mac address='52:54:00:00:00:01'/><source network='lan'/><model type='virtio'/>"
    "<alias name='ua-nic-front'/></interface>"
)


class NoVolumes:
    def usage(self, _path: str) -> None:
        return None

    def pool_of(self, _path: str) -> None:
        return None


def domain(card: str, memory: int = 64) -> Domain:
    return Domain(
        "<domain><name>web</name><uuid>0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10</uuid><metadata>"
        "<definition xmlns='urn:millwright:vm:1'>"
        '{"name": "web", "memory_mib": 64, "memory_max_mib": 128}</definition></metadata>'
        f"<memory unit='MiB'>128</memory><currentMemory unit='MiB'>{memory}</currentMemory><vcpu>1</vcpu>"
        f"<devices>{card}</devices></domain>"
    )


def paths(card: str, memory: int = 64) -> list[str]:
    told, runs = domain(CARD), domain(card, memory)
    kept, seen = (definition_of(one, NoVolumes()) for one in (told, runs))
    assert kept.memory_max_mib == 128
    return [change.path for change in live.differences(kept, told, seen, runs)]


@pytest.mark.parametrize(
    "shown",
    [
        CARD,
        # A network that forwards to a bridge, one that tags, and one of a physical card.
        CARD.replace("type='network'", "type='bridge'").replace("'lan'", "'lan' bridge='br0'"),
        CARD.replace("<model", "<vlan><tag id='7'/></vlan><model"),
        CARD.replace("type='network'", "type='direct'").replace("'lan'", "'lan' dev='eth0' mode='bridge'"),
    ],
)
def test_a_card_that_libvirt_shows_as_what_its_network_made_of_it_is_the_same(shown: str):
    assert paths(shown) == []


def test_memory_that_the_balloon_has_not_given_back_yet_is_no_difference():
    assert paths(CARD, memory=128) == []


def test_a_card_that_is_elsewhere_or_nowhere_is_one():
    assert paths(CARD.replace("'lan'", "'dmz'")) == ["nics[front].network"]
    assert paths("") == ["nics[front]"]
