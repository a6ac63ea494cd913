# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the module of this name inside the Ansible worker (vm.py)."""

from __future__ import annotations

from .vm import ActionModule

__all__ = ["ActionModule"]
