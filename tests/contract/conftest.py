# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract suite's fixtures: a hypervisor of each kind, and an open driver to it; and libvirt's two alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from libvirt_peers import driver_of, libvirt_mock, libvirt_qemu
from peers import PEERS, Peer

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import LibvirtDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver


@pytest.fixture(params=PEERS)
def peer(request, tmp_path) -> Iterator[Peer]:
    with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: Peer) -> Iterator[VmDriver]:
    with open_driver(peer.connection) as opened:
        yield opened


@pytest.fixture
def mock(tmp_path: Path) -> Iterator[LibvirtDriver]:
    with libvirt_mock(tmp_path) as peer, driver_of(peer) as driver:
        yield driver


@pytest.fixture
def qemu(tmp_path: Path) -> Iterator[LibvirtDriver]:
    with libvirt_qemu(tmp_path) as peer, driver_of(peer) as driver:
        yield driver
