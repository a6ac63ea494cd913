# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes sure that libvirt answers on this machine.

Where systemd runs, its unit is started, and stays. Elsewhere the daemons are started here, remembered, and stopped
again; those of others are never touched.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import subprocess
from pathlib import Path

from tools.processes import Background
from tools.waiting import wait_until

URI = "qemu:///system"
READY_TIMEOUT = 60
KVM = Path("/dev/kvm")

#: In the order of their start: libvirtd asks virtlogd to keep what guests write.
DAEMONS = {"virtlogd": "/usr/sbin/virtlogd", "libvirtd": "/usr/sbin/libvirtd"}


class LibvirtUnavailable(Exception):
    """libvirt does not answer, and could not be made to; the message says why and what to do."""


def ensure(place: Path) -> None:
    """Afterwards ``qemu:///system`` answers this user. ``place`` remembers daemons that had to be started."""
    if not _complaint():
        return
    if Path("/run/systemd/system").is_dir():
        _start_unit()
    elif os.getuid() == 0:
        _start_daemons(place)
    else:
        raise LibvirtUnavailable(_advice("No libvirtd runs, and only root can start it."))
    try:
        wait_until(lambda: not _complaint(), READY_TIMEOUT, f"an answer from {URI}", every=0.2)
    except TimeoutError as error:
        raise LibvirtUnavailable(_advice(f"{error}. It says: {_complaint()}")) from error


def stop(place: Path) -> None:
    """Stop the daemons that ``ensure`` started. Guests go on running without them."""
    for name in reversed(DAEMONS):
        Background(place, name).stop()


def _complaint() -> str:
    """What libvirt says against being used by us; empty if it answers."""
    done = subprocess.run(
        ["virsh", "--connect", URI, "version"], capture_output=True, text=True, timeout=READY_TIMEOUT, check=False
    )
    return done.stderr.strip() if done.returncode else ""


def _start_unit() -> None:
    command = ["systemctl", "start", "libvirtd.service"]
    if os.getuid() != 0:
        command = ["sudo", *command]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise LibvirtUnavailable(_advice(f"`{' '.join(command)}` failed: {done.stderr.strip()}"))


def _start_daemons(place: Path) -> None:
    _hand_over_kvm()
    for name, path in DAEMONS.items():
        process = Background(place, name)
        process.start([path])
        process.require()


def _hand_over_kvm() -> None:
    """Give /dev/kvm to the group kvm, as udev would where it runs.

    libvirt 9 looks for KVM with more rights than its guests get. Where only the looking succeeds, it finds its memory
    of QEMU outdated each time it uses it, and asks QEMU again: seconds for every call.
    """
    with contextlib.suppress(FileNotFoundError, LookupError):
        shutil.chown(KVM, group="kvm")
        KVM.chmod(0o660)


def _advice(what: str) -> str:
    if os.getuid() == 0:
        return f"{what}\nTry `libvirtd` in a terminal: it says what it misses."
    return (
        f"{what}\nRun this as root, or let your user manage guests: "
        f"`sudo usermod -aG libvirt {getpass.getuser()}`, and log in again."
    )


if __name__ == "__main__":
    ensure(Path(".run/libvirt"))
