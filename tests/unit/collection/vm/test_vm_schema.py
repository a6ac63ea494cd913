# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Frozen dataclasses as schemas: what parse takes, refuses and passes over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import (
    InvalidData,
    Problem,
    fields_of,
    parse,
    plain_fields,
    rule,
)


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, kw_only=True)
class Leaf:
    KIND: ClassVar[str] = "leaf"
    size: int = rule("Its size.", minimum=1)


@dataclass(frozen=True, kw_only=True)
class Branch:
    KIND: ClassVar[str] = "branch"
    children: tuple[Branch | Leaf, ...] = rule("What grows on it.", ())


@dataclass(frozen=True, kw_only=True)
class Tree:
    name: str = rule("Its name.", max_length=5, pattern="[a-z]+", pattern_help="small letters")
    colour: Colour = rule("Its colour.", Colour.RED)
    height: float | None = rule("Metres.", None)
    secret: str = rule("Nobody sees it.", "", pattern="[a-z]*", secret=True)
    labels: dict[str, str] = rule("Labels.", factory=dict)
    anything: Any = rule("Anything.", None)
    branches: tuple[Branch | Leaf, ...] = rule("Branches.", ())

    def problems(self) -> Iterator[Problem]:
        if self.name == "ash" and self.colour is Colour.BLUE:
            yield Problem("colour", "no ash is blue")


OAK = {
    "name": "oak", "colour": "blue", "height": 1.5, "labels": {"a": "b"}, "anything": [1],
    "branches": [{"kind": "branch", "children": [{"kind": "leaf", "size": 1}]}, {"kind": "leaf", "size": 2}],
}  # fmt: skip


def problems_of(raw: Any, *, tolerant: bool = False) -> list[str]:
    with pytest.raises(InvalidData) as refused:
        parse(Tree, raw, tolerant=tolerant)
    return [str(problem) for problem in refused.value.problems]


def test_what_was_parsed_becomes_plain_and_is_parsed_again():
    tree = parse(Tree, OAK)
    assert parse(Tree, plain_fields(tree)) == tree
    assert tree.branches[0].children == (Leaf(size=1),)


def test_none_counts_as_absent_where_there_is_a_default():
    assert parse(Tree, {"name": "oak", "colour": None, "branches": None}) == Tree(name="oak")


def test_unknown_fields_are_refused_unless_tolerated():
    assert problems_of({"name": "oak", "age": 3})[0].startswith("age: unknown field; known are: name, colour")
    assert parse(Tree, {"name": "oak", "age": 3}, tolerant=True) == Tree(name="oak")


def test_an_unknown_field_is_told_with_the_one_that_was_probably_meant():
    assert "color: unknown field, did you mean 'colour'? known are: name, colour" in problems_of({"color": "red"})[0]


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        ({}, "name: is required"),
        ({"name": "oakwood"}, "name: must have at most 5 characters, not 7"),
        ({"name": "OAK"}, "name: must be small letters, not 'OAK'"),
        ({"name": "oak", "height": "tall"}, "height: must be a number, not 'tall'"),
        ({"name": "oak", "height": True}, "height: must be a number, not True"),
        ({"name": "oak", "colour": "green"}, "colour: must be one of: red, blue, not 'green'"),
        ({"name": "oak", "colour": ["red"]}, "colour: must be one of: red, blue, not ['red']"),
        ({"name": "oak", "secret": "ABC"}, "secret: must be like [a-z]*"),
        ({"name": "oak", "branches": "none"}, "branches: must be a list, not 'none'"),
        ({"name": "oak", "branches": [{"size": 1}]}, "branches[0].kind: must be one of: branch, leaf"),
        ({"name": "oak", "branches": [{"kind": "leaf", "size": 0}]}, "branches[0].size: must be at least 1, not 0"),
        (
            {"name": "oak", "branches": [{"kind": "branch", "children": [{"kind": "leaf"}]}]},
            "branches[0].children[0].size: is required",
        ),
        ({"name": "ash", "colour": "blue"}, "colour: no ash is blue"),
        ([], "must be a mapping, not []"),
    ],
)
def test_a_problem_is_told_with_its_path_and_rule(raw, told):
    assert told in problems_of(raw)


def test_a_long_value_is_not_told_whole():
    assert len(problems_of({"name": "oak", "height": "x" * 10_000})[0]) < 120


def test_the_reading_of_a_class_says_what_each_consumer_needs():
    name, colour, height, secret, labels, anything, branches = fields_of(Tree)
    assert (name.kind, name.required, name.rule.max_length) == ("str", True, 5)
    assert (colour.kind, colour.choices, colour.default) == ("enum", ("red", "blue"), Colour.RED)
    assert (height.kind, height.nullable, height.required) == ("float", True, False)
    assert (secret.rule.secret, labels.kind, labels.default, anything.kind) == (True, "dict", {}, "any")
    assert (branches.kind, branches.many, branches.types) == ("union", True, (Branch, Leaf))
