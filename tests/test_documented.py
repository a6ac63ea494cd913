# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the code knows, the documents say: error codes and settings."""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import runner_service.settings
import webapi.settings

ROOT = Path(__file__).resolve().parent.parent
CODE = re.compile(r"[a-z_]+(\.[a-z_]+)?")


def codes_in(tree: ast.AST) -> Iterator[str]:
    """Strings that are assigned to, passed as, or put under the name ``code``."""
    for node in ast.walk(tree):
        match node:
            case ast.keyword(arg="code", value=ast.Constant(value=str(code))):
                yield code
            case ast.Assign(targets=[ast.Name(id="code")], value=ast.Constant(value=str(code))):
                yield code
            case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                named = dict(zip([getattr(name, "id", "") for name in names], values, strict=True))
                if isinstance(code := named.get("code"), ast.Constant):
                    yield str(code.value)
            case ast.Dict(keys=keys, values=values):
                pairs = zip(keys, values, strict=True)
                yield from (
                    v.value for k, v in pairs if getattr(k, "value", "") == "code" and isinstance(v, ast.Constant)
                )
            case ast.Call(func=ast.Name(id="failed"), args=[ast.Constant(value=str(code)), *_]):
                yield code


def all_codes() -> list[str]:
    files = [
        file for folder in ("collection/plugins", "runner_service", "webapi") for file in (ROOT / folder).rglob("*.py")
    ]
    found = {code for file in files for code in codes_in(ast.parse(file.read_text()))}
    return sorted(code for code in found if CODE.fullmatch(code))


def test_the_search_finds_codes_of_every_part() -> None:
    assert {"driver.busy", "definition.invalid", "runner.no_result", "vm.locked", "not_found"} <= set(all_codes())


@pytest.mark.parametrize("code", all_codes())
def test_every_error_code_is_documented(code: str) -> None:
    assert f"| `{code}` |" in (ROOT / "docs/errors.md").read_text()


@pytest.mark.parametrize("settings", [runner_service.settings.Settings, webapi.settings.Settings])
def test_every_setting_is_documented(settings: type) -> None:
    text = (ROOT / "docs/settings.md").read_text()
    variables = [field.metadata["variable"] for field in dataclasses.fields(settings)]
    assert variables
    assert [variable for variable in variables if f"`{variable}`" not in text] == []
