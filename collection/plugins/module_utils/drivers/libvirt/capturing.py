# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the libvirt driver that makes templates, in the words of its contract (drivers/capture.py)."""

from __future__ import annotations

import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...vm.definition import Disk
from ...vm.snapshots import named
from ...vm.states import PowerState
from ...vm.templates import Template, WantedTemplate
from ..base import VmRef
from ..errors import Conflict, DriverError, InsufficientResources, InvalidTransition, NotFound, Unsupported
from . import power, snapshots
from .connection import is_local
from .faults import unless
from .looking import INACTIVE, Looking
from .observation import Domain, disk_nodes, source_path
from .sdk import libvirt
from .storage import MIB, directory_of
from .volume_xml import volume_xml

#: Seconds for a copy out of a snapshot.
COPY_PATIENCE = 3600


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A copy, and all that storage needs to make it."""

    source: libvirt.virStorageVol
    pool: libvirt.virStoragePool


class Capturing(Looking):
    """A template is a volume of its own: what it was made of may be an overlay, and the copy is not."""

    def template(self, ref: VmRef, want: WantedTemplate) -> Template | None:
        with self._looking(f"looking for template {want.volume!r}"):
            pool = self._pool_for(self._disk(self._present(ref), want)[0], want)
            volume = unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: pool.storageVolLookupByName(want.volume))
            if volume is None:
                return None
            usage = self._storage.usage_of(volume)
            size_mib = usage.capacity // MIB if usage else 0
            return Template(name=want.volume, pool=pool.name(), size_mib=size_mib, format=want.format)

    def check_capture(self, ref: VmRef, want: WantedTemplate) -> None:
        with self._looking(f"checking template {want.volume!r} of {ref}"):
            self._capturable(ref, want)

    def capture(self, ref: VmRef, want: WantedTemplate) -> None:
        tried = f"making template {want.volume!r} of {ref}"
        with self._looking(tried):
            planned = self._capturable(ref, want)
        with self._asking(tried):
            if want.snapshot is None:
                self._copy(planned, want)
            else:
                self._copy_out_of_snapshot(planned, want)

    def _capturable(self, ref: VmRef, want: WantedTemplate) -> Capture:
        domain = self._present(ref)
        disk, path = self._disk(domain, want)
        now = power.power_of(domain)
        if now is not PowerState.OFF:
            raise InvalidTransition(f"VM {domain.name()!r} is {now.value}; a template is made of it when it is off")
        self._refuse_snapshot(domain, want)
        source = self._storage.by_path(path)
        if source is None:
            raise NotFound(f"{path} is in no active storage pool, so it cannot be copied")
        pool = self._pool_for(disk, want)
        if unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: pool.storageVolLookupByName(want.volume)) is not None:
            raise Conflict(f"storage pool {pool.name()!r} has a volume {want.volume!r} already")
        free, needed = pool.info()[3], source.info()[2]
        if needed > free:
            raise InsufficientResources(
                f"template {want.volume!r} needs {needed // MIB} MiB; {free // MIB} MiB are free in {pool.name()!r}"
            )
        return Capture(source=source, pool=pool)

    def _refuse_snapshot(self, domain: libvirt.virDomain, want: WantedTemplate) -> None:
        if want.snapshot is None:
            return
        if not is_local(self._url):
            raise Unsupported("libvirt copies no disk out of a snapshot; on the hypervisor's own host it can be done")
        there = snapshots.of(domain)
        if named(there, want.snapshot) is None:
            names = ", ".join(snapshot.name for snapshot in there) or "none"
            raise NotFound(f"VM {domain.name()!r} has no snapshot {want.snapshot!r}; it has: {names}")

    def _disk(self, domain: libvirt.virDomain, want: WantedTemplate) -> tuple[Disk, str]:
        """The disk and where its content is."""
        told = Domain(domain.XMLDesc(INACTIVE))
        definition = self._definition_of(domain, told)
        if definition is None:
            raise Conflict(f"what VM {domain.name()!r} is cannot be told, so neither can its disks")
        disks = {disk.name: disk for disk in definition.disks}
        name = want.disk or next(iter(disks), "")
        if name not in disks:
            raise NotFound(f"VM {domain.name()!r} has no disk {name!r}; it has: {', '.join(disks) or 'none'}")
        return disks[name], source_path(disk_nodes(told, definition)[name]) or ""

    def _pool_for(self, disk: Disk, want: WantedTemplate) -> libvirt.virStoragePool:
        return self._storage.pool(want.pool or disk.pool)

    def _copy(self, planned: Capture, want: WantedTemplate) -> None:
        """libvirt reads through an overlay what is below it, and writes one file."""
        xml = volume_xml(want.volume, want.format.value, planned.source.info()[1])
        try:
            planned.pool.createXMLFrom(xml, planned.source, 0)
        except libvirt.libvirtError:
            with suppress(libvirt.libvirtError):
                self._storage.remove(planned.pool.storageVolLookupByName(want.volume))
            raise

    def _copy_out_of_snapshot(self, planned: Capture, want: WantedTemplate) -> None:
        """Under a name that is nobody's, until it is whole."""
        place = Path(str(directory_of(planned.pool)))
        unfinished = place / f".{want.volume}.unfinished"
        command = [
            "qemu-img", "convert", "-f", "qcow2", "-l", f"snapshot.name={want.snapshot}", "-O", want.format.value,
            planned.source.path(), str(unfinished),
        ]  # fmt: skip
        try:
            subprocess.run(  # noqa: S603  # no shell, and names by the rules of WantedTemplate
                command, check=True, capture_output=True, text=True, timeout=COPY_PATIENCE
            )
            unfinished.rename(place / want.volume)
        except subprocess.CalledProcessError as error:
            raise DriverError(f"making template {want.volume!r} failed", detail=error.stderr.strip()) from error
        except (OSError, subprocess.TimeoutExpired) as error:
            raise DriverError(f"making template {want.volume!r} failed", detail=str(error)) from error
        finally:
            unfinished.unlink(missing_ok=True)
        self._storage.refresh(planned.pool)
