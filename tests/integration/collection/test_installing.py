# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every way of installing the collection gives one whose modules run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from ansible_commands import ROOT, succeed

NAME = "ansible_collections/millwright/virt"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Path:
    """A clone of what is here, uncommitted changes included."""
    source, clone = ROOT, tmp_path_factory.mktemp("clone") / "millwright"
    listed = succeed("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", cwd=source)
    for name in filter(None, listed.split("\0")):
        if (source / name).is_symlink() or (source / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source / name, clone / name, follow_symlinks=False)
    git = ("git", "-c", "user.name=tester", "-c", "user.email=tester@localhost", "-c", "init.defaultBranch=main")
    for step in (("init", "-q"), ("add", "-A"), ("commit", "-qm", "as it is")):
        succeed(*git, *step, cwd=clone)
    return clone


def install(what: str | Path, target: Path, cwd: Path) -> Path:
    succeed("ansible-galaxy", "collection", "install", what, "-p", target, cwd=cwd)
    return target


def built_at_the_root(checkout: Path, target: Path) -> Path:
    succeed("ansible-galaxy", "collection", "build", "--output-path", target / "dist", cwd=checkout)
    (artifact,) = (target / "dist").glob("*.tar.gz")
    return install(artifact, target, target)


def from_a_git_url(checkout: Path, target: Path) -> Path:
    return install(f"git+file://{checkout}", target, target)


def from_a_folder_of_a_git_url(checkout: Path, target: Path) -> Path:
    return install(f"git+file://{checkout}#/collection/", target, target)


def by_the_requirements_of_a_project(checkout: Path, target: Path) -> Path:
    succeed("ansible-galaxy", "collection", "install", "-r", "requirements.yml", "-p", target, cwd=checkout)
    return target


def from_a_staged_release(checkout: Path, target: Path) -> Path:
    staged = Path(succeed("bash", checkout / "tools/stage_collection.sh", target / "stage", cwd=target).strip())
    assert not [path for path in staged.rglob("*") if path.is_symlink()]
    succeed("ansible-galaxy", "collection", "build", "--output-path", target / "dist", cwd=staged)
    (artifact,) = (target / "dist").glob("*.tar.gz")
    return install(artifact, target, target)


def through_the_link_of_a_checkout(checkout: Path, target: Path) -> Path:
    link = checkout / ".collections" / NAME
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink():
        link.symlink_to("../../..")
    return checkout / ".collections"


WAYS: list[Callable[[Path, Path], Path]] = [
    built_at_the_root,
    from_a_git_url,
    from_a_folder_of_a_git_url,
    by_the_requirements_of_a_project,
    from_a_staged_release,
    through_the_link_of_a_checkout,
]
#: A folder of the repository has no playbooks: they stand beside it.
WITHOUT_PLAYBOOKS = (from_a_folder_of_a_git_url, by_the_requirements_of_a_project)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_the_installed_collection_runs_its_modules_and_playbooks(checkout: Path, tmp_path: Path, way):
    empty, hypervisor = tmp_path / "installed", tmp_path / "hypervisor"
    empty.mkdir()
    hypervisor.mkdir()
    collections = way(checkout, empty)
    options = f"hypervisor_type=fake url=fake://{hypervisor}"
    asked = {"cwd": tmp_path, "ANSIBLE_COLLECTIONS_PATH": collections}
    told = succeed("ansible", "localhost", "-m", "millwright.virt.hypervisor_info", "-a", options, **asked)
    assert '"networks"' in told
    if way not in WITHOUT_PLAYBOOKS:
        url = f'{{"millwright_hypervisor": {{"type": "fake", "url": "fake://{hypervisor}"}}}}'
        told = succeed("ansible-playbook", "millwright.virt.discover", "-i", "here,", "-e", url, **asked)
        assert "failed=0" in told
    assert '"logins"' in (hypervisor / "state.json").read_text()
    assert "millwright.virt.appliance" in succeed("ansible-doc", "-t", "role", "-l", "millwright.virt", **asked)


@pytest.mark.slow
def test_the_staged_release_passes_the_linter_for_production(checkout: Path, tmp_path: Path):
    staged = succeed("bash", checkout / "tools/stage_collection.sh", tmp_path, cwd=tmp_path).strip()
    succeed("ansible-lint", "--offline", "--profile", "production", cwd=Path(staged), ANSIBLE_COLLECTIONS_PATH=tmp_path)


def test_the_release_holds_the_collection_alone(checkout: Path, tmp_path: Path):
    staged = Path(succeed("bash", checkout / "tools/stage_collection.sh", tmp_path, cwd=tmp_path).strip())
    assert {path.name for path in staged.iterdir()} == {
        "COPYING", "README.md", "changelogs", "galaxy.yml", "meta", "playbooks", "plugins", "roles",
    }  # fmt: skip
