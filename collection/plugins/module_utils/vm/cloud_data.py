# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init is told of a VM whose definition does not say it."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from .definition import CloudInit, VmDefinition
from .fingerprint import fingerprint, is_fingerprint_of


def default_meta_data(want: VmDefinition) -> str:
    """The identity as instance id, so that cloud-init runs once in the life of the VM, and a host name."""
    return f"instance-id: {want.identity}\nlocal-hostname: {json.dumps(host_name(want.name))}\n"


def host_name(name: str) -> str:
    """The VM's name as DNS allows it; "vm" where nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "vm"


def kept_data(kept: CloudInit | None, said: CloudInit | None) -> CloudInit | None:
    """What a driver keeps of a VM that had ``kept`` and is given ``said``: secrets that are said anew are fingerprints,
    and what nothing is said of stays."""
    if said is None:
        return kept
    before = kept or CloudInit()
    return replace(data_after(before, said), user_data=_kept_secret(before.user_data, said.user_data))


def data_after(before: CloudInit, said: CloudInit) -> CloudInit:
    """What nothing is said of stays."""
    return CloudInit(
        user_data=before.user_data if said.user_data is None else said.user_data,
        meta_data=before.meta_data if said.meta_data is None else said.meta_data,
        network_config=before.network_config if said.network_config is None else said.network_config,
    )


def _kept_secret(kept: str | None, said: str | None) -> str | None:
    if said is None or said == kept or is_fingerprint_of(kept, said):
        return kept
    return fingerprint(said)
