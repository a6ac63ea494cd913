# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The fake hypervisor does what it is told: slow, failing, strict, dead; and tells what was done to it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import (
    AuthenticationFailed,
    Busy,
    DriverError,
    InsufficientResources,
    InvalidTemplate,
    TimedOut,
    Unreachable,
)
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake import FakeDriver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake.store import Span, Store, most_at_once
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.reconfigure import Allowed
from ansible_collections.millwright.virt.plugins.module_utils.vm.changes import changes
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import PowerAction, PowerState

WEB = VmRef(name="web")


def small(name: str = "web", **fields) -> VmDefinition:
    return VmDefinition.from_dict(
        {"name": name, "memory_mib": 64, "disks": [{"template": "/templates/guest.qcow2"}], **fields}
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def connection(store: Store, **login) -> Connection:
    return Connection(hypervisor_type="fake", url=f"fake://{store.directory}", **login)


@pytest.fixture
def driver(store: Store) -> Iterator[FakeDriver]:
    with open_driver(connection(store)) as opened:
        yield opened


def test_processes_share_the_hypervisor(store: Store, driver):
    driver.create(small())
    with open_driver(connection(store)) as other:
        assert other.find(WEB).name == "web"


def test_an_operation_takes_as_long_as_it_was_told(store: Store, driver):
    store.tell({"delays": {"create": 0.2}})
    began = time.monotonic()
    driver.create(small())
    driver.find(WEB)
    assert 0.2 <= time.monotonic() - began < 5


def test_a_failure_strikes_as_often_as_it_was_told_and_whom(store: Store, driver):
    rule = {"operation": "power_*", "vm": "we?", "times": 1, "error": "driver.busy"}
    store.tell({"failures": [rule]})
    driver.create(small())
    driver.create(small("db"))
    driver.power(VmRef(name="db"), PowerAction.ON, 10)
    with pytest.raises(Busy, match="'web'"):
        driver.power(WEB, PowerAction.ON, 10)
    assert driver.find(WEB).power is PowerState.OFF
    driver.power(WEB, PowerAction.ON, 10)


def test_a_create_that_leaves_something_says_what(store: Store, driver):
    store.tell({"failures": [{"operation": "create", "leave": True}]})
    with pytest.raises(Exception, match="left behind: default/") as failed:
        driver.create(small())
    assert failed.value.left == driver.residue(WEB) != ()


def test_a_delete_that_leaves_something_says_what(store: Store, driver):
    driver.create(small(disks=[{"size_mib": 1}, {"size_mib": 1}]))
    store.tell({"failures": [{"operation": "delete", "leave": True, "times": 1}]})
    with pytest.raises(Exception, match="left behind: default/") as failed:
        driver.delete(WEB)
    assert failed.value.left
    assert driver.find(WEB) is not None
    driver.delete(WEB)
    assert (driver.find(WEB), driver.residue(WEB)) == (None, ())


def test_what_a_killed_create_leaves_is_residue(store: Store, driver):
    store.tell({"delays": {"create": 60}})
    killed = subprocess.Popen([sys.executable, "-c", _CREATE, str(store.directory)])
    while not any(span.operation == "create" for span in store.operations()) or not driver.residue(WEB):
        assert killed.poll() is None
    killed.kill()
    killed.wait()
    assert driver.residue(WEB)
    assert [span.end for span in store.operations() if span.operation == "create"] == [None]


_CREATE = f"""
import sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[4] / ".collections")!r})
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.fake import FakeDriver
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
driver = FakeDriver.open(Connection(hypervisor_type="fake", url=f"fake://{{sys.argv[1]}}"))
disk = {{"template": "/templates/guest.qcow2"}}
driver.create(VmDefinition.from_dict({{"name": "web", "memory_mib": 64, "disks": [disk]}}))
"""


def test_of_two_creates_at_once_one_wins_and_the_vm_is_whole(store: Store, driver):
    store.tell({"delays": {"create": 0.3}})
    with ThreadPoolExecutor() as pool:
        outcomes = [pool.submit(driver.create, small()).exception for _ in range(2)]
        errors = [outcome() for outcome in outcomes]
    assert sorted(type(error).__name__ for error in errors) == ["Conflict", "NoneType"]
    assert len(store.read().pools["default"].volumes) == 1


def test_a_dead_hypervisor_is_unreachable_also_in_the_middle(store: Store, driver):
    store.tell({"unreachable": True})
    with pytest.raises(Unreachable, match=f"fake://{store.directory}"):
        driver.find(WEB)


@pytest.mark.parametrize("url", ["fake://relative", "fake:///no/such", "other:///tmp", ""])
def test_a_url_that_is_no_directory_is_unreachable(url):
    with pytest.raises(Unreachable), open_driver(Connection(hypervisor_type="fake", url=url)):
        pass


def test_with_accounts_the_password_counts(store: Store):
    store.tell({"accounts": {"admin": "right"}})
    with open_driver(connection(store, username="admin", password="right")) as driver:
        assert driver.list_vms() == ()
    for login in ({"username": "admin", "password": "wrong"}, {"username": "other", "password": "right"}, {}):
        with pytest.raises(AuthenticationFailed) as refused, open_driver(connection(store, **login)):
            pass
        assert "right" not in str(refused.value)


def test_a_session_that_nobody_keeps_ends_with_its_connection(store: Store):
    with open_driver(connection(store)):
        assert len(store.read().sessions) == 1
    assert (store.read().sessions, store.read().logins) == ([], 1)


def test_a_kept_session_needs_no_second_login_and_is_not_in_the_state_file(store: Store):
    with open_driver(connection(store)) as driver:
        session = driver.session()
    with open_driver(connection(store, session=session)):
        assert store.read().logins == 1
    assert session not in (store.directory / "state.json").read_text()


def test_a_deaf_guest_stays_on(store: Store, driver):
    store.tell({"deaf_guests": ["web"]})
    driver.create(small())
    driver.power(WEB, PowerAction.ON, 10)
    with pytest.raises(TimedOut):
        driver.power(WEB, PowerAction.SHUTDOWN, 0)
    assert driver.find(WEB).power is PowerState.ON


def test_space_memory_and_templates_are_limits(store: Store, driver):
    with pytest.raises(InsufficientResources, match="default"):
        driver.create(small(disks=[{"size_mib": 64 * 1024 * 1024}, {"size_mib": 1}]))
    with pytest.raises(InvalidTemplate, match="format raw"):
        driver.create(small(disks=[{"template": "/templates/guest.qcow2", "template_format": "raw"}]))
    with pytest.raises(InvalidTemplate, match="smaller"):
        driver.create(small(disks=[{"template": "/templates/guest.qcow2", "size_mib": 1}]))
    driver.create(small(memory_mib=2 * 1024 * 1024))
    with pytest.raises(InsufficientResources, match="memory"):
        driver.power(WEB, PowerAction.ON, 10)


def test_the_guest_speaks_on_its_serial_line(store: Store, driver):
    driver.create(small(console={"serial_log": True}))
    driver.power(WEB, PowerAction.ON, 10)
    assert Path(driver.find(WEB).serial_log).read_text() == "web is up\n"
    driver.delete(WEB)
    assert not list(store.directory.glob("*.log"))


def test_a_vm_that_does_not_start_with_other_user_data_gets_no_fingerprint_for_data(store: Store, driver):
    """Nobody here knows the old ones, so the new ones stay; the rest goes back."""
    driver.create(small(cloud_init={"user_data": "#one"}))
    driver.power(WEB, PowerAction.ON, 10)
    store.tell({"failures": [{"operation": "power_on", "times": 1}]})
    want = small(cloud_init={"user_data": "#two"}, cpu={"count": 2})
    with pytest.raises(DriverError):
        ensure_present(driver, want, dry_run=False, allowed=Allowed(power_cycle=True))
    found = driver.find(WEB)
    assert found.power is PowerState.ON
    assert changes(found.definition, small(cloud_init={"user_data": "#two"}, cpu={"count": 1})) == ()


def test_user_data_is_not_in_the_state_file(store: Store, driver):
    driver.create(small(cloud_init={"user_data": "#canary"}))
    assert "canary" not in (store.directory / "state.json").read_text()


def test_the_journal_tells_what_was_done_and_what_failed(store: Store, driver):
    store.tell({"failures": [{"operation": "power_on", "error": "driver.busy"}]})
    driver.create(small())
    with pytest.raises(Busy):
        driver.power(WEB, PowerAction.ON, 10)
    told = [(span.operation, span.vm, span.error) for span in store.operations()]
    assert told == [("open", "", ""), ("create", "web", ""), ("power_on", "web", "driver.busy")]
    assert all(span.start <= span.end for span in store.operations())


def test_the_journal_knows_how_many_ran_at_once():
    spans = [Span("create", name, start, end, "") for name, start, end in (("a", 0, 2), ("b", 1, 3), ("c", 2, 4))]
    assert most_at_once(spans) == 2
    assert most_at_once([*spans, Span("create", "killed", 0, None, "")]) == 3
    assert most_at_once([]) == 0
