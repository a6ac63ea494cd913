# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The guest, booted by QEMU alone under emulation: what the demo and the end-to-end tests rely on."""

import json
import socket
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pycdlib
import pytest

from tests.waiting import wait_until
from tools.guest.build import guest_image

pytestmark = pytest.mark.qemu

BOOT_TIMEOUT = 90


class Machine:
    """A QEMU process with a control socket."""

    def __init__(self, place: Path, machine: str, *extra: str):
        self.identity = str(uuid.uuid4())
        self._serial = place / "serial.log"
        overlay = place / "disk.qcow2"
        backing = f"backing_file={guest_image()},backing_fmt=qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-o", backing, overlay], check=True)
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-machine", f"{machine},accel=tcg", "-m", "128", "-nodefaults", "-display", "none",
            "-drive", f"file={overlay},if=virtio,format=qcow2", "-serial", f"file:{self._serial}",
            "-uuid", self.identity, "-qmp", f"unix:{place}/qmp,server=on,wait=off", *extra,
        ])  # fmt: skip
        self._qmp = place / "qmp"

    def says(self, line: str) -> bool:
        return line in (self._serial.read_text(errors="replace") if self._serial.exists() else "")

    def press_power_button(self) -> None:
        with socket.socket(socket.AF_UNIX) as control:
            control.connect(str(self._qmp))
            for command in ("qmp_capabilities", "system_powerdown"):
                control.sendall(json.dumps({"execute": command}).encode())
            assert wait_until(lambda: b"POWERDOWN" in control.recv(65536), 30, "QEMU to pass the request on")


@pytest.fixture
def boot(tmp_path: Path) -> Iterator:
    machines = []

    def start(machine: str, *extra: str) -> Machine:
        machines.append(Machine(tmp_path, machine, *extra))
        return machines[-1]

    yield start
    for machine in machines:
        machine.process.kill()
        machine.process.wait()


@pytest.mark.parametrize("machine", ["q35", "pc"])
def test_the_guest_says_that_it_is_up_and_powers_off_when_asked(boot, machine: str):
    guest = boot(machine)
    wait_until(lambda: guest.says(f"MILLWRIGHT-GUEST-UP {guest.identity}"), BOOT_TIMEOUT, "the guest to be up")
    guest.press_power_button()
    assert guest.process.wait(timeout=BOOT_TIMEOUT) == 0
    assert guest.says(f"MILLWRIGHT-GUEST-DOWN {guest.identity}")


def test_the_guest_says_what_its_cloud_init_seed_holds(boot, tmp_path: Path):
    guest = boot("pc", "-cdrom", str(_seed(tmp_path, "#cloud-config {{ not.evaluated }}\nsecond: line\n")))
    wait_until(lambda: guest.says("MILLWRIGHT-GUEST-UP"), BOOT_TIMEOUT, "the guest to be up")
    assert guest.says("MILLWRIGHT-GUEST-SEED #cloud-config {{ not.evaluated }}")
    assert not guest.says("second: line")


def test_the_image_is_built_once():
    before = guest_image().stat().st_mtime_ns
    assert guest_image().stat().st_mtime_ns == before


def _seed(place: Path, user_data: str) -> Path:
    path, image = place / "seed.iso", pycdlib.PyCdlib()
    image.new(joliet=3, rock_ridge="1.09", vol_ident="cidata")
    source = place / "user-data"
    source.write_text(user_data)
    image.add_file(str(source), "/USERDATA.;1", rr_name="user-data", joliet_path="/user-data")
    image.write(str(path))
    image.close()
    return path
