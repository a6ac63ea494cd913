# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes: each states its input, its output and its one service call."""

from __future__ import annotations

from flask_smorest import Api

from . import (
    datacenters,
    deadletters,
    events,
    health,
    hypervisors,
    jobs,
    runners,
    sessions,
    snapshots,
    tasks,
    templates,
    virtualappliances,
    virtualdatacenters,
    vms,
)

BASE = "/api/v1"

_NOUNS = (
    datacenters,
    hypervisors,
    templates,
    virtualdatacenters,
    virtualappliances,
    vms,
    snapshots,
    tasks,
    runners,
    sessions,
    jobs,
    deadletters,
    events,
    health,
)


def register(api: Api) -> None:
    for noun in _NOUNS:
        place = getattr(noun, "PLACE", noun.blueprint.name)
        api.register_blueprint(noun.blueprint, url_prefix=f"{BASE}/{place}")
