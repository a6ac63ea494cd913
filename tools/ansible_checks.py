# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What checks the collection and cannot live beside our own packages: installed once, with the pins of pyproject.toml,
so that checking needs no network. ``python -m tools.ansible_checks`` is part of ``make setup-test``."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import tomllib
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

from tools.stack import ROOT

BIN = Path(sys.executable).parent
#: Beside the packages, so that it goes when the environment is made anew.
PLACE = BIN.parent / "ansible-checks"
#: ansible-test keeps its virtual environments, one for each of its tests, in its user's home.
HOME = PLACE / "home"
#: galaxy-importer wants another ansible-lint and other libraries than we have.
IMPORTER = PLACE / "importer"
#: Collections that ours is checked against.
COLLECTIONS = PLACE / "collections"
_WANTED = ("ansible_collections/awx/awx/",)
#: ansible-test would fetch pip from the Ansible project's own host; Python brings one.
_GET_PIP = HOME / ".ansible/test/cache/get_pip_24_2.py"
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"


def environment() -> dict[str, str]:
    """What Ansible's tools need to find each other, and nothing of this machine's configuration."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON"))}
    # Where somebody told pip which index to use, that holds for another home, too.
    told = Path.home() / ".config/pip/pip.conf"
    index = {"PIP_CONFIG_FILE": str(told)} if told.exists() else {}
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return {**index, **kept, "HOME": str(HOME), "PATH": path, "ANSIBLE_FORCE_COLOR": "0"}


def sanity(*more: str) -> list[str]:
    """The command that runs ansible-test's sanity tests in a staged tree."""
    return [str(BIN / "ansible-test"), "sanity", "--color", "no", "--python", PYTHON, *more]


def install() -> None:
    """Afterwards all is there; the second time takes a few seconds."""
    _GET_PIP.parent.mkdir(parents=True, exist_ok=True)
    _GET_PIP.write_text("import ensurepip\nensurepip.bootstrap()\n")
    with tempfile.TemporaryDirectory() as place:
        staged = stage(Path(place))
        _call(sanity("--prime-venvs"), staged)
    if not (IMPORTER / "bin/python").exists():
        venv.create(IMPORTER, with_pip=True)
    _call([str(IMPORTER / "bin/python"), "-m", "pip", "install", "-q", *pins("importer")], ROOT)
    if not all((COLLECTIONS / name / "MANIFEST.json").exists() for name in _WANTED):
        _unpack_collections()


def stage(place: Path) -> Path:
    """The tree that a release is built from, in an empty directory outside the repository."""
    told = subprocess.run(
        [str(ROOT / "tools/stage_collection.sh"), str(place)], check=True, capture_output=True, text=True, timeout=60
    )
    return Path(told.stdout.strip())


def pins(extra: str) -> list[str]:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    return list(told["project"]["optional-dependencies"][extra])


def _unpack_collections() -> None:
    """The package of all collections carries them, where no server of collections can be reached."""
    with tempfile.TemporaryDirectory() as place:
        download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:", "-d", place]
        _call([*download, *pins("collections")], ROOT)
        [wheel] = Path(place).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(COLLECTIONS, [name for name in archive.namelist() if name.startswith(_WANTED)])


def _call(command: Sequence[str], place: Path) -> None:
    subprocess.run(command, cwd=place, env=environment(), check=True, timeout=900)


if __name__ == "__main__":
    install()
