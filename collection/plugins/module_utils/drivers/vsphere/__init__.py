# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""vSphere: a vCenter or a stand-alone ESXi host, through pyVmomi."""

from __future__ import annotations

from .driver import VsphereDriver

__all__ = ["VsphereDriver"]
