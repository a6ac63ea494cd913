# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM of ours remembers of how it was asked for: JSON in its extra configuration."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any

from ...vm.definition import VmDefinition
from ...vm.schema import InvalidData, parse
from .sdk import vim


@dataclass(frozen=True, kw_only=True)
class KeptDisk:
    #: Where it sits, like ``scsi0:0``.
    slot: str
    #: The datastore's id.
    datastore: str
    #: Of its file, in small letters; None for a disk that was not there yet when this was written.
    uuid: str | None = None


@dataclass(frozen=True, kw_only=True)
class Kept:
    """The definition, and what its words meant when the VM was made."""

    definition: VmDefinition
    disks: dict[str, KeptDisk] = field(default_factory=dict)
    #: Name of a card -> what tells its network.
    nics: dict[str, str] = field(default_factory=dict)
    #: Name of a card -> the address that it was last seen with, in small letters. A new card has none yet.
    macs: dict[str, str] = field(default_factory=dict)
    #: Path of the image in the drive.
    cdrom: str | None = None

    def written(self, identity: str) -> str:
        told = {**self.definition.to_keep(), "uuid": identity}
        disks = {name: asdict(disk) for name, disk in self.disks.items()}
        return json.dumps(
            {"definition": told, "disks": disks, "nics": self.nics, "macs": self.macs, "cdrom": self.cdrom}
        )


def read(text: str) -> Kept | None:
    """None for what is not readable; a newer version may say more, and an older one said nothing of addresses."""
    try:
        raw = json.loads(text)
        definition = parse(VmDefinition, raw["definition"], tolerant=True)
        disks = {
            name: KeptDisk(slot=disk["slot"], datastore=disk["datastore"], uuid=disk.get("uuid"))
            for name, disk in raw["disks"].items()
        }
        nics, macs = dict(raw["nics"]), dict(raw.get("macs", {}))
        return Kept(definition=definition, disks=disks, nics=nics, macs=macs, cdrom=raw["cdrom"])
    except (ValueError, KeyError, TypeError, AttributeError, InvalidData):
        return None


def options(said: dict[str, str]) -> list[Any]:
    """Extra configuration for a specification; an empty value takes an option away."""
    return [vim.option.OptionValue(key=key, value=value) for key, value in said.items()]


def said_of(told: Iterable[Any]) -> dict[str, str]:
    """Extra configuration as it was read, without what is empty. Of an option told twice the last one holds."""
    said = {one.key: one.value for one in told}
    return {key: value for key, value in said.items() if isinstance(value, str) and value}
