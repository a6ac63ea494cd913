# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What cloud-init is told of a VM whose definition does not say it."""

from __future__ import annotations

import json
import re

from .definition import VmDefinition


def default_meta_data(want: VmDefinition) -> str:
    """The identity as instance id, so that cloud-init runs once in the life of the VM, and a host name."""
    return f"instance-id: {want.identity}\nlocal-hostname: {json.dumps(host_name(want.name))}\n"


def host_name(name: str) -> str:
    """The VM's name as DNS allows it; "vm" where nothing is left of it."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:63].strip("-") or "vm"
