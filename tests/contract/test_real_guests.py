# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a guest that runs sees of all this: it tells on its serial line."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from libvirt_peers import POOLS, LibvirtPeer, libvirt_qemu
from peers import definition

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmDriver, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_power, ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.ensure_snapshots import (
    ensure_snapshot,
    revert_to_snapshot,
)
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.snapshots import WantedSnapshot
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState
from tests.waiting import wait_until
from tools.guest.build import guest_image

pytestmark = [pytest.mark.qemu, pytest.mark.slow, pytest.mark.timeout(300)]
WEB = VmRef(name="web")
#: Seconds for a guest under emulation, on a machine that has other things to do.
PATIENCE = 120


class Guest:
    """The VM ``web`` with the small guest in it."""

    def __init__(self, peer: LibvirtPeer, driver: VmDriver):
        self.driver = driver
        self._peer = peer
        shutil.copy(guest_image(), POOLS / peer.pool / "guest.qcow2")

    def wanted(self, *disks: dict[str, Any], nics: tuple[str, ...] = ("front",), **fields: Any):
        root = {"name": "root", "template": "guest.qcow2", "pool": self._peer.pool}
        return definition(
            self._peer,
            disks=[root, *({"pool": self._peer.pool, **disk} for disk in disks)],
            nics=[{"name": nic, "network": self._peer.network} for nic in nics],
            **{"memory_mib": 128, "console": {"graphics": "none", "serial_log": True}, **fields},
        )

    def start(self, want) -> None:
        self.driver.create(want)
        self.driver.power(WEB, PowerAction.ON, 60)
        self.await_line("UP")

    def await_line(self, line: str, times: int = 1) -> None:
        log = Path(self.driver.find(WEB).serial_log)
        marked = f"MILLWRIGHT-GUEST-{line}"
        wait_until(lambda: log.read_text(errors="replace").count(marked) >= times, PATIENCE, f"the guest to say {line}")


@pytest.fixture
def guest(tmp_path: Path) -> Iterator[Guest]:
    with libvirt_qemu(tmp_path) as peer, open_driver(peer.connection) as driver:
        yield Guest(peer, driver)


def test_a_guest_sees_what_is_plugged_in_and_what_grows(guest: Guest):
    limits = {"cpu": {"count": 1, "max_count": 2}}
    guest.start(guest.wanted(**limits))
    data = {"name": "data", "size_mib": 4}
    done = ensure_present(guest.driver, guest.wanted(data, nics=("front", "back"), **limits), dry_run=False)
    assert done.hot == ("disks[data]", "nics[back]")
    guest.await_line("DISK vdb 8192")
    guest.await_line(f"CARD eth1 {done.after.definition.nics[1].mac}")
    bigger = guest.wanted({**data, "size_mib": 8}, nics=("front", "back"), cpu={"count": 2, "max_count": 2})
    assert ensure_present(guest.driver, bigger, dry_run=False).hot == ("cpu.count", "disks[data].size_mib")
    guest.await_line("DISK vdb 16384")
    guest.await_line("PROCESSORS 2")
    assert not ensure_present(guest.driver, bigger, dry_run=False).changed


def test_a_guest_gives_memory_back_and_takes_it(guest: Guest):
    guest.start(guest.wanted(memory_max_mib=192))
    for memory_mib in (160, 144):
        want = guest.wanted(memory_mib=memory_mib, memory_max_mib=192)
        assert ensure_present(guest.driver, want, dry_run=False).hot == ("memory_mib",)
        assert guest.driver.find(WEB).definition.memory_mib == memory_mib


def test_a_guest_goes_down_in_order_for_a_power_cycle_and_comes_up_as_it_is_wanted(guest: Guest):
    guest.start(guest.wanted(cloud_init={"user_data": "#cloud-config {{ as it is }}\n"}))
    guest.await_line("SEED #cloud-config {{ as it is }}")
    other = guest.wanted(cpu={"count": 2}, cloud_init={"user_data": "#cloud-config of another kind\n"})
    done = ensure_present(guest.driver, other, dry_run=False, allowed=Allowed(power_cycle=True))
    assert done.power_cycled
    guest.await_line("DOWN")
    guest.await_line("UP", times=2)
    guest.await_line("PROCESSORS 2")
    guest.await_line("SEED #cloud-config of another kind")
    assert ensure_power(guest.driver, WEB, PowerAction.SHUTDOWN, timeout=PATIENCE, dry_run=False).changed
    guest.await_line("DOWN", times=2)


def test_a_guest_whose_memory_was_kept_runs_on_from_there(guest: Guest):
    guest.start(guest.wanted())
    ensure_snapshot(guest.driver, WEB, WantedSnapshot(name="up", memory=True), dry_run=False)
    guest.driver.power(WEB, PowerAction.OFF, 60)
    revert_to_snapshot(guest.driver, WEB, "up", dry_run=False)
    assert guest.driver.find(WEB).power is PowerState.ON
    # It need not boot to obey.
    ensure_power(guest.driver, WEB, PowerAction.SHUTDOWN, timeout=PATIENCE, dry_run=False)
    log = Path(guest.driver.find(WEB).serial_log).read_text(errors="replace")
    assert (log.count("MILLWRIGHT-GUEST-UP"), log.count("MILLWRIGHT-GUEST-DOWN")) == (1, 1)
