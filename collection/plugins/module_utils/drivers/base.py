# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract between Millwright and a hypervisor: what every driver does, in the words of the VM definition."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from ..vm.changes import Change
from ..vm.definition import VmDefinition, identity_of
from ..vm.schema import plain
from ..vm.states import PowerAction, PowerState


class Capability(StrEnum):
    """What a driver can do beyond what every driver can."""

    #: ``open`` accepts a kept session, and ``session`` gives one to keep.
    SESSIONS = "sessions"
    CLOUD_INIT = "cloud_init"
    UEFI = "uefi"
    #: Guests have a screen over VNC.
    VNC = "vnc"
    SERIAL_LOG = "serial_log"
    #: The guest can be asked to shut down.
    SHUTDOWN = "shutdown"
    #: The driver is a SnapshotDriver (snapshots.py).
    SNAPSHOTS = "snapshots"
    #: The driver is a HotDriver (hot.py), and knows limits up to which a VM grows while it runs.
    HOT_CHANGES = "hot_changes"
    AUTOSTART = "autostart"
    #: The driver is a CaptureDriver (capture.py).
    CAPTURE = "capture"
    #: The disc in the drive can be taken out, and none put in.
    EJECT = "eject"


@dataclass(frozen=True, kw_only=True)
class Connection:
    """How to reach one hypervisor. ``password`` never appears in repr, results or messages."""

    hypervisor_type: str
    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    validate_certs: bool = True
    ca_path: str | None = None
    #: Seconds to wait for the hypervisor's first answer.
    connect_timeout: int = 10
    #: What ``session`` of an earlier connection gave, or None to log in.
    session: str | None = field(default=None, repr=False)

    @property
    def secrets(self) -> set[str]:
        """What no text may show."""
        return {secret for secret in (self.password, self.session) if secret}


@dataclass(frozen=True, kw_only=True)
class VmRef:
    """Names one VM. The uuid decides where there is one; the name alone stands for ``identity_of(name)``."""

    name: str
    uuid: str | None = None

    @property
    def identity(self) -> str:
        return self.uuid or identity_of(self.name)

    @classmethod
    def of(cls, definition: VmDefinition) -> VmRef:
        return cls(name=definition.name, uuid=definition.uuid)

    def __str__(self) -> str:
        return f"VM {self.name!r} ({self.uuid})" if self.uuid else f"VM {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class ObservedVm:
    """A VM as the hypervisor has it now."""

    name: str
    uuid: str
    power: PowerState
    #: Made by Millwright. Others are shown and can be powered, but are never changed or deleted.
    managed: bool
    #: What it is, in the words of the definition. Fields that the hypervisor cannot tell hold what was asked for.
    #: None for a VM that cannot be told in those words.
    definition: VmDefinition | None = None
    addresses: tuple[str, ...] = ()
    #: Where the VM's serial output is kept at the hypervisor, if it is.
    serial_log: str | None = None
    #: What its disks take at the hypervisor now, in MiB, by their names; those that the hypervisor can tell of.
    disk_use: Mapping[str, int] = field(default_factory=dict)
    #: It was being deleted, and that broke off when some of its disks had gone. Whoever wants it has it made anew.
    half_deleted: bool = False
    #: In what the guest that runs differs from ``definition``, which is what its next start has: ``before`` is of the
    #: definition. Of one VM alone, from drivers that can tell.
    live: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain data for results; secrets of the definition are left out."""
        shown = plain(self.definition) if self.definition else None
        if shown and shown["cloud_init"]:
            shown["cloud_init"]["user_data"] = None
        return {
            "name": self.name, "uuid": self.uuid, "power": self.power.value, "managed": self.managed,
            "addresses": list(self.addresses), "serial_log": self.serial_log, "definition": shown,
            "disk_use": dict(self.disk_use), "live_differences": [
                {"path": one.path, "defined": one.before, "running": one.after} for one in self.live
            ],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class KeptDisk:
    """A disk of a VM that stays when the VM is removed."""

    #: Where it is, as the hypervisor says it: a file, a block device, what is elsewhere by its address.
    path: str
    #: In words for people.
    why: str


#: Why a disk stays if nobody asked that it goes.
NOT_OURS = "Millwright did not make it"


@dataclass(frozen=True, kw_only=True)
class HostFacts:
    """What a hypervisor says about itself. Memory and space in MiB."""

    name: str
    hypervisor_type: str
    version: str
    cores: int
    memory_mib: int
    free_memory_mib: int
    #: Storage pools or datastores: name -> {"capacity_mib", "free_mib"}.
    pools: Mapping[str, Mapping[str, int]]
    networks: tuple[str, ...]
    #: How guests run, where it matters: "kvm" or "qemu" (emulation) for libvirt.
    acceleration: str = ""


class VmDriver(Protocol):
    """One open connection to one hypervisor. Made by ``registry.open_driver``; used by one thread at a time.

    Every method is idempotent, because a task may be delivered twice, and raises DriverError (errors.py) and nothing
    else; no type or error of an SDK leaves a driver. A VM that Millwright did not make (``managed`` is false) can be
    found and powered, but never updated or deleted: those methods raise Conflict. What a method refuses before it
    changes anything it refuses with ``begun`` false (``errors.deciding``). Methods return when the hypervisor says that
    it is so, not when it was asked.
    """

    hypervisor_type: ClassVar[str]
    capabilities: ClassVar[frozenset[Capability]]
    #: Kinds of Change (``Change.kind``) that ``update`` can make on a VM that is off. Others are refused beforehand.
    changeable: ClassVar[frozenset[str]]

    def find(self, ref: VmRef) -> ObservedVm | None:
        """The VM as it is now, or None. By uuid if ``ref`` has one, else by name."""

    def residue(self, ref: VmRef) -> tuple[str, ...]:
        """What an operation that was killed left at the hypervisor for this VM: names of disks and files that
        ``delete`` would remove. Beside a VM that is there, under whatever name, only what is surely nothing of it; for
        the name that it had before it was renamed, nothing."""

    def remove_residue(self, ref: VmRef) -> None:
        """Beside a VM that is there, remove what ``residue`` names; of one that is not, ``create`` and ``delete`` do
        so. Nothing of the VM itself is touched."""

    def list_vms(self) -> tuple[ObservedVm, ...]:
        """All VMs, managed or not, by name."""

    def host(self) -> HostFacts:
        """What the hypervisor is and has free."""

    def check(self, want: VmDefinition, updating: VmRef | None = None) -> None:
        """Raise what ``create(want)`` would refuse, or ``update(updating, want, ...)`` if it is given and the VM were
        off; change nothing.

        That is what the hypervisor lacks (a template, pool, network, space or feature), a limit that the definition is
        beyond, a name that is taken. So check mode refuses what the real run would refuse."""

    def create(self, want: VmDefinition) -> None:
        """Make the VM, powered off, with its disks. Residue of a killed create is replaced.

        Afterwards ``find`` gives a managed VM whose definition equals ``want`` (``changes(found, want)`` is empty). On
        failure nothing is left, or the error's ``left`` names it. Raises Conflict if another VM has the name or
        identity."""

    def update(self, ref: VmRef, want: VmDefinition, changes: tuple[Change, ...]) -> None:
        """Make the changes to a VM that is off; all of them or, on failure, none. Nothing happens if it is as wanted
        already. Raises InvalidTransition if it is not off, VmNotFound if it is not there, and Conflict if somebody else
        changed it since it was compared: then ``changes`` are not what it takes."""

    def delete(self, ref: VmRef, *, foreign_disks: bool = False) -> None:
        """Remove the VM, the disks and files that Millwright made for it, and residue. A missing VM is a deleted VM; a
        running one is powered off first. The name that a VM had before it was renamed is that of a missing VM.

        Disks of others stay. With ``foreign_disks`` they go, too, but for those that somebody else may need: what
        another VM has, what something stands on, templates, and what the VM may only read. Discs always stay. Raises
        Conflict, before anything is removed, if a disk of another VM stands on one that would go.

        The VM itself goes last: after a failure it is there to be deleted again, and the error's ``left`` names the
        files that are. Files that cannot be reached now are a refusal, before anything is removed."""

    def check_delete(self, ref: VmRef, *, foreign_disks: bool = False) -> tuple[KeptDisk, ...]:
        """Raise what ``delete`` with the same arguments would refuse; change nothing. Gives the disks of the VM that
        stay, by path."""

    def power(self, ref: VmRef, action: PowerAction, timeout: int) -> None:
        """Carry the action out and wait, at most ``timeout`` seconds, until the VM is in POWER_GOAL[action]. Nothing
        happens if it already is, but for RESET. Raises InvalidTransition outside POWER_FROM[action], VmNotFound, and
        TimedOut (with SHUTDOWN the guest may be ignoring the request; it is not powered off hard)."""

    def session(self) -> str | None:
        """What a later connection can give as ``Connection.session`` instead of logging in; None if the driver has no
        SESSIONS. A secret."""

    def logout(self) -> None:
        """End the kept session at the hypervisor; it cannot be used any more. Without SESSIONS: nothing."""

    def close(self) -> None:
        """Drop the connection; a kept session stays. Closing twice is harmless. Never raises."""
