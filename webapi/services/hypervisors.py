# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors: registering one tests the connection."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from ..database import db, new_id, transaction
from ..errors import Invalid, Refused
from ..models import Datacenter, Hypervisor, Task
from . import failing, rows, sessions, tasks
from .authorities import certificates_of
from .paging import Page, listing
from .sealing import seal_credentials


@transaction
def register(
    by: str, *, datacenter_id: str, username: str | None = None, password: str | None = None, **columns: Any
) -> Task:
    """The answer is the task that finds out whether the hypervisor answers, and what it has."""
    datacenter = rows.find(Datacenter, datacenter_id)
    sealed = seal_credentials(datacenter.public_key, username, password)
    columns["ca_certificates"] = certificates_of(columns.get("ca_certificates"))
    hypervisor = Hypervisor(id=new_id(), datacenter=datacenter, sealed_credentials=sealed, **columns)
    _refuse_wrong(hypervisor)
    _refuse_known_url(hypervisor)
    rows.add(hypervisor)
    return tasks.ask_for_hypervisor(hypervisor, by)


def _refuse_wrong(hypervisor: Hypervisor) -> None:
    """What runners would refuse."""
    if problems := list(hypervisor.message(sessions.DEFAULT).problems()):
        raise Invalid(problems)


def _refuse_known_url(hypervisor: Hypervisor) -> None:
    """The table refuses it too, but cannot say whose URL it is."""
    alike = select(Hypervisor).filter_by(
        datacenter_id=hypervisor.datacenter.id, type=hypervisor.type, url=hypervisor.url
    )
    with db.session.no_autoflush:
        known = db.session.scalars(alike).first()
    if known is not None and known.name != hypervisor.name:
        raise Refused(f"the hypervisor {known.name!r} has this URL already", code="hypervisor.exists")


@transaction
def discover(hypervisor_id: str, by: str) -> Task:
    return tasks.ask_for_hypervisor(rows.find(Hypervisor, hypervisor_id), by)


@transaction
def delete(hypervisor_id: str) -> None:
    """What is still being asked of it ends as failed: nobody will answer any more. Raises Refused if VMs are on it."""
    reason = f"the hypervisor {rows.find(Hypervisor, hypervisor_id).name} was deleted"
    # Requests first, as whoever applies an update locks them in this order; then those that came meanwhile.
    failing.end_requests_of(hypervisor_id, reason)
    rows.remove(rows.lock(Hypervisor, hypervisor_id))
    failing.end_requests_of(hypervisor_id, reason)


@transaction
def update(hypervisor_id: str, **changed: Any) -> Hypervisor:
    """Give it a bound of its own, or none; other authorities to trust, or those of runners' hosts."""
    # Its datacenter is read with it, so that it can be shown; nobody else writes these columns.
    hypervisor = rows.find(Hypervisor, hypervisor_id)
    if "open_sessions" in changed:
        hypervisor.open_sessions = changed["open_sessions"]
    if "ca_certificates" in changed:
        hypervisor.ca_certificates = certificates_of(changed["ca_certificates"])
        _refuse_wrong(hypervisor)
    sessions.show_bounds([hypervisor])
    return hypervisor


def get(hypervisor_id: str) -> Hypervisor:
    hypervisor = rows.find(Hypervisor, hypervisor_id)
    sessions.show_bounds([hypervisor])
    return hypervisor


def list_hypervisors(**arguments: Any) -> Page[Hypervisor]:
    found = listing(Hypervisor, **arguments)
    sessions.show_bounds(found.items)
    return found
