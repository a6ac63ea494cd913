# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo has on this machine: its directory, its libvirt storage pool, and what it asks the API for."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from tools.guest.pool import GuestPool
from tools.services import Services, free_port
from tools.stack import ROOT, Stack

DIRECTORY = ROOT / ".run" / "demo"

#: Two checkouts on one machine do not share a pool.
POOL = GuestPool(f"millwright-demo-{hashlib.sha256(str(ROOT).encode()).hexdigest()[:6]}")

DATACENTER = "demo"
HYPERVISOR = "this-machine"
TEMPLATE = "millwright-guest"
VDC = "demo"
VAPP = "shop"

#: The appliance: three VMs that say on their serial lines that they are up.
VMS = {"web": "Answers the customers.", "app": "Knows what there is.", "db": "Remembers who bought it."}
MEMORY_MIB = 128


def definition(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "description": VMS[name],
        "memory_mib": MEMORY_MIB,
        "disks": [{"name": "root", "pool": POOL.name}],
        "console": {"serial_log": True},
    }


def stack(services: Services) -> Stack:
    """The demo's API, relay and runner; the API's address stays the same over restarts."""
    path = DIRECTORY / "bind.json"
    known = Stack(DIRECTORY, services, json.loads(path.read_text())) if path.exists() else None
    if known and known.api.pid():
        return known
    bind = f"127.0.0.1:{free_port(preferred=8470)}"
    path.write_text(json.dumps(bind))
    return Stack(DIRECTORY, services, bind)
