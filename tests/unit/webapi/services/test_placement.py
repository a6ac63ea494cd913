# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The decision where VMs go."""

from __future__ import annotations

import pytest

from webapi.errors import Refused
from webapi.models import HypervisorState
from webapi.services.placement import Host, Need, place


def host(name: str, *, memory: int = 1000, used: int = 0, state: HypervisorState = HypervisorState.MANAGED) -> Host:
    return Host(id=name, name=name, state=state, memory_mib=memory, used_mib=used)


def need(name: str, memory: int = 100, wanted: str | None = None) -> Need:
    return Need(vm_id=name, name=name, memory_mib=memory, wanted_host_id=wanted)


def test_a_vm_goes_where_most_memory_is_free():
    assert place([need("vm")], [host("a", used=500), host("b", memory=700), host("c", used=400)]) == {"vm": "b"}


def test_vms_that_were_just_placed_count():
    needs = [need(f"vm{number}", 400) for number in range(4)]
    chosen = place(needs, [host("a"), host("b")])
    assert sorted(chosen.values()) == ["a", "a", "b", "b"]


def test_a_vm_that_fills_the_last_free_memory_fits():
    assert place([need("vm", 1000)], [host("a")]) == {"vm": "a"}


def test_a_vm_that_is_bound_to_a_host_goes_there_or_nowhere():
    hosts = [host("a"), host("b", used=950)]
    assert place([need("vm", 50, wanted="b")], hosts) == {"vm": "b"}
    with pytest.raises(Refused):
        place([need("vm", 51, wanted="b")], hosts)


def test_the_refusal_says_of_each_host_why():
    hosts = [host("small", memory=64, used=60), host("gone", state=HypervisorState.UNREACHABLE)]
    with pytest.raises(Refused) as refused:
        place([need("vm", 100)], hosts)
    assert refused.value.code == "placement.none"
    assert "small has 4 of 64 MiB free" in refused.value.message
    assert "gone is UNREACHABLE" in refused.value.message
    assert "'vm', which needs 100 MiB" in refused.value.message


def test_without_a_host_the_refusal_says_so():
    with pytest.raises(Refused, match="there is no hypervisor of its type"):
        place([need("vm")], [])


def test_if_one_vm_has_no_place_none_is_placed():
    with pytest.raises(Refused) as refused:
        place([need("a", 600), need("b", 600)], [host("only")])
    assert refused.value.details["vm_id"] == "b"
