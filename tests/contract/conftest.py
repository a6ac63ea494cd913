# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The contract suite's fixtures: a hypervisor of each kind, and an open driver to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from peers import PEERS, Peer

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver


@pytest.fixture(params=PEERS)
def peer(request, tmp_path) -> Iterator[Peer]:
    with request.param(tmp_path) as opened:
        yield opened


@pytest.fixture
def driver(peer: Peer) -> Iterator[VmDriver]:
    with open_driver(peer.connection) as opened:
        yield opened
