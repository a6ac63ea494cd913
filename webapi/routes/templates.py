# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Templates."""

from __future__ import annotations

from typing import Any

from ..models import Template
from ..schemas.base import page_of
from ..schemas.templates import TemplateInput, TemplateList, TemplateSchema
from ..services import templates
from ..services.paging import Page
from .strict import Blueprint

blueprint = Blueprint("templates", __name__, description="Disk images that VMs are made from")


@blueprint.post("")
@blueprint.arguments(TemplateInput)
@blueprint.response(201, TemplateSchema)
def create_template(wanted: dict[str, Any]) -> Template:
    """Register a template by its path."""
    return templates.create(**wanted)


@blueprint.get("")
@blueprint.arguments(TemplateList, location="query")
@blueprint.response(200, page_of(TemplateSchema))
def list_templates(arguments: dict[str, Any]) -> Page[Template]:
    """List templates."""
    return templates.list_templates(**arguments)


@blueprint.get("/<template_id>")
@blueprint.response(200, TemplateSchema)
def get_template(template_id: str) -> Template:
    """Show a template."""
    return templates.get(template_id)


@blueprint.delete("/<template_id>")
@blueprint.response(204)
def delete_template(template_id: str) -> None:
    """Forget a template that no VM is made from. Its file stays."""
    templates.delete(template_id)
