# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates."""

from __future__ import annotations

from typing import Any

from ..database import transaction
from ..models import Datacenter, Template
from . import rows
from .paging import Page, listing


@transaction
def create(*, datacenter_id: str, **columns: Any) -> Template:
    template = Template(datacenter_id=rows.lock(Datacenter, datacenter_id).id, **columns)
    rows.add(template)
    return template


@transaction
def delete(template_id: str) -> None:
    rows.remove(rows.lock(Template, template_id))


def get(template_id: str) -> Template:
    return rows.find(Template, template_id)


def list_templates(**arguments: Any) -> Page[Template]:
    return listing(Template, **arguments)
