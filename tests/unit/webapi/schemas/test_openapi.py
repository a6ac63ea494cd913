# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The OpenAPI document says what the definition says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import fields_of
from tests.webapi_world import World


@pytest.fixture
def document(world: World) -> Any:
    return world.client.get("/api/v1/openapi.json").json


def _compare(schemas: Any, cls: type) -> None:
    shown = schemas[cls.__name__]["properties"]
    specs = {spec.name: spec for spec in fields_of(cls) if (cls, spec.name) != (VmDefinition, "uuid")}
    assert set(shown) == set(specs)
    required = {name for name, spec in specs.items() if spec.required}
    assert set(schemas[cls.__name__].get("required", [])) == required
    for name, spec in specs.items():
        one = shown[name]["items"] if spec.many else shown[name]
        assert shown[name].get("description") == spec.rule.help
        assert one.get("minimum") == spec.rule.minimum
        assert one.get("maximum") == spec.rule.maximum
        assert one.get("maxLength") == spec.rule.max_length
        assert tuple(one.get("enum", ())) == spec.choices
        if spec.kind == "object":
            _compare(schemas, spec.types[0])


def test_it_has_every_field_and_limit_of_the_vm_definition(document: Any):
    _compare(document["components"]["schemas"], VmDefinition)


def test_it_describes_every_route_with_a_summary_and_answers(document: Any, world: World):
    routes = {
        rule.endpoint
        for rule in world.app.url_map.iter_rules()
        if rule.endpoint not in ("docs.page", "api-docs.openapi_json", "metrics.figures")
    }
    operations = [
        operation for path in document["paths"].values() for method, operation in path.items() if method != "parameters"
    ]
    assert len(operations) == len(routes)
    assert all(operation["summary"] and operation["responses"] for operation in operations)


def test_a_task_has_tasks_and_jobs_for_children(document: Any):
    schemas = document["components"]["schemas"]
    kinds = schemas["Task"]["properties"]["children"]["items"]["oneOf"]
    assert {kind["$ref"].rsplit("/", 1)[1] for kind in kinds} == {"Task", "Job"} <= set(schemas)


def test_the_page_for_people_names_every_path_and_loads_nothing(document: Any, world: World):
    page = world.client.get("/api/v1/docs").text
    assert all(path in page for path in document["paths"])
    assert "src=" not in page and "http://" not in page and "https://" not in page
