# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A warm server, its shim, and a place to run playbooks in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from runner_service.warm.keeper import Keeper, ordinary_playbook, write_shim
from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parents[3]
ORDINARY = ordinary_playbook()


@dataclass(frozen=True)
class Warm:
    """Runs playbooks both ways, below one directory."""

    keeper: Keeper
    shim: Path
    directory: Path
    environment: dict[str, str]

    def write(self, name: str, text: str) -> Path:
        file = self.directory / name
        file.write_text(text, encoding="utf-8")
        return file

    def start(self, *arguments: str | Path, **environment: str) -> subprocess.Popen[str]:
        """The playbook through the shim; it says so where it does not run warm."""
        told = {**self.environment, "MILLWRIGHT_WARM_TELL": "1", **environment}
        return subprocess.Popen(
            [str(self.shim), *map(str, arguments)], cwd=self.directory, env=told, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def run(self, *arguments: str | Path, told: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, **environment)
        out, err = process.communicate(told, timeout=60)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def run_ordinary(
        self, *arguments: str | Path, told: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(ORDINARY), *map(str, arguments)], cwd=self.directory, env={**self.environment, **environment},
            input=told, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    def wait_until_ready(self) -> None:
        wait_until(self.keeper.socket.exists, 60, "warm Ansible listens")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path), "LC_ALL": "C.UTF-8", "TMPDIR": str(tmp_path),
        "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"), "ANSIBLE_HOME": str(tmp_path / "ansible"),
    }  # fmt: skip


@pytest.fixture
def warm(tmp_path: Path, environment: dict[str, str]) -> Iterator[Warm]:
    directory = tmp_path / "play"
    directory.mkdir()
    keeper = Keeper(tmp_path / "warm", environment)
    assert ORDINARY is not None
    one = Warm(keeper, write_shim(tmp_path / "bin", keeper.socket, ORDINARY), directory, environment)
    one.wait_until_ready()
    yield one
    keeper.close()
