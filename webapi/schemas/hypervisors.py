# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hypervisors."""

from __future__ import annotations

from typing import Any

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from runner_service.contract.messages import MAX_CA_CERTIFICATES

from ..models import HypervisorState
from .base import Input, ListArguments, hypervisor_type_field, id_field, moment_field, name_field
from .sessions import SESSIONS


def _ca_certificates_field(**more: Any) -> fields.String:
    return fields.String(
        allow_none=True, validate=validate.Length(1, MAX_CA_CERTIFICATES), **more,
        metadata={
            "description": "Certificates, in PEM, of the authorities to trust when it is connected to, instead of "
            "those of the runner's host; null: those of the host. Not a path: a runner reads no file for whoever asks.",
        },
    )  # fmt: skip


class HypervisorInput(Input):
    datacenter_id = id_field("Datacenter whose runners reach it.")
    name = name_field()
    type = hypervisor_type_field("Driver that talks to it.")
    url = fields.String(
        required=True, validate=validate.Length(1, 512), metadata={"description": "Where it is, in the driver's words."}
    )
    username = fields.String(load_default=None, allow_none=True, validate=validate.Length(max=255))
    password = fields.String(
        load_default=None, allow_none=True, load_only=True, validate=validate.Length(max=4096),
        metadata={"writeOnly": True, "description": "Sealed to the datacenter's key at once; never shown."},
    )  # fmt: skip
    validate_certs = fields.Boolean(load_default=True)
    ca_certificates = _ca_certificates_field(load_default=None)
    open_sessions = fields.Integer(
        load_default=None, allow_none=True, validate=SESSIONS,
        metadata={"description": "How many operations may run on it at once; null: what its type or the platform has."},
    )  # fmt: skip


class HypervisorChange(Input):
    """What is not named stays as it is."""

    open_sessions = fields.Integer(
        allow_none=True, validate=SESSIONS, metadata={"description": "null: what holds in general."}
    )
    ca_certificates = _ca_certificates_field()

    @validates_schema
    def refuse_nothing(self, changed: Any, **_: Any) -> None:
        if not changed:
            raise ValidationError("must name something to change", "open_sessions")


class HypervisorSchema(Schema):
    id = fields.String()
    datacenter_id = fields.String()
    name = fields.String()
    type = fields.String()
    url = fields.String()
    validate_certs = fields.Boolean()
    ca_certificates = fields.String(allow_none=True, metadata={"description": "Authorities to trust, in PEM."})
    open_sessions = fields.Integer(allow_none=True, metadata={"description": "Its own bound, if it has one."})
    effective_sessions = fields.Integer(
        metadata={"description": "The bound that holds: its own, its type's or the platform's; at most its cores."}
    )
    state = fields.Enum(HypervisorState, by_value=True)
    error = fields.Dict(allow_none=True)
    host = fields.Dict(allow_none=True, metadata={"description": "What it says about itself (HostFacts)."})
    last_seen_at = moment_field("When it last answered.")
    created_at = moment_field()


class HypervisorList(ListArguments):
    datacenter_id = fields.String()
    name = fields.String()
    type = fields.String()
    state = fields.Enum(HypervisorState, by_value=True)
