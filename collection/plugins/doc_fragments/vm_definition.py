# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options that describe a VM, in the words of module_utils/vm/definition.py; a test compares the two."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  name:
    description:
      - Name of the VM at the hypervisor.
    type: str
    required: true
  uuid:
    description:
      - Identity of the VM. Give it to rename a VM later; without it the name identifies the VM.
    type: str
  description:
    description:
      - What the VM is for.
      - Without the option the VM has no description.
    type: str
  tags:
    description:
      - Free labels, kept with the VM.
      - Without the option it has none.
    type: dict
  cpu:
    description:
      - Virtual processors.
    type: dict
    suboptions:
      count:
        description:
          - Number of virtual CPUs.
        type: int
        default: 1
      cores_per_socket:
        description:
          - Cores of one socket; must divide O(cpu.count).
        type: int
        default: 1
      max_count:
        description:
          - Number of virtual CPUs that the VM can be given while it runs. Without it more need a power cycle.
        type: int
  memory_mib:
    description:
      - Memory in MiB.
      - A VM may have more than its host has; whether it gets it is seen when it is powered on.
      - Required with O(state=present).
    type: int
  memory_max_mib:
    description:
      - Memory in MiB that the VM can be given while it runs, if its guest takes part.
        Without it more needs a power cycle.
    type: int
  firmware:
    description:
      - Firmware that boots the VM.
    type: str
    choices: [bios, uefi]
    default: "bios"
  disks:
    description:
      - Disks, the first one is the boot disk.
      - The list is whole. Disks that the VM has and that are not in it are removed, with O(allow_disk_removal) only.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Identifies the disk within its VM.
        type: str
      template:
        description:
          - >-
            Template that the disk is made from: absolute path or volume name at the hypervisor. Without it
            the disk is empty.
        type: str
      template_format:
        description:
          - Format of the template. It is never guessed.
        type: str
        choices: [qcow2, raw]
        default: "qcow2"
      size_mib:
        description:
          - Size in MiB. Required for an empty disk; for one from a template it is at least the template's
            size, which is its default.
        type: int
      format:
        description:
          - Format of the disk.
        type: str
        choices: [qcow2, raw]
        default: "qcow2"
      clone:
        description:
          - V(linked) keeps only the differences to the template, which must stay; V(full) copies it.
        type: str
        choices: [linked, full]
        default: "linked"
      bus:
        description:
          - How the disk is attached.
        type: str
        choices: [virtio, scsi, sata]
        default: "virtio"
      pool:
        description:
          - Storage pool or datastore that holds the disk.
        type: str
        default: "default"
  nics:
    description:
      - Network cards.
      - The list is whole. A card that the VM has and that is not in it is removed, and without the option all are.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - Identifies the card within its VM.
        type: str
      network:
        description:
          - Network of the hypervisor that the card is on.
        type: str
      bridge:
        description:
          - Bridge of the host that the card is on.
        type: str
      mac:
        description:
          - Hardware address. Without it the hypervisor picks one.
        type: str
      model:
        description:
          - Card that the guest sees.
        type: str
        choices: [virtio, e1000, rtl8139]
        default: "virtio"
      vlan:
        description:
          - VLAN tag, where the network or bridge takes one.
        type: int
  boot_order:
    description:
      - Devices to boot from, the first one first.
    type: list
    elements: str
    choices: [disk, cdrom, network]
  cdrom:
    description:
      - ISO image in the drive, absolute path or volume name at the hypervisor.
        An empty text says that there is no disc in the drive.
    type: str
  cloud_init:
    description:
      - Data for cloud-init in the guest.
    type: dict
    suboptions:
      user_data:
        description:
          - >-
            User data: a text that begins with #, like #cloud-config or #!, or with a MIME header.
        type: str
      meta_data:
        description:
          - Meta data; by default the instance id and the host name.
          - It is no secret, results and differences show it; what is secret belongs into O(cloud_init.user_data).
        type: str
      network_config:
        description:
          - Network configuration, version 1 or 2.
          - It is no secret, results and differences show it, and the hypervisor keeps it with the VM. Have user data
            write what holds a password.
        type: str
  console:
    description:
      - Ways to the guest's screen and serial line.
      - A VM that is on takes a change of them with a power cycle.
    type: dict
    suboptions:
      graphics:
        description:
          - V(vnc) gives a screen that no network listener exposes.
        type: str
        choices: [none, vnc]
        default: "vnc"
      serial_log:
        description:
          - Keep what the guest writes to its first serial port beside its disks.
          - What was kept stays when this is taken back, and goes with the VM.
        type: bool
        default: false
  autostart:
    description:
      - Start the VM whenever its host starts.
    type: bool
    default: false
"""
