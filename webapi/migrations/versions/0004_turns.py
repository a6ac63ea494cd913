# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Requests wait for their turn, tenant by tenant."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

from runner_service.contract.operations import Priority
from runner_service.contract.topology import Topology

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_WAITING = ["waits_in", "tenant", "priority", "number", "hypervisor_id"]
_OUT = ["outcome", "waits_in", "published_at", "hypervisor_id", "tenant", "priority"]
#: Whose work the requests are that there are, and how urgent: all are one tenant's.
_DEFAULTS: dict[str, tuple[Any, str]] = {
    "tenant": (sa.String(length=36), ""),
    "priority": (sa.Integer(), str(Priority.ORDINARY.value)),
}
_MARKS = ("published_at", "publishing_at")


def upgrade() -> None:
    with op.batch_alter_table("requests") as batch:
        batch.add_column(sa.Column("waits_in", sa.String(length=80), nullable=True))
        for name, (kind, default) in _DEFAULTS.items():
            batch.add_column(sa.Column(name, kind, nullable=False, server_default=default))
    with op.batch_alter_table("requests") as batch:
        for name, (kind, _) in _DEFAULTS.items():
            batch.alter_column(name, existing_type=kind, existing_nullable=False, server_default=None)
    _let_those_wait_that_do()
    op.create_index("ix_requests_waiting", "requests", _WAITING)
    op.create_index("ix_requests_out", "requests", _OUT)
    op.drop_index(op.f("ix_requests_published_at_number"), "requests")


def _let_those_wait_that_do() -> None:
    """What a relay has set about is published by the next one that finds it, without waiting again."""
    connection = op.get_bind()
    requests = sa.table("requests", *map(sa.column, ("hypervisor_id", "outcome", *_MARKS, "waits_in")))
    hypervisors = sa.table("hypervisors", sa.column("id"), sa.column("datacenter_id"))
    datacenters = sa.table("datacenters", sa.column("id"), sa.column("partitions"))
    waiting = sa.and_(requests.c.outcome.is_(None), *(requests.c[mark].is_(None) for mark in _MARKS))
    hosts = (
        sa.select(hypervisors.c.id, datacenters.c.id, datacenters.c.partitions)
        .join(datacenters, datacenters.c.id == hypervisors.c.datacenter_id)
        .where(hypervisors.c.id.in_(sa.select(requests.c.hypervisor_id).where(waiting)))
    )
    for host, datacenter, partitions in connection.execute(hosts).all():
        queue = Topology(datacenter, partitions).in_queue_for(host)
        wait = sa.update(requests).where(waiting, requests.c.hypervisor_id == host)
        connection.execute(wait.values(waits_in=queue))


def downgrade() -> None:
    op.create_index(op.f("ix_requests_published_at_number"), "requests", ["published_at", "number"])
    for name in ("ix_requests_waiting", "ix_requests_out"):
        op.drop_index(name, "requests")
    with op.batch_alter_table("requests") as batch:
        for name in ("waits_in", *_DEFAULTS):
            batch.drop_column(name)
