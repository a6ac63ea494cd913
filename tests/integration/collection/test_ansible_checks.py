# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release passes what Ansible's community asks of a collection, by Ansible's own tools and without a network."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tools import ansible_checks
from tools.ansible_checks import BIN, IMPORTER, PYTHON, environment

pytestmark = pytest.mark.slow


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    return ansible_checks.stage(tmp_path)


def check(command: Sequence[str | Path], place: Path, **more: str) -> subprocess.CompletedProcess[str]:
    words = [str(word) for word in command]
    # A proxy that is not there: what reaches for the network fails instead of passing here and not elsewhere.
    offline = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:1") | {"PIP_NO_INDEX": "1"}
    return subprocess.run(
        words, cwd=place, env={**environment(), **offline, **more}, capture_output=True, text=True, timeout=280,
        check=False,
    )  # fmt: skip


def passes(command: Sequence[str | Path], place: Path, **more: str) -> str:
    done = check(command, place, **more)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_sanity(staged: Path):
    said = passes(ansible_checks.sanity(), staged)
    for name in ("validate-modules", f"import on python {PYTHON}", "pylint", "runtime-metadata", "yamllint"):
        assert f'sanity test "{name}"' in said or f'sanity test "{name.partition(" ")[0]}"' in said


def test_sanity_sees_what_is_wrong(staged: Path):
    module = staged / "plugins/modules/vm_info.py"
    module.write_text(module.read_text().replace("  uuid:\n", "  uid:\n", 1))
    done = check(ansible_checks.sanity("--test", "validate-modules"), staged)
    assert done.returncode != 0
    assert "nonexistent-parameter-documented" in done.stdout + done.stderr


def test_the_importer_of_galaxy_takes_the_release_and_finds_nothing_to_warn_of(staged: Path, tmp_path: Path):
    passes([BIN / "ansible-galaxy", "collection", "build", "--output-path", tmp_path], staged)
    [artifact] = tmp_path.glob("*.tar.gz")
    importer = {"PATH": f"{IMPORTER / 'bin'}:{environment()['PATH']}"}
    said = passes([IMPORTER / "bin/python", "-m", "galaxy_importer.main", artifact], tmp_path, **importer)
    assert "Importer processing completed successfully" in said
    assert [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))] == []


def test_documentation_is_whole_and_refers_to_what_is_there(staged: Path):
    strict = ("--plugin-docs", "--validate-collection-refs=self", "--disallow-unknown-collection-refs")
    passes([BIN / "antsibull-docs", "lint-collection-docs", *strict, staged], staged)


def test_there_is_a_page_for_each_module_role_and_plugin(staged: Path, tmp_path: Path):
    pages = tmp_path / "pages"
    passes([ansible_checks.ROOT / "tools/collection_docs.sh", pages], tmp_path)
    kinds = {"modules": "module", "inventory": "inventory", "filter": "filter", "lookup": "lookup"}
    wanted = {
        f"{file.stem}_{kind}" for place, kind in kinds.items() for file in (staged / "plugins" / place).glob("*.py")
    }
    wanted |= {f"{role.name}_role" for role in (staged / "roles").iterdir()}
    assert {page.stem for page in pages.glob("*.rst")} == wanted
    assert "vm_power_module" in wanted


def test_the_changelog_fragments_are_sound(staged: Path):
    passes([BIN / "antsibull-changelog", "lint"], staged)
