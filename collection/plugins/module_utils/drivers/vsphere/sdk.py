# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The library that this driver needs. Its files can be read where it is missing, as Ansible's tools and documentation
want it; a driver is opened where it is there."""

from __future__ import annotations

from typing import Any


class _Absent:
    """A library that is not installed, and everything in it. Nothing of it is used before ``require`` has passed."""

    def __init__(self, error: ImportError):
        self.error = error

    def __getattr__(self, name: str) -> Any:
        return _Absent(self.error)


SoapStubAdapter: Any
SoapResponseDeserializer: Any
GetWsdlType: Any
vim: Any
vmodl: Any
try:
    # pylint: disable=unused-import  # for others of this folder
    from pyVmomi import SoapStubAdapter, vim, vmodl
    from pyVmomi.SoapAdapter import SoapResponseDeserializer
    from pyVmomi.VmomiSupport import GetWsdlType
except ImportError as error:
    SoapStubAdapter = SoapResponseDeserializer = GetWsdlType = vim = vmodl = _Absent(error)


def require() -> None:
    """Raises the ImportError of the library if it is missing."""
    if isinstance(vim, _Absent):
        raise vim.error
