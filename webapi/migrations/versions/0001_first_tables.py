# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from webapi.database import LongText, PlainJson, UtcDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_tokens",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_tokens")),
        sa.UniqueConstraint("digest", name=op.f("uq_api_tokens_digest")),
        sa.UniqueConstraint("name", name=op.f("uq_api_tokens_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "datacenters",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("partitions", sa.Integer(), nullable=False),
        sa.Column("public_key", sa.String(length=64), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_datacenters")),
        sa.UniqueConstraint("name", name=op.f("uq_datacenters_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_datacenters_created_at_id"), "datacenters", ["created_at", "id"], unique=False)
    op.create_table(
        "events",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column(
            "severity",
            sa.Enum("INFO", "WARNING", "ERROR", "CRITICAL", name="severity", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column(
            "owner_type",
            sa.Enum(
                "vm", "virtualappliance", "hypervisor", "datacenter", name="ownertype", native_enum=False, length=32
            ),
            nullable=False,
        ),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_events_created_at_id"), "events", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_events_owner_id"), "events", ["owner_id"], unique=False)
    op.create_index(op.f("ix_events_task_id"), "events", ["task_id"], unique=False)
    op.create_table(
        "relays",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_relays")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_table(
        "tasks",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("parent_id", sa.String(length=36), nullable=True),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "type",
            sa.Enum(
                "DEPLOY",
                "UNDEPLOY",
                "RECONFIGURE",
                "POWER_ON",
                "POWER_OFF",
                "SHUTDOWN",
                "PAUSE",
                "RESUME",
                "RESET",
                "REFRESH",
                "DISCOVER",
                name="tasktype",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column(
            "owner_type",
            sa.Enum(
                "vm", "virtualappliance", "hypervisor", "datacenter", name="ownertype", native_enum=False, length=32
            ),
            nullable=False,
        ),
        sa.Column("owner_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column(
            "mode", sa.Enum("sequential", "concurrent", name="mode", native_enum=False, length=32), nullable=False
        ),
        sa.Column(
            "state",
            sa.Enum(
                "QUEUED",
                "STARTED",
                "FINISHED_SUCCESSFULLY",
                "FINISHED_UNSUCCESSFULLY",
                "ABORTED",
                "CANCELLED",
                name="taskstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("error", PlainJson(), nullable=True),
        sa.Column("requested_by", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["parent_id"], ["tasks.id"], name=op.f("fk_tasks_parent_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_tasks")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_tasks_created_at_id"), "tasks", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_tasks_owner_id"), "tasks", ["owner_id"], unique=False)
    op.create_index(op.f("ix_tasks_parent_id"), "tasks", ["parent_id"], unique=False)
    op.create_index(op.f("ix_tasks_root_id"), "tasks", ["root_id"], unique=False)
    op.create_table(
        "hypervisors",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datacenter_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("type", sa.String(length=32), nullable=False),
        sa.Column("url", sa.String(length=512), nullable=False),
        sa.Column("sealed_credentials", sa.Text(), nullable=True),
        sa.Column("validate_certs", sa.Boolean(), nullable=False),
        sa.Column("open_sessions", sa.Integer(), nullable=False),
        sa.Column(
            "state",
            sa.Enum("CHECKING", "MANAGED", "UNREACHABLE", name="hypervisorstate", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("error", PlainJson(), nullable=True),
        sa.Column("host", PlainJson(), nullable=True),
        sa.Column("last_seen_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["datacenter_id"], ["datacenters.id"], name=op.f("fk_hypervisors_datacenter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_hypervisors")),
        sa.UniqueConstraint("datacenter_id", "name", name=op.f("uq_hypervisors_datacenter_id_name")),
        sa.UniqueConstraint("datacenter_id", "type", "url", name=op.f("uq_hypervisors_datacenter_id_type_url")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_hypervisors_created_at_id"), "hypervisors", ["created_at", "id"], unique=False)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("root_id", sa.String(length=36), nullable=False),
        sa.Column("request_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column(
            "operation",
            sa.Enum(
                "configure",
                "reconfigure",
                "unconfigure",
                "power_on",
                "power_off",
                "shutdown",
                "reset",
                "pause",
                "resume",
                "get_state",
                "discover",
                name="operation",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("vm_id", sa.String(length=36), nullable=True),
        sa.Column("vm_name", sa.String(length=80), nullable=True),
        sa.Column("hypervisor_id", sa.String(length=36), nullable=False),
        sa.Column("hypervisor_name", sa.String(length=80), nullable=False),
        sa.Column("timeout", sa.Integer(), nullable=True),
        sa.Column(
            "state",
            sa.Enum("PENDING", "STARTED", "DONE", "FAILED", "ABORTED", name="jobstate", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column(
            "rollback_state",
            sa.Enum("NONE", "STARTED", "DONE", "FAILED", name="rollbackstate", native_enum=False, length=32),
            nullable=False,
        ),
        sa.Column("changed", sa.Boolean(), nullable=True),
        sa.Column("error", PlainJson(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("runner", sa.String(length=255), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_jobs_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_jobs_request_id"), "jobs", ["request_id"], unique=False)
    op.create_index(op.f("ix_jobs_root_id"), "jobs", ["root_id"], unique=False)
    op.create_index(op.f("ix_jobs_task_id"), "jobs", ["task_id"], unique=False)
    op.create_table(
        "requests",
        sa.Column("number", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("task_id", sa.String(length=36), nullable=False),
        sa.Column("hypervisor_id", sa.String(length=36), nullable=False),
        sa.Column("body", LongText, nullable=True),
        sa.Column("published_at", UtcDateTime(), nullable=True),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("sequence", sa.Integer(), nullable=False),
        sa.Column(
            "outcome",
            sa.Enum(
                "START",
                "DONE",
                "ERROR",
                "ABORTED",
                "ROLLBACK_START",
                "ROLLBACK_DONE",
                "ROLLBACK_ERROR",
                "CANCELLED",
                name="event",
                native_enum=False,
                length=32,
            ),
            nullable=True,
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_requests_task_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_requests")),
        sa.UniqueConstraint("id", name=op.f("uq_requests_id")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_requests_published_at_number"), "requests", ["published_at", "number"], unique=False)
    op.create_index(op.f("ix_requests_task_id"), "requests", ["task_id"], unique=False)
    op.create_index(op.f("ix_requests_hypervisor_id"), "requests", ["hypervisor_id"], unique=False)
    op.create_table(
        "templates",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datacenter_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("path", sa.String(length=1024), nullable=False),
        sa.Column("format", sa.Enum("qcow2", "raw", name="diskformat", native_enum=False, length=32), nullable=False),
        sa.Column("description", sa.String(length=1024), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(["datacenter_id"], ["datacenters.id"], name=op.f("fk_templates_datacenter_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_templates")),
        sa.UniqueConstraint("datacenter_id", "name", name=op.f("uq_templates_datacenter_id_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_templates_created_at_id"), "templates", ["created_at", "id"], unique=False)
    op.create_table(
        "virtualdatacenters",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("datacenter_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("hypervisor_type", sa.String(length=32), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["datacenter_id"], ["datacenters.id"], name=op.f("fk_virtualdatacenters_datacenter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_virtualdatacenters")),
        sa.UniqueConstraint("datacenter_id", "name", name=op.f("uq_virtualdatacenters_datacenter_id_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(
        op.f("ix_virtualdatacenters_created_at_id"), "virtualdatacenters", ["created_at", "id"], unique=False
    )
    op.create_table(
        "virtualappliances",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("virtualdatacenter_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["virtualdatacenter_id"], ["virtualdatacenters.id"], name=op.f("fk_virtualappliances_virtualdatacenter_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_virtualappliances")),
        sa.UniqueConstraint(
            "virtualdatacenter_id", "name", name=op.f("uq_virtualappliances_virtualdatacenter_id_name")
        ),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_virtualappliances_created_at_id"), "virtualappliances", ["created_at", "id"], unique=False)
    op.create_table(
        "vms",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("virtualappliance_id", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("definition", PlainJson(), nullable=False),
        sa.Column("sealed_user_data", LongText, nullable=True),
        sa.Column("pending_definition", PlainJson(), nullable=True),
        sa.Column("pending_user_data", LongText, nullable=True),
        sa.Column("memory_mib", sa.Integer(), nullable=False),
        sa.Column("template_id", sa.String(length=36), nullable=True),
        sa.Column(
            "state",
            sa.Enum(
                "NOT_ALLOCATED",
                "ALLOCATED",
                "CONFIGURED",
                "ON",
                "PAUSED",
                "OFF",
                "UNKNOWN",
                name="vmstate",
                native_enum=False,
                length=32,
            ),
            nullable=False,
        ),
        sa.Column("task_id", sa.String(length=36), nullable=True),
        sa.Column("hypervisor_id", sa.String(length=36), nullable=True),
        sa.Column("wanted_hypervisor_id", sa.String(length=36), nullable=True),
        sa.Column("addresses", PlainJson(), nullable=False),
        sa.Column("serial_log", sa.String(length=1024), nullable=True),
        sa.Column("power_changed_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["hypervisor_id"], ["hypervisors.id"], name=op.f("fk_vms_hypervisor_id")),
        sa.ForeignKeyConstraint(["task_id"], ["tasks.id"], name=op.f("fk_vms_task_id")),
        sa.ForeignKeyConstraint(["template_id"], ["templates.id"], name=op.f("fk_vms_template_id")),
        sa.ForeignKeyConstraint(
            ["virtualappliance_id"], ["virtualappliances.id"], name=op.f("fk_vms_virtualappliance_id")
        ),
        sa.ForeignKeyConstraint(["wanted_hypervisor_id"], ["hypervisors.id"], name=op.f("fk_vms_wanted_hypervisor_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_vms")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
    )
    op.create_index(op.f("ix_vms_created_at_id"), "vms", ["created_at", "id"], unique=False)
    op.create_index(op.f("ix_vms_virtualappliance_id_name"), "vms", ["virtualappliance_id", "name"], unique=False)
    op.create_index(op.f("ix_vms_state"), "vms", ["state"], unique=False)

    # The relays' one row: whoever has it locked publishes.
    op.execute("INSERT INTO relays (id) VALUES (1)")


def downgrade() -> None:
    op.drop_table("vms")
    op.drop_table("virtualappliances")
    op.drop_table("virtualdatacenters")
    op.drop_table("templates")
    op.drop_table("requests")
    op.drop_table("jobs")
    op.drop_table("hypervisors")
    op.drop_table("tasks")
    op.drop_table("relays")
    op.drop_table("events")
    op.drop_table("datacenters")
    op.drop_table("api_tokens")
