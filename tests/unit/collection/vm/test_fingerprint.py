# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of secrets."""

from __future__ import annotations

import json

from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.fingerprint import fingerprint, is_fingerprint_of


def test_a_fingerprint_is_of_its_secret_alone():
    kept = fingerprint("canary")
    assert is_fingerprint_of(kept, "canary")
    assert not is_fingerprint_of(kept, "Canary")


def test_two_fingerprints_of_a_secret_differ():
    assert fingerprint("canary") != fingerprint("canary")


def test_what_is_no_fingerprint_is_of_nothing():
    for kept in (None, "", "canary", "a$b$c", "#scrypt$x", "#scrypt$$"):
        assert not is_fingerprint_of(kept, "canary")
    assert not is_fingerprint_of(fingerprint("canary"), None)


def vm(user_data: str) -> VmDefinition:
    return VmDefinition.from_dict({"name": "web", "memory_mib": 64, "cloud_init": {"user_data": user_data}})


def test_a_kept_definition_equals_its_own_and_holds_no_secret():
    kept = vm("#canary").to_keep()
    assert "canary" not in json.dumps(kept)
    assert changes(VmDefinition.from_dict(kept), vm("#canary")) == ()


def test_another_secret_is_a_change_that_shows_neither():
    (change,) = changes(VmDefinition.from_dict(vm("#canary").to_keep()), vm("#other"))
    assert change.to_dict() == {
        "path": "cloud_init.user_data",
        "before": "(secret)",
        "after": "(secret, changed)",
    }
