# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors to measure at: libvirt's mock of one, which costs nothing, and QEMU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import libvirt

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.domain_xml import Media, domain_xml
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.host import features_of
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from tools import libvirtd
from tools.bench_all.place import PREFIX, SESSIONS
from tools.processes import Background
from tools.waiting import wait_until

READY_TIMEOUT = 30
#: A session daemon of its own, which shares nothing with the machine's: no socket, no state, no guests.
CONFIG = """unix_sock_dir = "{place}"
auth_unix_ro = "none"
auth_unix_rw = "none"
pid_file = "{place}/libvirtd.lock"
"""


class NotDone(Exception):
    """A contestant did not do the work that all have to do; the message says what is missing."""


class LibvirtHost:
    """A libvirt that stays open, as the mock forgets everything when the last connection goes."""

    type = "libvirt"

    def __init__(self, url: str, memory_mib: int):
        self.url, self._memory_mib = url, memory_mib
        self._connection = opened(url)
        self._features = features_of(self._connection)

    def definition(self, name: str) -> dict[str, Any]:
        """What every contestant makes. No disks: copying them would hide what is measured."""
        return {"name": name, "memory_mib": self._memory_mib}

    def xml(self, name: str) -> str:
        """The domain that Millwright's driver would define, for those who do not know definitions."""
        return domain_xml(VmDefinition.from_dict(self.definition(name)), Media(disks={}), self._features)

    def require(self, vms: int) -> None:
        """Raises NotDone unless so many VMs of ours are there, and all of them run."""
        running = [domain.isActive() for domain in self._domains()]
        if running != [1] * vms:
            raise NotDone(f"{sum(running)} VMs run and {len(running)} are there, where {vms} should run")

    def clear(self) -> None:
        with ThreadPoolExecutor(SESSIONS) as threads:
            list(threads.map(_remove, self._domains()))

    def close(self) -> None:
        self.clear()
        self._connection.close()

    def _domains(self) -> list[libvirt.virDomain]:
        return [domain for domain in self._connection.listAllDomains() if domain.name().startswith(PREFIX)]


def _remove(domain: libvirt.virDomain) -> None:
    if domain.isActive():
        domain.destroy()
    domain.undefine()


def opened(url: str) -> libvirt.virConnect:
    """Errors are raised; what libvirt would print beside that is for nobody."""
    libvirt.registerErrorHandler(lambda _context, _error: None, None)
    return libvirt.open(url)


def raw_loop(host: LibvirtHost, names: Sequence[str]) -> None:
    """The least that anybody could do: define and start, with a thread and a connection for each session."""
    wanted = [[host.xml(name) for name in names[first::SESSIONS]] for first in range(SESSIONS)]
    with ThreadPoolExecutor(SESSIONS) as threads:
        list(threads.map(_define_and_start, [host.url] * SESSIONS, wanted))


def _define_and_start(url: str, wanted: Sequence[str]) -> None:
    connection = opened(url)
    for xml in wanted:
        connection.defineXML(xml).create()
    connection.close()


@contextmanager
def zero_cost(place: Path) -> Iterator[LibvirtHost]:
    """libvirtd's shared test driver, in a private daemon that is gone afterwards."""
    daemon, url = _start_daemon(place), f"test+unix:///default?socket={place}/libvirt-sock"
    try:
        wait_until(lambda: _answers(url), READY_TIMEOUT, f"an answer of the private libvirtd, see {daemon.log}")
        with closing(LibvirtHost(url, 16)) as host:
            yield host
    finally:
        daemon.stop(timeout=10)
    if _answers(url):
        raise NotDone(f"a libvirtd that is not ours answers at {url}")


def _start_daemon(place: Path) -> Background:
    place.mkdir(mode=0o700, parents=True, exist_ok=True)
    config, daemon = place / "libvirtd.conf", Background(place, "libvirtd")
    config.write_text(CONFIG.format(place=place))
    own = {name: str(place / name.lower()) for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")}
    # Of root it would be the machine's own; in a user namespace it is nobody's, and keeps to the directories above.
    become = ["unshare", "--user"] if os.getuid() == 0 else []
    daemon.start([*become, "/usr/sbin/libvirtd", "--config", str(config)], {**os.environ, **own})
    return daemon


def _answers(url: str) -> bool:
    try:
        opened(url).close()
    except libvirt.libvirtError:
        return False
    return True


@contextmanager
def qemu(place: Path) -> Iterator[LibvirtHost]:
    """This machine's QEMU. A guest without disks finds nothing to boot and sleeps: it costs what starting costs."""
    libvirtd.ensure(place)
    try:
        with closing(LibvirtHost(libvirtd.URI, 32)) as host:
            host.clear()
            yield host
    finally:
        libvirtd.stop(place)
