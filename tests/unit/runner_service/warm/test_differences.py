# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The difference of two hosts' variables makes the one's into the other's, as if they had never been others."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
from ansible.template import is_trusted_as_template, trust_as_template
from hypothesis import given
from hypothesis import strategies as st

from runner_service.warm.differences import difference

NAMES = st.sampled_from(["a", "b", "c", "vars"])
PLAIN = st.recursive(st.none() | st.integers() | st.text(max_size=3), lambda inner: st.lists(inner, max_size=3))
VARIABLES = st.dictionaries(st.sampled_from(["a", "b", "c"]), PLAIN | st.dictionaries(NAMES, PLAIN))


@given(VARIABLES, VARIABLES, VARIABLES | st.none(), VARIABLES | st.none())
def test_applied_to_the_old_it_gives_the_new(old: Any, new: Any, inner: Any, other: Any) -> None:
    for variables, within in ((old, inner), (new, other)):
        if within is not None:
            variables["vars"] = within
    told = pickle.loads(pickle.dumps(difference(old, new)))
    assert told.applied_to(old) == new


def test_what_is_the_same_is_not_told() -> None:
    everybody, shared = ["a", "b"], object()
    old = {"hosts": ["a", "b"], "shared": shared, "name": everybody[0], "vars": {"shared": shared, "name": "a"}}
    new = {"hosts": ["a", "b"], "shared": shared, "name": everybody[1], "vars": {"shared": shared, "name": "b"}}
    old["hosts"], new["hosts"] = list(everybody), list(everybody)
    told = difference(old, new)
    assert told.changed == {"name": "b"}
    assert told.gone == ()
    assert told.within is not None
    assert told.within.changed == {"name": "b"}


@pytest.mark.parametrize("container", [lambda text: text, lambda text: [text], lambda text: {"deep": [text]}])
def test_equal_strings_of_which_one_is_a_template_are_not_the_same(container: Any) -> None:
    text = "{{ 6 * 7 }}"
    told = difference({"a": container(str(text))}, {"a": container(trust_as_template(text))})
    made = pickle.loads(pickle.dumps(told)).applied_to({})["a"]
    while not isinstance(made, str):
        made = next(iter(made.values() if isinstance(made, dict) else made))
    assert is_trusted_as_template(made)
