# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Datacenters."""

from __future__ import annotations

from typing import Any

from ..database import transaction
from ..models import Datacenter
from . import rows
from .paging import Page, listing
from .sealing import check_public_key


@transaction
def create(*, name: str, public_key: str | None = None) -> Datacenter:
    check_public_key(public_key)
    datacenter = Datacenter(name=name, public_key=public_key)
    rows.add(datacenter)
    return datacenter


def get(datacenter_id: str) -> Datacenter:
    return rows.find(Datacenter, datacenter_id)


def list_datacenters(**arguments: Any) -> Page[Datacenter]:
    return listing(Datacenter, **arguments)
