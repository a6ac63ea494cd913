# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many operations may run on a hypervisor at once: its own bound, or its type's, or the platform's."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import case, delete, func, select

from runner_service.contract.control import Sessions, TenantSessions
from runner_service.contract.topology import Topology

from ..database import db, transaction
from ..models import Datacenter, Hypervisor, SessionLimit, VirtualDatacenter
from ..models.sessionlimits import PLATFORM, Bound

#: A bound, and whose runners are told it.
Told = tuple[Topology, Sessions | TenantSessions]

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
    """Differs whenever somebody, or a discovery, has changed a bound. It costs less than to work the bounds out."""
    # What discovery saw bounds them, too. Only the number is read, not all that a hypervisor said of itself.
    cores = case((func.json_valid(Hypervisor.host) == 1, func.json_extract(Hypervisor.host, "$.cores")))
    of_each = select(Hypervisor.id, Hypervisor.type, Hypervisor.open_sessions, cores)
    own = db.session.execute(of_each.order_by(Hypervisor.id))
    tenants = db.session.execute(select(VirtualDatacenter.id, VirtualDatacenter.open_sessions))
    return [tuple(row) for row in own], {tuple(row) for row in tenants}, limits()


@transaction
def all_bounds() -> list[Told]:
    """The bound of every hypervisor and tenant, as their datacenters' runners are told them."""
    return _bounds_of(list(db.session.scalars(select(Datacenter))))


@transaction
def bounds_in(datacenter_ids: Collection[str]) -> list[Told]:
    """Those of some datacenters only."""
    return _bounds_of(list(db.session.scalars(select(Datacenter).where(Datacenter.id.in_(datacenter_ids)))))


def _bounds_of(datacenters: Sequence[Datacenter]) -> list[Told]:
    topologies, known = {datacenter.id: datacenter.topology for datacenter in datacenters}, limits()
    hosts = db.session.scalars(select(Hypervisor).where(Hypervisor.datacenter_id.in_(topologies)))
    tenants = db.session.scalars(select(VirtualDatacenter).where(VirtualDatacenter.datacenter_id.in_(topologies)))
    return [
        *((topologies[host.datacenter_id], _message(host, known)) for host in hosts),
        *((topologies[vdc.datacenter_id], _tenant_message(vdc)) for vdc in tenants),
    ]


def bound_now(hypervisor_id: str) -> Sessions | None:
    """What a runner is told of a hypervisor, if there is one. Part of the caller's transaction."""
    hypervisor = db.session.get(Hypervisor, hypervisor_id)
    return _message(hypervisor, limits()) if hypervisor else None


def tenant_bound_now(tenant: str) -> TenantSessions | None:
    """The same of a virtual datacenter."""
    vdc = db.session.get(VirtualDatacenter, tenant) if tenant else None
    return _tenant_message(vdc) if vdc else None


def _tenant_message(vdc: VirtualDatacenter) -> TenantSessions:
    return TenantSessions(tenant=vdc.id, open_sessions=vdc.open_sessions)


def _message(hypervisor: Hypervisor, known: Limits) -> Sessions:
    bound = known.bound(hypervisor)
    return Sessions(hypervisor_id=hypervisor.id, open_sessions=bound.open_sessions, power_passes=bound.power_passes)
