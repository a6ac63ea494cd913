# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The part of the libvirt driver that makes templates, in the words of its contract (drivers/capture.py)."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from ...vm.definition import Disk
from ...vm.snapshots import named
from ...vm.states import PowerState
from ...vm.templates import Template, WantedTemplate
from ..base import VmRef
from ..errors import Conflict, DriverError, InsufficientResources, InvalidTransition, NotFound, Unsupported
from . import captures, names, power, snapshots
from .captures import Captured
from .connection import is_local
from .copying import telling
from .devices import Domain, disk_nodes, source_path
from .faults import translated, unless
from .images import image_of_file
from .looking import INACTIVE, Looking
from .pools import directory_of
from .sdk import libvirt
from .storage import MIB
from .volume_xml import volume_xml

#: Seconds for a copy out of a snapshot.
COPY_PATIENCE = 3600


@dataclass(frozen=True, kw_only=True)
class Capture:
    """A copy, and all that storage needs to make it."""

    domain: libvirt.virDomain
    source: libvirt.virStorageVol
    pool: libvirt.virStoragePool
    #: What the domain tells of it when it is done.
    told: Captured
    #: The pool's directory, if files in it can be given other names; libvirt itself cannot do that.
    place: Path | None

    @property
    def unfinished(self) -> str:
        return names.unfinished_template(self.domain.UUIDString(), self.told.volume)


class Capturing(Looking):
    """A template is a volume of its own: what it was made of may be an overlay, and the copy is not.

    On the hypervisor's own host it is made under the name of a file of its VM, and has its own name when it is whole.
    Elsewhere it has its own name from the beginning, and the VM says meanwhile that it is not whole. In both cases it
    is a template once the VM says when it was written (captures.py): by this a try that comes again knows the work of
    the one before.
    """

    def template(self, ref: VmRef, want: WantedTemplate) -> Template | None:
        with self._looking(f"looking for template {want.volume!r}"):
            domain = self._present(ref)
            disk, _path = self._disk(domain, want)
            pool = self._pool_for(disk, want)
            told = captures.of(domain, pool.name(), want.volume)
            if told is None or not told.is_wanted(want, disk.name):
                return None
            made, capacity = self._found(pool, want)
            if told.made is None or told.made != made:
                return None
            return Template(name=want.volume, pool=pool.name(), size_mib=capacity // MIB, format=want.format)

    def _found(self, pool: libvirt.virStoragePool, want: WantedTemplate) -> tuple[str | None, int]:
        """When what has the name was written, and its capacity. libvirt does not read a pool while it makes other
        volumes there, so it may not know a file that is there."""
        volume, place = _volume(pool, want.volume), self._place(pool)
        if volume is not None:
            usage = self._storage.usage_of(volume)
            return captures.written(volume), usage.capacity if usage else 0
        if place and (place / want.volume).is_file():
            return captures.written_file(place / want.volume), image_of_file(place / want.volume).capacity or 0
        return None, 0

    def check_capture(self, ref: VmRef, want: WantedTemplate) -> None:
        with self._looking(f"checking template {want.volume!r} of {ref}"):
            self._capturable(ref, want)

    def capture(self, ref: VmRef, want: WantedTemplate) -> None:
        tried = f"making template {want.volume!r} of {ref}"
        with self._looking(tried):
            planned = self._capturable(ref, want)
        with self._asking(tried):
            self._remove_half_made(planned)
            if planned.place is None:
                self._make_in_place(planned, want)
            else:
                self._make_aside(planned, planned.place, want)

    def _capturable(self, ref: VmRef, want: WantedTemplate) -> Capture:
        domain = self._present(ref)
        disk, path = self._disk(domain, want)
        now = power.settled(domain)
        if now is not PowerState.OFF:
            raise InvalidTransition(f"VM {domain.name()!r} is {now.value}; a template is made of it when it is off")
        source = self._storage.by_path(path)
        if source is None:
            raise NotFound(f"{path} is in no active storage pool, so it cannot be copied")
        pool = self._pool_for(disk, want)
        place = self._place(pool)
        _refuse_taken(domain, pool, place, want)
        free, needed = pool.info()[3], source.info()[2]
        if needed > free:
            raise InsufficientResources(
                f"template {want.volume!r} needs {needed // MIB} MiB; {free // MIB} MiB are free in {pool.name()!r}"
            )
        told = Captured(
            pool=pool.name(), volume=want.volume, disk=disk.name, snapshot=want.snapshot or "",
            made_for=want.made_for or "",
        )  # fmt: skip
        planned = Capture(domain=domain, source=source, pool=pool, told=told, place=place)
        _refuse_snapshot(planned, want)
        return planned

    def _place(self, pool: libvirt.virStoragePool) -> Path | None:
        place = Path(str(directory_of(pool)))
        return place if is_local(self._url) and place.is_dir() and os.access(place, os.W_OK) else None

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

    # --- making it ---

    def _remove_half_made(self, planned: Capture) -> None:
        """What a killed try has left; ``_refuse_taken`` has seen that it is nothing else."""
        for name in (planned.unfinished, planned.told.volume):
            self._remove_from_pool(planned, name)
        if planned.place:
            # A libvirt that has not read the pool since does not know the file.
            (planned.place / planned.unfinished).unlink(missing_ok=True)

    def _remove_from_pool(self, planned: Capture, name: str) -> None:
        volume = _volume(planned.pool, name)
        if volume is not None:
            self._storage.remove(volume)

    def _make_in_place(self, planned: Capture, want: WantedTemplate) -> None:
        captures.note(planned.domain, planned.told)
        try:
            with telling(lambda: _allocated(planned.pool, want.volume), planned.source.info()[2]):
                volume = _copy(planned, want, want.volume)
        except libvirt.libvirtError as error:
            with suppress(libvirt.libvirtError):
                if not isinstance(translated("", error), Conflict):
                    self._remove_half_made(planned)
                captures.forget(planned.domain, planned.told)
            raise
        captures.note(planned.domain, replace(planned.told, made=captures.written(volume)))

    def _make_aside(self, planned: Capture, place: Path, want: WantedTemplate) -> None:
        aside = place / planned.unfinished
        try:
            with telling(lambda: _taken_by(aside), planned.source.info()[2]):
                if want.snapshot is None:
                    _copy(planned, want, aside.name)
                else:
                    _copy_out_of_snapshot(planned, want, aside)
            # First, and then the name: a template that is there has been told of.
            captures.note(planned.domain, replace(planned.told, made=captures.written_file(aside)))
            # Unlike a rename, it replaces nothing that has come meanwhile.
            os.link(aside, place / want.volume)
        except FileExistsError:
            raise _taken(planned.pool, want) from None
        except OSError as error:
            raise DriverError(f"making template {want.volume!r} failed", detail=str(error)) from error
        finally:
            with suppress(libvirt.libvirtError):
                self._remove_from_pool(planned, planned.unfinished)
                planned.pool.refresh(0)
            # Also if libvirt is gone.
            aside.unlink(missing_ok=True)


def _volume(pool: libvirt.virStoragePool, name: str) -> libvirt.virStorageVol | None:
    return unless(libvirt.VIR_ERR_NO_STORAGE_VOL, lambda: pool.storageVolLookupByName(name))


def _allocated(pool: libvirt.virStoragePool, name: str) -> int:
    volume = _volume(pool, name)
    return volume.info()[2] if volume else 0


def _taken_by(file: Path) -> int:
    """Bytes; a file that is not filled to its size takes less."""
    return file.stat().st_blocks * 512


def _taken(pool: libvirt.virStoragePool, want: WantedTemplate) -> Conflict:
    return Conflict(
        f"storage pool {pool.name()!r} has a volume {want.volume!r} already, which was not made by this; choose "
        "another name, or remove it"
    )


def _refuse_taken(
    domain: libvirt.virDomain, pool: libvirt.virStoragePool, place: Path | None, want: WantedTemplate
) -> None:
    """What a killed try of this VM's has left half made is no reason."""
    if _volume(pool, want.volume) is None and not (place and (place / want.volume).exists()):
        return
    told = captures.of(domain, pool.name(), want.volume)
    if told is None or told.made is not None:
        raise _taken(pool, want)


def _refuse_snapshot(planned: Capture, want: WantedTemplate) -> None:
    if want.snapshot is None:
        return
    if planned.place is None:
        raise Unsupported(
            "libvirt copies no disk out of a snapshot; on the hypervisor's own host it can be done, by whoever may "
            f"write into the directory of pool {planned.pool.name()!r}"
        )
    there = snapshots.of(planned.domain)
    if named(there, want.snapshot) is None:
        known = ", ".join(snapshot.name for snapshot in there) or "none"
        raise NotFound(f"VM {planned.domain.name()!r} has no snapshot {want.snapshot!r}; it has: {known}")


def _copy(planned: Capture, want: WantedTemplate, name: str) -> libvirt.virStorageVol:
    """libvirt reads through an overlay what is below it, and writes one file."""
    return planned.pool.createXMLFrom(volume_xml(name, want.format.value, planned.source.info()[1]), planned.source, 0)


def _copy_out_of_snapshot(planned: Capture, want: WantedTemplate, into: Path) -> None:
    command = [
        "qemu-img", "convert", "-f", "qcow2", "-l", f"snapshot.name={want.snapshot}", "-O", want.format.value,
        planned.source.path(), str(into),
    ]  # fmt: skip
    try:
        subprocess.run(  # noqa: S603  # no shell, and names by the rules of WantedTemplate
            command, check=True, capture_output=True, text=True, timeout=COPY_PATIENCE
        )
    except subprocess.CalledProcessError as error:
        raise DriverError(f"making template {want.volume!r} failed", detail=error.stderr.strip()) from error
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DriverError(f"making template {want.volume!r} failed", detail=str(error)) from error
