# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all schemas share: strict input, pages, names and moments."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, pre_load, validate

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import InvalidData, fields_of, parse, plain
from runner_service.contract.operations import HYPERVISOR_TYPES

from ..services.paging import DEFAULT_LIMIT, MAX_LIMIT

_NAME_RULE = next(spec.rule for spec in fields_of(VmDefinition) if spec.name == "name")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Input(Schema):
    """A request body; fields that it does not know are refused."""

    class Meta:
        unknown = RAISE

    @pre_load
    def refuse_what_cannot_be_written(self, data: Any, **_: Any) -> Any:
        """JSON can say half a character (a lone surrogate); no database keeps one, and no answer can show it."""
        given = data.items() if isinstance(data, Mapping) else ()
        wrong = [key for key, value in given if isinstance(value, str) and _LONE_SURROGATE.search(value)]
        if wrong:
            raise ValidationError({key: ["must be whole characters"] for key in wrong})
        return data


class ListArguments(Input):
    """Which page of a list. Filters are added by name."""

    limit = fields.Integer(load_default=DEFAULT_LIMIT, validate=validate.Range(1, MAX_LIMIT))
    after = fields.String(metadata={"description": "The cursor that the page before gave as next."})


def name_field() -> fields.String:
    """A name follows the rules of a VM's name."""
    rules = [
        validate.Length(1, 80),
        validate.Regexp(re.compile(rf"(?:{_NAME_RULE.pattern})\Z"), error=f"must be {_NAME_RULE.pattern_help}"),
    ]
    return fields.String(required=True, validate=rules)


def id_field(help: str, *, required: bool = True) -> fields.String:
    return fields.String(
        required=required, validate=validate.Length(1, 36), metadata={"description": help, "format": "uuid"}
    )


def hypervisor_type_field(help: str) -> fields.String:
    known = validate.OneOf(HYPERVISOR_TYPES, error="must be one of: {choices}")
    return fields.String(required=True, validate=known, metadata={"description": help})


def permit_field(help: str) -> fields.Boolean:
    """What happens only to those who ask for it, and in no other word than true."""
    return fields.Boolean(load_default=False, truthy={True}, falsy={False}, metadata={"description": help})


def check_by(cls: type, data: Mapping[str, Any]) -> None:
    """Check input by the rules of a class of the collection. Raises ValidationError."""
    try:
        parse(cls, plain(dict(data)))
    except InvalidData as error:
        raise ValidationError({problem.path: [problem.rule] for problem in error.problems}) from error


def moment_field(help: str = "") -> fields.AwareDateTime:
    return fields.AwareDateTime(format="iso", metadata={"description": help} if help else {})


def page_of(item: type[Schema]) -> type[Schema]:
    """The schema of one page of items."""
    name = item.__name__.removesuffix("Schema")
    contents: dict[str, Any] = {
        "items": fields.List(fields.Nested(item)),
        "next": fields.String(allow_none=True, metadata={"description": "Cursor of the page behind; null: none."}),
    }
    return Schema.from_dict(contents, name=f"{name}PageSchema")


class ProblemSchema(Schema):
    """One thing that is wrong with a request, and where."""

    path = fields.String()
    rule = fields.String()


class ErrorSchema(Schema):
    """Why a request was not granted."""

    code = fields.String(metadata={"description": "Stable: programs may rely on it."})
    message = fields.String(metadata={"description": "For people."})
    details = fields.Dict()
    problems = fields.List(fields.Nested(ProblemSchema))
