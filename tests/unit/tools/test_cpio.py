# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
import subprocess
from pathlib import Path

from tools.guest.cpio import Archive


def test_an_archive_is_what_cpio_unpacks(tmp_path: Path):
    archive = Archive()
    archive.add_directory("bin")
    archive.add_file("bin/run", b"#!/bin/sh\n", executable=True)
    archive.add_file("odd", b"12345")
    subprocess.run(["cpio", "--extract", "--quiet"], input=archive.to_bytes(), cwd=tmp_path, check=True)
    assert (tmp_path / "bin" / "run").read_bytes() == b"#!/bin/sh\n"
    assert (tmp_path / "bin" / "run").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "odd").read_bytes() == b"12345"
    assert (tmp_path / "odd").stat().st_mode & 0o777 == 0o644


def test_the_same_content_gives_the_same_bytes():
    def made() -> bytes:
        archive = Archive()
        archive.add_file("a", b"x")
        return archive.to_bytes()

    assert made() == made()
    assert len(made()) % 4 == 0
