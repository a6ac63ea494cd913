# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures, where Prometheus looks for them: beside the API's versions, not in one."""

from __future__ import annotations

from flask import Blueprint, Response

from .. import metrics

blueprint = Blueprint("metrics", __name__)


@blueprint.get("/metrics")
def figures() -> Response:
    """The platform's figures for Prometheus. They need a token, as everything does that says what runs where."""
    return Response(metrics.exposition(), content_type=metrics.CONTENT_TYPE)
