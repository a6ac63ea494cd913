# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A hypervisor in a directory: keeps the driver contract, starts no guest, and can be told to be slow and to fail."""

from __future__ import annotations

from .driver import FakeDriver

__all__ = ["FakeDriver"]
