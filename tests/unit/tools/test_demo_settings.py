# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the demo's shell is told."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

from tools.demo import up


def test_a_shell_finds_the_api_the_commands_and_the_collection(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(up, "DIRECTORY", tmp_path)
    file = up._client_settings(SimpleNamespace(api_url="http://127.0.0.1:1", token=lambda name: f"of {name}"))
    shown = "echo $MILLWRIGHT_API $MILLWRIGHT_TOKEN; ls $ANSIBLE_COLLECTIONS_PATH/ansible_collections; which millwright"
    said = subprocess.run(["bash", "-c", f". {file}; {shown}"], capture_output=True, text=True, check=True).stdout
    assert said.splitlines() == ["http://127.0.0.1:1 of demo", "millwright", str(up.MILLWRIGHT)]
