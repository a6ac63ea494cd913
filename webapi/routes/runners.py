# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runners."""

from __future__ import annotations

from typing import Any

from ..schemas.base import page_of
from ..schemas.runners import RunnerList, RunnerSchema
from ..services import runners
from ..services.paging import Page
from ..services.runners import RunnerView
from .strict import Blueprint

blueprint = Blueprint("runners", __name__, description="Processes that carry requests out")


@blueprint.get("")
@blueprint.arguments(RunnerList, location="query")
@blueprint.response(200, page_of(RunnerSchema))
def list_runners(arguments: dict[str, Any]) -> Page[Any]:
    """List runners, also those that fell silent within the last hour."""
    return runners.list_runners(**arguments)


@blueprint.get("/<runner_id>")
@blueprint.response(200, RunnerSchema)
def get_runner(runner_id: str) -> RunnerView:
    """Show a runner."""
    return runners.get(runner_id)
