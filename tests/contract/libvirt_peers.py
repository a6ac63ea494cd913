# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt for the contract suite: its own mock, whose state lives in one connection, and real QEMU guests."""

from __future__ import annotations

import fcntl
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import libvirt

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver, names
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition, identity_of

NODE = """<node>
  <cpu><mhz>2000</mhz><model>i686</model><active>8</active><nodes>1</nodes>
    <sockets>2</sockets><cores>4</cores><threads>1</threads></cpu>
  <memory>16777216</memory>
  <network><name>default</name><bridge name='virbr0'/><ip address='192.0.2.1' netmask='255.255.255.0'/></network>
  <interface type='bridge' name='br0'><bridge><interface type='ethernet' name='eth0'/></bridge></interface>
  <pool type='dir'>
    <name>default</name><capacity>107374182400</capacity><allocation>0</allocation><available>107374182400</available>
    <target><path>/default</path></target>
    <volume><name>template.qcow2</name><capacity unit='MiB'>8</capacity><allocation unit='MiB'>1</allocation>
      <target><path>/default/template.qcow2</path><format type='qcow2'/></target></volume>
  </pool>
</node>
"""


#: What the names of pools, and the titles of foreign VMs, begin with; and the networks' names, which are short.
OURS, BRIDGE = "millwright-contract-", "mwc"
POOLS = Path("/var/tmp")
#: What a domain may have beside its disks.
REMAINS = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA


class LibvirtPeer:
    """What both kinds have in common; they differ in the URL and in how a foreign guest runs."""

    dead_connection = Connection(
        hypervisor_type="libvirt", url="qemu+unix:///system?socket=/no/such/socket", connect_timeout=5
    )
    template = "template.qcow2"
    template_mib = 8
    linked_disks_grow = True

    def __init__(self, *, url: str, pool: str, network: str, domain_type: str):
        self.connection = Connection(hypervisor_type="libvirt", url=url)
        self.pool = pool
        self.network = network
        self.guests_obey_shutdown = domain_type == "test"
        self.limits_cpus = domain_type != "test"
        self._domain_type = domain_type

    def files(self, driver: LibvirtDriver) -> set[str]:
        pool = driver._connection.storagePoolLookupByName(self.pool)
        pool.refresh(0)
        return {volume.name() for volume in pool.listAllVolumes(0)}

    def is_of_template(self, file: str, template: str) -> bool:
        return file == template

    def make_foreign(self, driver: LibvirtDriver, name: str) -> str:
        domain = driver._connection.defineXML(
            f"<domain type='{self._domain_type}'><name>{name}</name><title>{OURS}foreign</title>"
            "<memory unit='MiB'>32</memory><os><type>hvm</type></os></domain>"
        )
        return domain.UUIDString()

    def attach_foreign(self, driver: LibvirtDriver, want: VmDefinition) -> str:
        path = self._volume(driver, "theirs.qcow2")
        self.attach(driver, want, path)
        return path

    def attach(self, driver: LibvirtDriver, want: VmDefinition, path: str) -> None:
        self._plug(driver, want.name, path)

    def make_overlay(self, driver: LibvirtDriver, want: VmDefinition, name: str) -> None:
        pool = driver._connection.storagePoolLookupByName(self.pool)
        base = pool.storageVolLookupByName(names.disk_volume(want.identity, want.disks[0])).path()
        self.make_foreign(driver, name)
        self._plug(driver, name, self._volume(driver, f"{name}.qcow2", base))

    def _volume(self, driver: LibvirtDriver, name: str, base: str | None = None) -> str:
        on = f"<backingStore><path>{base}</path><format type='qcow2'/></backingStore>" if base else ""
        pool = driver._connection.storagePoolLookupByName(self.pool)
        xml = f"<volume><name>{name}</name><capacity unit='MiB'>8</capacity><allocation>0</allocation>"
        return pool.createXML(f"{xml}<target><format type='qcow2'/></target>{on}</volume>").path()

    def _plug(self, driver: LibvirtDriver, name: str, path: str) -> None:
        """The mock cannot attach a disk."""
        xml = driver._connection.lookupByName(name).XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        disk = (
            "<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>"
            f"<source file='{path}'/><target dev='vdx' bus='virtio'/></disk>"
        )
        driver._connection.defineXML(xml.replace("</devices>", f"{disk}</devices>"))

    def leave_residue(self, driver: LibvirtDriver, want: VmDefinition) -> None:
        pool = driver._connection.storagePoolLookupByName(self.pool)
        identity = identity_of(want.name)
        for name, kind in (
            (names.making_volume(identity, driver._features.host), "raw"),
            (names.disk_volume(identity, want.disks[0]), "qcow2"),
        ):
            pool.createXML(
                f"<volume><name>{name}</name><capacity unit='MiB'>1</capacity><allocation>0</allocation>"
                f"<target><format type='{kind}'/></target></volume>"
            )

    @contextmanager
    def failing_create(self, driver: LibvirtDriver, want: VmDefinition) -> Iterator[None]:
        """Everything goes to the real connection, and the last step fails there."""
        with self._instead(driver, RefusesToDefine(driver._connection)):
            yield

    @contextmanager
    def failing_update(self, driver: LibvirtDriver, want: VmDefinition) -> Iterator[None]:
        """New disks are made, and the new definition is wrong; the old one is not."""
        with self._instead(driver, RefusesToDefine(driver._connection, only="new")):
            yield

    @contextmanager
    def failing_delete(self, driver: LibvirtDriver, want: VmDefinition) -> Iterator[None]:
        """The disks go, and the last step fails."""
        with self._instead(driver, RefusesToUndefine(driver._connection)):
            yield

    @contextmanager
    def _instead(self, driver: LibvirtDriver, connection: RealOne) -> Iterator[None]:
        real = driver._connection
        driver._connection = connection
        try:
            yield
        finally:
            driver._connection = real


class RealOne:
    """What it wraps, but for what a subclass does otherwise."""

    def __init__(self, real: Any):
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class RefusesToUndefine(RealOne):
    """A connection whose hypervisor finds every request to undefine a domain wrong."""

    def lookupByName(self, name: str) -> libvirt.virDomain:
        return DomainThatStays(self._real.lookupByName(name))

    def lookupByUUIDString(self, uuid: str) -> libvirt.virDomain:
        return DomainThatStays(self._real.lookupByUUIDString(uuid))


class DomainThatStays(RealOne):
    def undefineFlags(self, _flags: int) -> int:
        return self._real.undefineFlags(1 << 30)


class RefusesToDefine(RealOne):
    """A connection whose hypervisor finds every domain XML wrong, or that of a VM with a certain description."""

    def __init__(self, real: Any, only: str | None = None):
        super().__init__(real)
        self._description = f"<description>{only}<" if only else ""

    def defineXML(self, xml: str) -> libvirt.virDomain:
        if self._description not in xml:
            return self._real.defineXML(xml)
        return self._real.defineXML(xml.replace("<memory ", "<memory-of-an-elephant "))


@contextmanager
def libvirt_mock(tmp_path: Path) -> Iterator[LibvirtPeer]:
    """``test:///file``: every connection has a host of its own, which ends with it."""
    node = tmp_path / "node.xml"
    node.write_text(NODE)
    yield LibvirtPeer(url=f"test://{node}", pool="default", network="default", domain_type="test")


@contextmanager
def libvirt_qemu(_tmp_path: Path) -> Iterator[LibvirtPeer]:
    """``qemu:///system`` with a pool and a network of its own."""
    connection = _system()
    with _one_at_a_time():
        _sweep(connection)
        try:
            yield LibvirtPeer(
                url="qemu:///system", pool=_make_pool(connection), network=_make_network(connection), domain_type="qemu"
            )
        finally:
            _sweep(connection)
    connection.close()


def _system() -> libvirt.virConnect:
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt.open("qemu:///system")


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """The suite's VMs have fixed names, so two runs of it on one host take turns."""
    with (POOLS / ".millwright-contract.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _make_pool(connection: libvirt.virConnect) -> str:
    # QEMU runs as another user, who must be able to get into the directory.
    directory = Path(tempfile.mkdtemp(prefix=OURS, dir=POOLS))
    directory.chmod(0o755)
    template = directory / "template.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", str(template), "8M"], check=True)
    connection.storagePoolCreateXML(
        f"<pool type='dir'><name>{directory.name}</name><target><path>{directory}</path></target></pool>"
    )
    return directory.name


def _make_network(connection: libvirt.virConnect) -> str:
    name = f"{BRIDGE}{secrets.token_hex(4)}"
    connection.networkCreateXML(f"<network><name>{name}</name><bridge name='{name}'/></network>")
    return name


def _sweep(connection: libvirt.virConnect) -> None:
    """Remove all that this peer ever makes, of runs that were killed as well: nobody else has a turn now."""
    for domain in connection.listAllDomains(0):
        if _is_ours(domain):
            _remove(domain)
    stale = [network for network in connection.listAllNetworks(0) if network.name().startswith(BRIDGE)]
    stale += [pool for pool in connection.listAllStoragePools(0) if pool.name().startswith(OURS)]
    for made in stale:
        made.destroy()
    for directory in POOLS.glob(f"{OURS}*"):
        shutil.rmtree(directory)


def _is_ours(domain: libvirt.virDomain) -> bool:
    try:
        return OURS in domain.XMLDesc(0)
    except libvirt.libvirtError:
        # Somebody else's, which was removed meanwhile: ours only go here.
        return False


def _remove(domain: libvirt.virDomain) -> None:
    if domain.isActive():
        domain.destroy()
    domain.undefineFlags(REMAINS)


@contextmanager
def driver_of(peer: LibvirtPeer) -> Iterator[LibvirtDriver]:
    """An open driver that knows its peer."""
    driver = LibvirtDriver.open(peer.connection)
    driver.peer = peer
    yield driver
    driver.close()
