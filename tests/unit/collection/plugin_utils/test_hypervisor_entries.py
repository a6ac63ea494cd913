# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Entries of an inventory file, and the variables of a VM's host."""

from __future__ import annotations

import pytest
import yaml

from ansible_collections.millwright.virt.plugins.inventory import vms
from ansible_collections.millwright.virt.plugins.module_utils.connection import CONNECTION
from ansible_collections.millwright.virt.plugins.plugin_utils.hypervisors import hypervisors_of, without_password


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("qemu:///system", "qemu:///system"),
        ("qemu+ssh://root@kvm1/system", "qemu+ssh://root@kvm1/system"),
        ("qemu+tcp://root:secret@kvm1/system", "qemu+tcp://root@kvm1/system"),
        ("https://u:p:q@[::1]:443/sdk", "https://u@[::1]:443/sdk"),
    ],
)
def test_a_shown_url_has_no_password(url: str, shown: str):
    assert without_password(url) == shown


def test_a_hypervisor_is_called_as_said_or_after_its_host_or_type():
    entries = [
        {"type": "libvirt", "url": "qemu:///system"},
        {"type": "libvirt", "url": "qemu+ssh://kvm1/system"},
        {"type": "fake", "url": "fake:///tmp/lab", "name": "lab"},
    ]
    assert [one.name for one in hypervisors_of(entries)] == ["libvirt", "kvm1", "lab"]


def test_what_is_cached_is_found_by_where_and_who_and_never_by_a_password():
    def key(**more: str) -> str:
        return hypervisors_of([{"type": "fake", "url": "fake:///a", **more}])[0].key

    assert key() == key(name="b")
    assert key(username="u", password="1") == key(username="u", password="2")
    assert len({key(), key(username="u"), key(url="fake:///b")}) == 3


def test_every_option_of_a_connection_is_documented_for_an_entry():
    documented = yaml.safe_load(vms.DOCUMENTATION)["options"]["hypervisors"]["suboptions"]
    assert set(documented) == {"name", *CONNECTION}
    for name, option in CONNECTION.items():
        assert documented[name]["type"] == option["type"]
        assert documented[name].get("default") == option.get("default")


@pytest.mark.parametrize(
    ("addresses", "best"),
    [
        ([], None),
        (["fe80::1%eth0", "127.0.0.1", "what a guest says"], None),
        (["2001:db8::7", "192.0.2.7"], "192.0.2.7"),
        (["fe80::1", "2001:db8::7"], "2001:db8::7"),
    ],
)
def test_a_guest_is_reached_by_ipv4_before_ipv6_and_never_by_what_leads_nowhere(addresses: list[str], best: str | None):
    assert vms.address_of(addresses) == best


def test_a_hosts_variables_say_what_its_vm_is_and_where_its_guest_is_reached():
    [hypervisor] = hypervisors_of([{"type": "fake", "url": "fake:///a", "name": "lab"}])
    vm = {"name": "web", "uuid": "u", "definition": {"tags": {"role": "web"}}, "addresses": ["fe80::1", "192.0.2.7"]}
    told = vms.variables_of(hypervisor, vm)
    assert told["ansible_host"] == "192.0.2.7"
    assert told["millwright_vm"] == {"name": "web", "uuid": "u"}
    assert told["millwright_tags"] == {"role": "web"}
    assert told["millwright_hypervisor_name"] == "lab"
    foreign = vms.variables_of(hypervisor, {**vm, "definition": None, "addresses": []})
    assert foreign["millwright_tags"] == {}
    assert "ansible_host" not in foreign
