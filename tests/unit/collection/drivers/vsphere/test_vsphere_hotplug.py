# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM takes while it runs, where the simulator knows no limit."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.hotplug import hot_paths
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.observation import Seen
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import Change
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

NOW = VmDefinition.from_dict({"name": "web", "memory_mib": 1024, "memory_max_mib": 8192})


@pytest.mark.parametrize(
    ("after", "told", "takes"),
    [
        (2048, {}, True),
        (2048, {"config.hotPlugMemoryLimit": 2048, "config.hotPlugMemoryIncrementSize": 128}, True),
        (2048, {"config.hotPlugMemoryLimit": 1536}, False),
        (1100, {"config.hotPlugMemoryIncrementSize": 128}, False),
        (512, {}, False),
        (2048, {"config.memoryHotAddEnabled": False}, False),
    ],
)
def test_memory_is_added_in_steps_up_to_what_vsphere_says(after: int, told: dict[str, Any], takes: bool):
    change = Change("memory_mib", 1024, after)
    told = {"config.memoryHotAddEnabled": True, **told}
    assert hot_paths(Seen({}), told, NOW, (change,)) == (frozenset({"memory_mib"}) if takes else frozenset())
