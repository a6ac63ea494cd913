# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the vSphere driver's library is missing, its files can be read, and opening it says what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

OPEN_WITHOUT = """
import sys
sys.modules["pyVmomi"] = None
sys.path.insert(0, ".collections")
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
try:
    with open_driver(Connection(hypervisor_type="vsphere", url="https://127.0.0.1:9/")) as driver:
        print("opened")
except Unsupported as error:
    print(error)
"""


def test_a_missing_library_is_named_when_a_driver_is_opened(request: pytest.FixtureRequest):
    done = subprocess.run(
        [sys.executable, "-c", OPEN_WITHOUT],
        cwd=request.config.rootpath, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert f"needs the Python package pyvmomi, which {sys.executable} lacks" in done.stdout
    assert "pip install pyvmomi" in done.stdout
