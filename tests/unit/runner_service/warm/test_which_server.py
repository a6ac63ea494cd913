# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which server a run is for, and where it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from ansible.config.manager import find_ini_config_file

from runner_service.warm import configuration, own, places


@pytest.mark.parametrize("there", [(), ("here",), ("home",), ("named",), ("here", "home"), ("here", "home", "named")])
@pytest.mark.parametrize("mode", [0o755, 0o777])
@pytest.mark.parametrize("named", ["", "named.cfg", "$NAMED", "~/folder"])
def test_the_file_that_counts_is_the_one_that_ansible_finds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], mode: int, named: str
) -> None:
    here = tmp_path / "here"
    (tmp_path / "folder").mkdir()
    here.mkdir()
    files = {"here": here / "ansible.cfg", "home": tmp_path / ".ansible.cfg", "named": here / "named.cfg"}
    for name in there:
        files[name].write_text("[defaults]\n")
    (tmp_path / "folder" / "ansible.cfg").write_text("[defaults]\n")
    here.chmod(mode)
    monkeypatch.chdir(here)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NAMED", "named.cfg")
    monkeypatch.delenv("ANSIBLE_CONFIG", raising=False)
    if named:
        monkeypatch.setenv("ANSIBLE_CONFIG", named)
    assert configuration.file(os.environ) == find_ini_config_file()


@pytest.fixture(autouse=True)
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an ansible.cfg."""
    (tmp_path / "nowhere").mkdir()
    monkeypatch.chdir(tmp_path / "nowhere")


BASE = {"HOME": "/nowhere", "PATH": "/bin"}


@pytest.mark.parametrize(
    "variables",
    [{"ANSIBLE_FORKS": "7"}, {"PYTHONPATH": "/x"}, {"LANG": "C"}, {"LC_CTYPE": "C"}, {"NO_COLOR": "1"}, {"HOME": "/"},
     {"ANSIBLE_HOME": "/x"}, {"LD_PRELOAD": "x"}],
)  # fmt: skip
def test_what_ansible_reads_when_it_is_loaded_is_another_server(variables: dict[str, str]) -> None:
    assert configuration.key("a", BASE) != configuration.key("a", {**BASE, **variables})


def test_what_a_run_brings_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = configuration.key("a", {**BASE, "ANSIBLE_FORKS": "7"})
    monkeypatch.chdir(tmp_path)
    assert configuration.key("a", {**BASE, "ANSIBLE_FORKS": "7", "TERM": "xterm", "SSH_AUTH_SOCK": "/x"}) == before


@pytest.mark.parametrize(("value", "matters"), [("roles", True), ("/a:roles", True), ("/a:~/b", False), ("yes", False)])
def test_the_directory_matters_to_paths_from_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str, matters: bool
) -> None:
    environment = {**BASE, "ANSIBLE_ROLES_PATH": value}
    before = configuration.key("a", environment)
    monkeypatch.chdir(tmp_path)
    assert (configuration.key("a", environment) != before) is matters


def test_a_server_starts_with_what_it_needs_and_no_more() -> None:
    assert configuration.kept({**BASE, "AWS_SECRET_ACCESS_KEY": "s", "ANSIBLE_FORKS": "7"}) == {
        **BASE, "ANSIBLE_FORKS": "7",
    }  # fmt: skip


def test_the_directory_is_private(tmp_path: Path) -> None:
    made = Path(places.directory({"XDG_RUNTIME_DIR": str(tmp_path)}))
    assert made.stat().st_mode & 0o777 == 0o700
    made.chmod(0o750)
    with pytest.raises(places.Unsafe):
        places.directory({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_a_link_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir(mode=0o700)
    (tmp_path / "millwright").symlink_to("other")
    with pytest.raises(places.Unsafe):
        places.directory({"XDG_RUNTIME_DIR": str(tmp_path)})


def test_one_has_the_lock(tmp_path: Path) -> None:
    place = places.Place(str(tmp_path), "k")
    lock = place.take()
    assert lock is not None
    assert place.take() is None
    os.close(lock)
    assert place.is_free()


@pytest.mark.parametrize(
    ("name", "is_shown"),
    [
        ("ANSIBLE_GALAXY_SERVER_X_TOKEN", False), ("ANSIBLE_X_PASSWORD", False), ("ANSIBLE_CLIENT_SECRET", False),
        ("ANSIBLE_API_KEY", False), ("ANSIBLE_VAULT_PASSWORD_FILE", True), ("ANSIBLE_FORKS", True), ("HOME", True),
    ],
)  # fmt: skip
def test_what_a_server_says_of_itself_shows_no_secret(name: str, is_shown: bool) -> None:
    assert (own.shown(name, "canary") == "canary") is is_shown
