# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible as people run it: its commands in a process of their own, with nothing of this machine's configuration."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent


def run(*command: str | Path, cwd: Path, **environment: str | Path) -> subprocess.CompletedProcess[str]:
    """Run one of Ansible's commands, or git, and give back what it said; it has two minutes."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ}
    told = {name: str(value) for name, value in environment.items()}
    clean = {"HOME": str(cwd), "ANSIBLE_HOME": str(cwd / ".ansible"), "ANSIBLE_FORCE_COLOR": "0"}
    return subprocess.run(
        [str(BIN / command[0]) if (BIN / command[0]).exists() else str(command[0]), *map(str, command[1:])],
        cwd=cwd, env={**kept, **clean, **told}, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def succeed(*command: str | Path, cwd: Path, **environment: str | Path) -> str:
    """Run a command that must go well; gives its output."""
    done = run(*command, cwd=cwd, **environment)
    assert done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
    return done.stdout
