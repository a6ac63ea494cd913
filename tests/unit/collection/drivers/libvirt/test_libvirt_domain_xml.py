# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A definition as domain XML, and the XML as a definition again."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.devices import Domain
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.domain_xml import (
    Media,
    Source,
    domain_xml,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.editing import Editor
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.features import Features
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.observation import (
    Usage,
    definition_of,
)
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition

QEMU = Features(domain_type="qemu", arch="x86_64", machine="q35")
GOLDEN = Path(__file__).with_name("web.xml")

FULL = VmDefinition.from_dict(
    {
        "name": "web & <co>",
        "uuid": "0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10",
        "description": "front\r\nend ]]>",
        "tags": {"{{ x }}": "'; DROP TABLE vms; --"},
        "cpu": {"count": 4, "cores_per_socket": 2},
        "memory_mib": 512,
        "firmware": "uefi",
        "disks": [
            {"name": "root", "template": "/templates/tiny.qcow2", "size_mib": 64},
            {"name": "fast", "size_mib": 8, "bus": "scsi", "format": "raw"},
            {"name": "slow", "size_mib": 8, "bus": "sata", "pool": "cold"},
        ],
        "nics": [
            {"name": "front", "network": "default", "mac": "52:54:00:12:34:56", "vlan": 7},
            {"name": "back", "bridge": "br0", "model": "e1000"},
        ],
        "boot_order": ["cdrom", "disk", "network"],
        "cdrom": "debian.iso",
        "cloud_init": {"user_data": "#cloud-config\npassword: canary\n"},
        "console": {"graphics": "vnc", "serial_log": True},
    }
)


class Shelf:
    """Volumes that have the sizes of a definition's disks."""

    def __init__(self, want: VmDefinition):
        self.sizes = {f"/pool/{names.disk_volume(want.identity, disk)}": disk.size_mib for disk in want.disks}

    def usage(self, path: str) -> Usage | None:
        size_mib = self.sizes.get(path)
        return None if size_mib is None else Usage(capacity=size_mib * 1024 * 1024, allocation=0)

    def pool_of(self, path: str) -> str | None:
        return None


def media_of(want: VmDefinition) -> Media:
    return Media(
        disks={disk.name: Source(path=f"/pool/{names.disk_volume(want.identity, disk)}") for disk in want.disks},
        cdrom=Source(path=f"/pool/{want.cdrom}") if want.cdrom else None,
        seed=Source(path="/pool/seed.iso") if want.cloud_init else None,
        serial_log="/pool/serial.log" if want.console.serial_log else None,
    )


def seen(want: VmDefinition, xml: str) -> VmDefinition:
    return definition_of(Domain(xml), Shelf(want))


def written(want: VmDefinition) -> str:
    return domain_xml(want, media_of(want), QEMU)


def test_a_domain_is_written_as_libvirt_expects_it():
    tree = ElementTree.fromstring(written(FULL))
    ElementTree.indent(tree)
    tree.find("metadata/*").text = "(json)"
    assert ElementTree.tostring(tree, encoding="unicode") + "\n" == GOLDEN.read_text()


@pytest.mark.parametrize(
    ("bus", "seed"), [("virtio", ("disk", "virtio")), ("scsi", ("disk", "scsi")), ("sata", ("cdrom", "sata"))]
)
def test_cloud_inits_data_are_where_the_guest_finds_its_boot_disk(bus: str, seed: tuple[str, str]):
    raw = {"name": "web", "memory_mib": 64, "disks": [{"name": "a", "size_mib": 1, "bus": bus}], "cloud_init": {}}
    want = VmDefinition.from_dict(raw)
    node = ElementTree.fromstring(written(want)).find(f"devices/disk/alias[@name='{names.SEED}']/..")
    assert (node.get("device"), node.find("target").get("bus")) == seed
    assert node.find("readonly") is not None
    assert seen(want, written(want)).disks == want.disks


def test_a_secret_is_not_in_the_domain():
    assert "canary" not in written(FULL)


@pytest.mark.parametrize("kind", ["kvm", "test"])
def test_a_domain_is_of_the_type_that_the_host_can_run(kind: str):
    root = ElementTree.fromstring(domain_xml(FULL, media_of(FULL), Features(domain_type=kind)))
    assert root.get("type") == kind
    assert root.find("cpu").get("mode") == {"kvm": "host-model", "test": None}[kind]
    assert root.find("os/type").get("machine") is None


def test_a_disk_on_a_block_device_is_attached_as_one():
    want = VmDefinition.from_dict({"name": "web", "memory_mib": 64, "disks": [{"name": "a", "size_mib": 1}]})
    media = Media(disks={"a": Source(path="/dev/vg/a", block=True)})
    disk = ElementTree.fromstring(domain_xml(want, media, QEMU)).find("devices/disk")
    assert (disk.get("type"), disk.find("source").get("dev")) == ("block", "/dev/vg/a")


def test_thirty_disks_have_thirty_targets():
    disks = [{"name": f"d{number}", "size_mib": 1} for number in range(30)]
    want = VmDefinition.from_dict({"name": "web", "memory_mib": 64, "disks": disks})
    targets = [node.get("dev") for node in ElementTree.fromstring(written(want)).findall("devices/disk/target")]
    assert len(set(targets)) == 30
    assert (targets[0], targets[25], targets[26]) == ("vda", "vdz", "vdaa")


def test_what_was_written_reads_as_it_was_wanted():
    assert changes(seen(FULL, written(FULL)), FULL) == ()


_LABELS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?", fullmatch=True)
_TEXT = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn"), include_characters="\t\n\r"))
_LINES = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1, max_size=40).filter(
    lambda name: not set(name) & set("/\\") and name.strip(".")
)
_DISKS = st.lists(
    st.fixed_dictionaries(
        {
            "name": _LABELS,
            "size_mib": st.integers(1, 2**20),
            "bus": st.sampled_from(["virtio", "scsi", "sata"]),
            "format": st.sampled_from(["qcow2", "raw"]),
        }
    ),
    max_size=4,
    unique_by=lambda disk: disk["name"],
)
_NICS = st.lists(
    st.fixed_dictionaries(
        {"name": _LABELS, "model": st.sampled_from(["virtio", "e1000", "rtl8139"]), "network": _LINES},
        optional={"vlan": st.integers(1, 4094)},
    ),
    max_size=3,
    unique_by=lambda nic: nic["name"],
)
DEFINITIONS = st.fixed_dictionaries(
    {
        "name": _LINES,
        "memory_mib": st.integers(16, 2**20),
        "description": _TEXT,
        "tags": st.dictionaries(_LINES, _LINES, max_size=3),
        "disks": _DISKS,
        "nics": _NICS,
        "cpu": st.integers(1, 64).map(lambda sockets: {"count": sockets * 2, "cores_per_socket": 2}),
        "firmware": st.sampled_from(["bios", "uefi"]),
        "console": st.fixed_dictionaries({"graphics": st.sampled_from(["none", "vnc"]), "serial_log": st.booleans()}),
        "boot_order": st.sampled_from([[], ["disk"]]),
    }
).map(VmDefinition.from_dict)


@settings(max_examples=60, deadline=None)
@given(DEFINITIONS)
def test_any_definition_comes_back_from_its_domain(want: VmDefinition):
    assert changes(seen(want, written(want)), want) == ()


@settings(max_examples=30, deadline=None)
@given(DEFINITIONS, DEFINITIONS)
def test_a_reconfigured_domain_reads_as_wanted_and_keeps_the_rest(before: VmDefinition, after: VmDefinition):
    xml = written(before).replace("</devices>", "<watchdog model='itco'/></devices>")
    changed = before.__class__(
        **{**vars(before), "cpu": after.cpu, "memory_mib": after.memory_mib, "description": after.description}
    )
    editor = Editor(xml, before)
    editor.keep(changed)
    again = editor.xml
    assert changes(seen(before, again), changed) == ()
    assert "watchdog" in again


DRIFT = {
    "memory_mib": ('<memory unit="MiB">512', '<memory unit="GiB">1'),
    "cpu.count": (">4</vcpu>", ">8</vcpu>"),
    "cpu.cores_per_socket": ('cores="2"', 'cores="4"'),
    "description": ("<description>front", "<description>back"),
    "firmware": ('firmware="efi"', ""),
    "disks[fast].bus": ('bus="scsi"', 'bus="sata"'),
    "disks[fast]": ('bus="scsi"', 'bus="ide"'),
    "nics[back].model": ("e1000", "rtl8139"),
    "nics[front].mac": ("52:54:00:12:34:56", "52:54:00:12:34:57"),
    "nics[front].vlan": ('id="7"', 'id="8"'),
    "nics[back].bridge": ("br0", "br1"),
    "boot_order": ('<boot dev="cdrom" />', ""),
    "cdrom": ("/pool/debian.iso", "/pool/other.iso"),
    "console.serial_log": ('<log file="/pool/serial.log" append="on" />', ""),
    "console.graphics": ('type="vnc"', 'type="spice"'),
}


@pytest.mark.parametrize("path", DRIFT)
def test_what_somebody_changes_by_hand_is_seen(path: str):
    xml = written(FULL)
    changed = xml.replace(*DRIFT[path])
    assert changed != xml
    assert [change.path for change in changes(seen(FULL, changed), FULL)] == [path]


def test_cloud_inits_data_that_somebody_replaced_are_missed_and_a_foreign_disk_is_seen():
    changed = written(FULL).replace("ua-cloud-init", "ua-other")
    assert [change.path for change in changes(seen(FULL, changed), FULL)] == ["disks[foreign-vdb]", "cloud_init"]


def test_a_disk_that_was_grown_by_hand_is_seen():
    shelf = Shelf(FULL)
    shelf.sizes[f"/pool/{FULL.identity}-root.qcow2"] = 128
    (change,) = changes(definition_of(Domain(written(FULL)), shelf), FULL)
    assert (change.path, change.before, change.after) == ("disks[root].size_mib", 128, 64)


def test_a_disk_whose_file_was_replaced_is_no_longer_ours():
    replaced = written(FULL).replace(f"{FULL.identity}-root.qcow2", "evil.qcow2")
    paths = [change.path for change in changes(seen(FULL, replaced), FULL)]
    assert paths == ["disks[root].template", "disks[root].size_mib"]


def test_a_managed_vm_whose_definition_was_destroyed_is_managed_and_has_none():
    root = ElementTree.fromstring(written(FULL))
    root.find("metadata/*").text = "{broken"
    domain = Domain(ElementTree.tostring(root, encoding="unicode"))
    assert domain.managed
    assert definition_of(domain, Shelf(FULL)) is None


def test_a_definition_of_a_newer_release_is_read():
    root = ElementTree.fromstring(written(FULL))
    kept = root.find("metadata/*")
    kept.text = kept.text.replace('"tags":', '"a_newer_field": 1, "tags":')
    domain = Domain(ElementTree.tostring(root, encoding="unicode"))
    assert changes(definition_of(domain, Shelf(FULL)), FULL) == ()


def test_a_foreign_vm_is_told_as_far_as_its_xml_goes():
    foreign = "<domain><name>old</name><uuid>0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10</uuid><memory>65536</memory></domain>"
    domain = Domain(foreign)
    told = definition_of(domain, Shelf(FULL))
    assert (domain.managed, told.name, told.memory_mib, told.cpu.count) == (False, "old", 64, 1)


def test_a_foreign_vm_that_breaks_the_rules_has_no_definition():
    foreign = "<domain><name>old</name><uuid>0b9d1c8e-5f3a-4c5e-8a77-2f6f3c1b9a10</uuid><memory>1</memory></domain>"
    assert definition_of(Domain(foreign), Shelf(FULL)) is None
