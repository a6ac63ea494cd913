# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings, credentials and commands of the runner."""

from __future__ import annotations

import base64
import dataclasses
import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from nacl.public import PrivateKey, PublicKey, SealedBox

from runner_service.commands import runner
from runner_service.credentials import (
    Credentials,
    UnreadableSecret,
    UnusableKey,
    make_key,
    open_credentials,
    read_key,
)
from runner_service.settings import InvalidSetting, Settings


def test_settings_come_from_the_environment_and_have_defaults() -> None:
    settings = Settings.from_environment(
        {"MILLWRIGHT_DATACENTER": "dc-1", "MILLWRIGHT_PARTITIONS": "8", "MILLWRIGHT_GRACE": "2.5", "MILLWRIGHT_X": "1"}
    )
    assert (settings.datacenter, settings.partitions, settings.grace) == ("dc-1", 8, 2.5)
    assert settings.max_tries == 3


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({}, "MILLWRIGHT_DATACENTER is required"),
        ({"MILLWRIGHT_DATACENTER": ""}, "MILLWRIGHT_DATACENTER is required"),
        ({"MILLWRIGHT_DATACENTER": "d", "MILLWRIGHT_PARTITIONS": "many"}, "MILLWRIGHT_PARTITIONS must be a number"),
        ({"MILLWRIGHT_DATACENTER": "d", "MILLWRIGHT_PARTITIONS": "0"}, "MILLWRIGHT_PARTITIONS must be above 0"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(environment: dict[str, str], message: str) -> None:
    with pytest.raises(InvalidSetting, match=message):
        Settings.from_environment(environment)


def test_every_setting_is_in_the_help() -> None:
    shown = CliRunner().invoke(runner, ["run", "--help"]).output
    for field in dataclasses.fields(Settings):
        assert field.metadata["variable"] in shown
        assert field.metadata["help"]


def test_a_runner_without_a_datacenter_says_what_it_misses() -> None:
    result = CliRunner(env={"MILLWRIGHT_DATACENTER": None}).invoke(runner, [])
    assert result.exit_code == 1
    assert "MILLWRIGHT_DATACENTER is required" in result.output


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("MILLWRIGHT_LOG_LEVEL", "LOUD", "must be DEBUG, INFO"),
        ("AMQP_URL", "http://user:secret@host", "AMQP_URL must be like amqp://"),
        ("AMQP_URL", "amqp://user:secret@host:port", "AMQP_URL must be like amqp://"),
        ("MILLWRIGHT_PRIVATE_KEY_FILE", "/nowhere/key", "/nowhere/key holds no private key"),
    ],
)
def test_a_runner_that_cannot_start_says_why(variable: str, value: str, message: str, tmp_path: Path) -> None:
    environment = {"MILLWRIGHT_DATACENTER": "dc-1", "MILLWRIGHT_RUN_DIR": str(tmp_path), variable: value}
    result = CliRunner(env=environment).invoke(runner, ["run"])
    assert result.exit_code == 1
    assert message in result.output
    assert "secret" not in result.output
    assert list(tmp_path.iterdir()) == []


def test_keygen_keeps_the_private_key_and_prints_the_public_one(tmp_path: Path) -> None:
    path = tmp_path / "key"
    result = CliRunner().invoke(runner, ["keygen", "--out", str(path)])
    assert result.exit_code == 0
    assert path.stat().st_mode & 0o777 == 0o600
    public = PublicKey(base64.b64decode(result.output))
    sealed = SealedBox(public).encrypt(json.dumps({"username": "u", "password": "p"}).encode())
    assert open_credentials(base64.b64encode(sealed).decode(), read_key(path)) == Credentials("u", "p")


def test_keygen_never_overwrites_a_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    kept = path.read_bytes()
    result = CliRunner().invoke(runner, ["keygen", "--out", str(path)])
    assert result.exit_code == 1
    assert "File exists" in result.output
    assert path.read_bytes() == kept


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key"
    make_key(path)
    path.chmod(0o644)
    with pytest.raises(UnusableKey, match="chmod 600"):
        read_key(path)


@pytest.mark.parametrize("content", [b"", b"rubbish", base64.b64encode(b"short")])
def test_a_file_without_a_key_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(UnusableKey, match="holds no private key"):
        read_key(path)


def test_no_box_means_no_credentials() -> None:
    assert open_credentials(None, None) == Credentials()


@pytest.mark.parametrize("sealed", ["", "not base64!", base64.b64encode(b"x" * 80).decode()])
def test_what_is_not_sealed_to_the_key_is_refused(sealed: str) -> None:
    with pytest.raises(UnreadableSecret, match="sealed to another key than this runner's"):
        open_credentials(sealed, PrivateKey.generate())


def test_a_sealed_box_needs_a_key() -> None:
    with pytest.raises(UnreadableSecret, match="no private key"):
        open_credentials("x", None)


@pytest.mark.parametrize("content", [b"[]", b"null", b"rubbish"])
def test_a_box_with_something_else_is_refused(content: bytes) -> None:
    key = PrivateKey.generate()
    sealed = base64.b64encode(SealedBox(key.public_key).encrypt(content)).decode()
    with pytest.raises(UnreadableSecret):
        open_credentials(sealed, key)


def test_a_password_is_not_shown() -> None:
    assert "secret" not in f"{Credentials('admin', 'secret')!r} {Credentials('admin', 'secret')}"
