# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where libvirt's library is missing, the driver's files can be read, and opening it says what is missing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import faults

OPEN_WITHOUT = """
import sys
sys.modules[{library!r}] = None
sys.path.insert(0, ".collections")
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import faults
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
print(len(faults.BY_CODE))
try:
    with open_driver(Connection(hypervisor_type="libvirt", url="test:///default")) as driver:
        print("opened")
except Unsupported as error:
    print(error)
"""


@pytest.mark.parametrize(("library", "package"), [("libvirt", "libvirt-python"), ("pycdlib", "pycdlib")])
def test_a_missing_library_is_told_by_its_package_and_the_python_that_lacks_it(
    library: str, package: str, request: pytest.FixtureRequest
):
    code = OPEN_WITHOUT.format(library=library)
    root = request.config.rootpath
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True, timeout=60
    )
    codes, said = done.stdout.splitlines()
    assert f"needs the Python package {package}, which {sys.executable} lacks" in said
    assert f"pip install {package}" in said
    # No two of libvirt's codes became one.
    assert int(codes) == len(faults.BY_CODE)
