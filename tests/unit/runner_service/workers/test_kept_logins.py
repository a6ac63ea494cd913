# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logins that runs share: who may have the same session, and when one is ended."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from runner_service.contract.messages import Hypervisor
from runner_service.credentials import Credentials
from runner_service.workers.inventory import inventory_of_logins
from runner_service.workers.logins import Ender, Login, Logins, due, name_of, pause
from tests.waiting import wait_until

THERE = Hypervisor(id="h-1", type="fake", url="fake:///x")
ADMIN = Credentials("admin", "letmein")


@pytest.fixture
def logins(tmp_path: Path) -> Logins:
    return Logins(tmp_path / "logins")


def used(logins: Logins, *, leaves: bool = True, hypervisor: Hypervisor = THERE) -> Path:
    with logins.using(hypervisor, ADMIN) as path:
        if leaves:
            path.write_text("session")
    return path


@pytest.mark.parametrize(
    ("hypervisor", "credentials"),
    [
        (replace(THERE, url="fake:///y"), ADMIN),
        (replace(THERE, type="libvirt"), ADMIN),
        (replace(THERE, validate_certs=False), ADMIN),
        (replace(THERE, ca_certificates="-----BEGIN CERTIFICATE-----"), ADMIN),
        (THERE, Credentials("admin", "letmein2")),
        (THERE, Credentials("root", "letmein")),
        (THERE, Credentials("adminletmein", "")),
        (THERE, Credentials()),
    ],
)
def test_another_login_has_another_name(hypervisor: Hypervisor, credentials: Credentials) -> None:
    assert name_of(b"key", hypervisor, credentials) != name_of(b"key", THERE, ADMIN)


def test_the_same_login_has_one_name_that_only_its_runner_can_tell() -> None:
    sealed_anew = replace(THERE, id="h-2", sealed_credentials="another box", open_sessions=9)
    assert name_of(b"key", sealed_anew, ADMIN) == name_of(b"key", THERE, ADMIN)
    assert name_of(b"other", THERE, ADMIN) != name_of(b"key", THERE, ADMIN)


def test_what_nobody_uses_is_due_after_its_time() -> None:
    busy = Login(hypervisor=THERE, session_file=Path("a"), users=1)
    idle = Login(hypervisor=THERE, session_file=Path("b"), idle_since=100.0)
    assert due([busy, idle], 109.0, 10.0) == []
    assert due([busy, idle], 110.0, 10.0) == [idle]
    assert pause([busy, idle], 104.0, 10.0) == 6.0
    assert pause([busy, idle], 200.0, 10.0) == 0.0
    assert pause([busy], 200.0, 10.0) is None


def test_the_directory_is_private(logins: Logins) -> None:
    assert used(logins).parent.stat().st_mode & 0o777 == 0o700


def test_a_hypervisor_that_leaves_no_session_costs_nothing(logins: Logins) -> None:
    used(logins, leaves=False)
    assert logins.take(0.0) == []
    assert logins.pause(1.0) is None


def test_what_is_taken_is_not_there_for_the_next_run(logins: Logins) -> None:
    path = used(logins)
    (taken,) = logins.take(0.0)
    assert not path.exists()
    assert taken.session_file.read_text() == "session"
    assert used(logins, leaves=False) == path
    assert logins.take(0.0) == []


def test_what_is_used_is_never_taken(logins: Logins) -> None:
    used(logins)
    with logins.using(THERE, ADMIN):
        assert logins.take(0.0) == []
        used(logins)
        assert logins.take(0.0) == []
    assert len(logins.take(0.0)) == 1


class Hypervisors:
    """Remembers who was logged out."""

    def __init__(self) -> None:
        self.out: list[str] = []
        self.broken = threading.Event()

    def log_out(self, kept: Sequence[Login], seconds: float) -> None:
        assert seconds > 0
        self.out += [login.hypervisor.url for login in kept]
        if not self.broken.is_set():
            self.broken.set()
            raise OSError("once")


def test_a_login_ends_after_it_was_idle_and_the_rest_when_the_runner_stops(logins: Logins) -> None:
    there = Hypervisors()
    ender = Ender(logins, there.log_out, 0.05)
    used(logins)
    wait_until(lambda: there.out == ["fake:///x"], 10, "the end of an idle login")
    used(logins, hypervisor=replace(THERE, url="fake:///y"))
    wait_until(lambda: there.out == ["fake:///x", "fake:///y"], 10, "another, although ending the first one failed")
    ender.stop(5.0)
    late = Ender(logins, there.log_out, 600.0)
    used(logins)
    late.stop(5.0)
    assert there.out[2:] == ["fake:///x"]


def test_without_time_nobody_is_logged_out(logins: Logins) -> None:
    there = Hypervisors()
    ender = Ender(logins, there.log_out, 600.0)
    used(logins)
    ender.stop(0.0)
    assert there.out == []


def test_logins_of_one_hypervisor_are_hosts_of_their_own() -> None:
    assert inventory_of_logins([{"url": "x"}, {"url": "x"}])["all"]["hosts"] == {
        "login-1": {"millwright_hypervisor": {"url": "x"}}, "login-2": {"millwright_hypervisor": {"url": "x"}},
    }  # fmt: skip
