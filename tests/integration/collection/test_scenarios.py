# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios, each its whole sequence."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from ansible_commands import BIN, ROOT

SEQUENCE = ["create", "converge", "idempotence", "side_effect", "verify", "destroy"]
pytestmark = pytest.mark.slow


def molecule(scenario: str, home: Path, *, fails: bool = False) -> str:
    """Run the scenario; its output. What it made is gone afterwards, also if it failed."""
    environment = {
        "HOME": home, "ANSIBLE_HOME": home / ".ansible", "MOLECULE_EPHEMERAL_DIRECTORY": home, "NO_COLOR": "1",
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "ANSIBLE_COLLECTIONS_PATH": ROOT / ".collections",
    }  # fmt: skip
    told = {**os.environ, **{name: str(value) for name, value in environment.items()}}
    done = subprocess.run(
        [str(BIN / "molecule"), "test", "--scenario-name", scenario], cwd=ROOT, env=told, capture_output=True,
        text=True, timeout=280, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert (done.returncode != 0) is fails, said
    return said


def actions(said: str, scenario: str) -> list[str]:
    """The actions that were executed with success, in order."""
    return re.findall(rf"^{scenario} > (\w+): Executed: Successful", said, re.MULTILINE)


def test_the_scenario_on_a_fake_hypervisor(tmp_path: Path):
    assert actions(molecule("default", tmp_path), "default") == SEQUENCE
    assert not (tmp_path / "hypervisor").exists()


@pytest.mark.qemu
def test_the_scenario_on_libvirt(tmp_path: Path):
    assert actions(molecule("libvirt", tmp_path), "libvirt") == SEQUENCE
    assert list(Path("/var/tmp").glob("millwright-molecule-*")) == []


@pytest.mark.vcsim
def test_the_scenario_on_vsphere(tmp_path: Path):
    assert actions(molecule("vsphere", tmp_path), "vsphere") == SEQUENCE
    assert not (tmp_path / "vcenter").exists()


@pytest.mark.vcsim
def test_a_vcenter_that_cannot_be_started_leaves_nothing(tmp_path: Path):
    # It runs already when its address is to be kept, which fails.
    (tmp_path / "vcenter" / "url").mkdir(parents=True)
    said = molecule("vsphere", tmp_path, fails=True)
    assert "The simulator was not started" in said
    assert actions(said, "vsphere") == ["destroy"]
    assert not (tmp_path / "vcenter").exists()
    assert list(started_at(tmp_path)) == []


def started_at(home: Path) -> Iterator[str]:
    """Programs whose directory for temporary files is the simulator's."""
    mark = f"TMPDIR={home}/vcenter/files".encode()
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (process / "environ").read_bytes():
                yield (process / "cmdline").read_text()
