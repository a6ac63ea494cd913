# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Opening a connection: what libvirt is given, what is shown, and how long it may take."""

from __future__ import annotations

import socket
import time

import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import InvalidUrl, Unreachable
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt.connection import (
    is_local,
    is_test,
    open_connection,
    shown,
    target,
)


def to(url: str, **options: object) -> Connection:
    return Connection(hypervisor_type="libvirt", url=url, **options)


TARGETS = [
    (to("qemu:///system"), "qemu:///system"),
    (to("test:///default", username="u"), "test:///default"),
    (to("qemu:///embed?root=/var/tmp/x"), "qemu:///embed?root=/var/tmp/x"),
    (to("qemu+ssh://host/system"), "qemu+ssh://host/system?no_tty=1"),
    (to("qemu+ssh://host/system?no_tty=0"), "qemu+ssh://host/system?no_tty=0"),
    (to("qemu+ssh://host/system", username="a b"), "qemu+ssh://a%20b@host/system?no_tty=1"),
    (to("qemu+ssh://x@host/system", username="u"), "qemu+ssh://x@host/system?no_tty=1"),
    (to("qemu+tls://host/system", validate_certs=False), "qemu+tls://host/system?no_verify=1"),
    (to("qemu+tls://host:1/system", ca_path="/etc/pki"), "qemu+tls://host:1/system?pkipath=/etc/pki"),
    (to("qemu+unix:///system?socket=/run/x", ca_path="/p"), "qemu+unix:///system?socket=/run/x"),
]


@pytest.mark.parametrize(("connection", "url"), TARGETS, ids=lambda value: getattr(value, "url", ""))
def test_libvirt_is_given_a_url_that_never_asks_a_person(connection: Connection, url: str):
    assert target(connection) == url


def test_a_password_in_a_url_is_not_shown():
    assert shown("qemu+ssh://u:canary@host:22/system?x=1") == "qemu+ssh://u@host:22/system?x=1"
    assert shown("qemu+ssh://u@host/system") == "qemu+ssh://u@host/system"


def test_local_are_hypervisors_whose_files_are_here():
    assert is_local("qemu:///system")
    assert is_local("qemu+unix:///system?socket=/x")
    assert not is_local("qemu+ssh://host/system")
    assert not is_local("test:///default")


def test_the_mock_is_known_by_its_url():
    assert is_test("test:///default")
    assert is_test("test+unix:///default")
    assert not is_test("qemu:///system")


DEAD = ["test:///no/such/node.xml", "qemu+unix:///system?socket=/no/such/socket"]
#: Of these the host's libvirtd says that they are none.
ASKED = ["qemu:///sytem", "qemu+unix:///sytem", "qemv:///system"]
MISTYPED = [*(pytest.param(url, marks=pytest.mark.qemu) for url in ASKED), "nonsense", "qemu+foo:///system", "://"]


@pytest.mark.parametrize("url", DEAD)
def test_a_url_that_leads_nowhere_is_unreachable_in_libvirts_words(url: str, capfd: pytest.CaptureFixture[str]):
    with pytest.raises(Unreachable) as failure:
        open_connection(to(url, connect_timeout=5))
    assert f"connecting to {url} failed" in str(failure.value)
    assert failure.value.detail
    # The library that reads the mock's node file warns by itself; libvirt has to be quiet.
    assert "libvirt" not in "".join(capfd.readouterr())


@pytest.mark.parametrize("url", MISTYPED)
def test_a_url_that_libvirt_does_not_understand_is_no_hypervisor_that_is_away(url: str):
    with pytest.raises(InvalidUrl) as failure:
        open_connection(to(url, connect_timeout=5))
    assert not failure.value.retryable
    assert str(failure.value) == f"connecting to {url} failed: {failure.value.detail}"


def test_a_host_that_swallows_everything_is_given_up_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"qemu+tcp://127.0.0.1:{silent.getsockname()[1]}/system"
        started = time.monotonic()
        with pytest.raises(Unreachable, match="failed: no answer within 1 seconds"):
            open_connection(to(url, connect_timeout=1))
        assert time.monotonic() - started < 3
