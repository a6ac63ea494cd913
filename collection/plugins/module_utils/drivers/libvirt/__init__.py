# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""libvirt: QEMU and KVM on this host or another, and libvirt's own test hypervisor."""

from __future__ import annotations

from .driver import LibvirtDriver

__all__ = ["LibvirtDriver"]
