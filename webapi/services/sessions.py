# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many operations may run on a hypervisor at once: its own bound, or its type's, or the platform's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, select

from runner_service.contract.control import Sessions
from runner_service.contract.topology import Topology

from ..database import db, transaction
from ..models import Hypervisor, SessionLimit
from ..models.sessionlimits import PLATFORM, Bound

#: Of a platform that says nothing else.
DEFAULT = Bound(open_sessions=2, power_passes=False)


@dataclass(frozen=True)
class Limits:
    """What is said for types of hypervisors, and (PLATFORM) for all."""

    of_scope: Mapping[str, Bound]

    @property
    def platform(self) -> Bound:
        return self.of_scope.get(PLATFORM, DEFAULT)

    @property
    def types(self) -> dict[str, Bound]:
        return {scope: bound for scope, bound in self.of_scope.items() if scope != PLATFORM}

    def bound(self, hypervisor: Hypervisor) -> Bound:
        """What holds for a hypervisor: never more than its cores, where discovery knows them."""
        general = self.of_scope.get(hypervisor.type, self.platform)
        wanted = hypervisor.open_sessions or general.open_sessions
        cores = int((hypervisor.host or {}).get("cores") or wanted)
        return Bound(open_sessions=max(1, min(wanted, cores)), power_passes=general.power_passes)


def limits() -> Limits:
    rows = db.session.scalars(select(SessionLimit).order_by(SessionLimit.scope))
    return Limits({row.scope: row.bound for row in rows})


@transaction
def replace(*, platform: Mapping[str, Any], types: Mapping[str, Mapping[str, Any]]) -> Limits:
    """Say all limits anew; types that are not named have the platform's."""
    db.session.execute(delete(SessionLimit))
    for scope, bound in {PLATFORM: platform, **types}.items():
        db.session.add(SessionLimit(scope=scope, **bound))
    db.session.flush()
    return limits()


def show_bounds(hypervisors: Iterable[Hypervisor]) -> None:
    """Let hypervisors that are to be shown say what holds for them."""
    known = limits()
    for hypervisor in hypervisors:
        hypervisor.effective_sessions = known.bound(hypervisor).open_sessions


@transaction
def fingerprint() -> object:
    """Differs whenever somebody has changed a bound. It costs less than to work the bounds out."""
    own = db.session.execute(select(Hypervisor.id, Hypervisor.type, Hypervisor.open_sessions).order_by(Hypervisor.id))
    return [tuple(row) for row in own], limits()


@transaction
def all_bounds() -> list[tuple[Topology, Sessions]]:
    """The bound of every hypervisor, as its datacenter's runners are told it."""
    known = limits()
    return [
        (host.datacenter.topology, _message(host, known.bound(host))) for host in db.session.scalars(select(Hypervisor))
    ]


def _message(hypervisor: Hypervisor, bound: Bound) -> Sessions:
    return Sessions(hypervisor_id=hypervisor.id, open_sessions=bound.open_sessions, power_passes=bound.power_passes)
