# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What docs/vsphere.md prints for people with a vCenter, followed to the letter, at the simulator that it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from ansible_commands import ROOT, succeed

from tests.waiting import wait_until
from tools import vcsim

pytestmark = [pytest.mark.vcsim, pytest.mark.slow]

GUIDE = (ROOT / "docs/vsphere.md").read_text()
MARKED = re.findall(r"<!-- tested: (\S+) -->\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
FILES = {name: text for name, text in MARKED if name != "commands"}
COMMANDS = [line for name, text in MARKED if name == "commands" for line in text.splitlines()]
BY_HAND = re.search(r"^\.venv/bin/python (-m tools\.vcsim -l )127\.0\.0\.1:8989( .*)$", GUIDE, re.MULTILINE)


def test_the_files_and_commands_work_as_they_stand(tmp_path: Path):
    assert BY_HAND
    # Another port than the guide's, which may be taken here.
    words = shlex.split(f"{BY_HAND[1]}127.0.0.1:0{BY_HAND[2]}")
    log = tmp_path / "log"
    with log.open("w") as said, subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=said) as simulator:
        try:
            follow(tmp_path, wait_until(lambda: re.search(r"127\.0\.0\.1:\d+", log.read_text()), 120, "its URL")[0])
        finally:
            simulator.terminate()


def follow(place: Path, address: str) -> None:
    for name, text in FILES.items():
        (place / name).write_text(text.replace("127.0.0.1:8989", address))
    (place / "vc.json").chmod(0o600)
    (place / "ca.pem").write_bytes(vcsim.certificate()[0].read_bytes())
    made, deployed, graph, off, undeployed = (
        succeed(*shlex.split(command), cwd=place, PWD=place, ANSIBLE_COLLECTIONS_PATH=ROOT / ".collections")
        for command in COMMANDS
    )
    for done in (made, deployed, off, undeployed):
        assert re.search(r"changed=[1-9].*failed=0", done)
    assert re.search(r"@power_on:\n.*--shop-db\n.*--shop-web\n.*--web\n", graph)
    assert re.search(r"@role_web:\n.*--shop-web\n", graph)
