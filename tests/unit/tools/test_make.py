# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_make_prints_every_target_with_what_it_does():
    listed = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    targets = (line.split() for line in (ROOT / "Makefile").read_text().splitlines() if line.startswith(".PHONY"))
    assert {f"make {name}" for name in next(targets)[1:]} <= {
        " ".join(line.split()[:2]) for line in listed.splitlines()
    }


def test_the_collection_link_is_relative_and_made_twice_without_harm(tmp_path: Path):
    (tmp_path / "tools").mkdir()
    script = tmp_path / "tools" / "link_collection.sh"
    script.write_text((ROOT / "tools" / "link_collection.sh").read_text())
    for _ in range(2):
        subprocess.run(["bash", script], check=True)
    link = tmp_path / ".collections" / "ansible_collections" / "millwright" / "virt"
    assert not link.readlink().is_absolute()
    assert link.resolve() == tmp_path
