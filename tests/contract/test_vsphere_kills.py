# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that are killed while a vCenter is at work for them: it goes on, and nothing is doubled and nothing left."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from peers import definition
from vsphere_peers import VspherePeer, connection_to, make_template
from vsphere_proxy import Proxy, proxy_to

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection, VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Busy
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import vms
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from ansible_collections.millwright.virt.plugins.module_utils.ensure import Result, ensure_absent, ensure_present
from tests.waiting import wait_until
from tools import vcsim

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
PATH = str(vcsim.ROOT / ".collections")
#: A run in a process of its own.
RUN = """
import json, sys
from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import Connection
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.ensure import ensure_present
from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import VmDefinition
connection, want = json.load(sys.stdin)
with open_driver(Connection(**connection)) as driver:
    ensure_present(driver, VmDefinition.from_dict(want), dry_run=False)
"""


class Place:
    """A vCenter with a template, and a line to it that shows how it looks while it is at work."""

    def __init__(self, simulator: vcsim.Simulator, proxy: Proxy):
        self.proxy = proxy
        self.straight = connection_to(simulator)
        self.connection = replace(self.straight, url=proxy.url)
        self.want = definition(VspherePeer(self.straight, "LocalDS_0", "VM Network"))

    def kill_in_mid_clone(self) -> None:
        """The vCenter has heard of the clone; who has asked for it is killed before the answer."""
        self.proxy.rules["WaitForUpdatesEx"] = [60.0]
        told = {
            name: getattr(self.connection, name)
            for name in ("hypervisor_type", "url", "username", "password", "ca_path")
        }
        run = subprocess.Popen(
            [sys.executable, "-c", RUN], stdin=subprocess.PIPE, env={**os.environ, "PYTHONPATH": PATH}
        )
        run.stdin.write(json.dumps([told, self.want.to_dict()]).encode())
        run.stdin.close()
        wait_until(lambda: self.proxy.calls["WaitForUpdatesEx"], 60, "the wait for the clone")
        run.kill()
        run.wait()
        self.proxy.released.set()
        self.proxy.coming = "web"

    def ask(
        self, step: Callable[..., Result], *, dry_run: bool = False, connection: Connection | None = None
    ) -> Result:
        what = self.want if step is ensure_present else WEB
        with open_driver(connection or self.connection) as driver:
            return step(driver, what, dry_run=dry_run)

    def files(self) -> set[str]:
        with open_driver(self.straight) as driver:
            return VspherePeer(self.straight, "LocalDS_0", "VM Network").files(driver)

    def names(self) -> list[str]:
        """Of all VMs, whole or not, but for the template."""
        with open_driver(self.straight) as driver:
            return [told["name"] for told in driver._vms._every(("name", "config.template")).values()]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with vcsim.running(tmp_path / "vcsim") as simulator, proxy_to(simulator) as proxy:
        session = Session(connection_to(simulator))
        make_template(session, "LocalDS_0")
        session.close()
        yield Place(simulator, proxy)


@pytest.mark.parametrize("step", [ensure_present, ensure_absent])
def test_who_comes_after_a_kill_in_mid_clone_waits_for_the_clone_and_clears_it(
    place: Place, step: Callable[..., Result]
):
    before = place.files()
    place.kill_in_mid_clone()
    arrival = threading.Timer(1.0, place.proxy.arrive)
    arrival.start()
    assert place.ask(step).changed
    arrival.join()
    assert place.names() == (["web"] if step is ensure_present else [])
    assert not place.ask(step).changed
    again = place.files()
    assert len([name for name in again - before if name.endswith(".vmx")]) == len(place.names())
    if step is ensure_present:
        place.ask(ensure_absent)
    assert place.files() == before


@pytest.mark.parametrize("dry_run", [True, False])
@pytest.mark.parametrize("step", [ensure_present, ensure_absent])
def test_a_clone_that_takes_long_is_told_as_work_under_way(
    place: Place, step: Callable[..., Result], dry_run: bool, monkeypatch: pytest.MonkeyPatch
):
    """Nobody is told that there is nothing, as long as something comes."""
    monkeypatch.setattr(vms, "SETTLE_TIMEOUT", 1)
    place.kill_in_mid_clone()
    place.proxy.arrived.set()
    with pytest.raises(Busy, match="only just being made") as busy:
        place.ask(step, dry_run=dry_run)
    assert (busy.value.retryable, busy.value.begun) == (True, False)
    place.proxy.arrive()
    assert place.ask(step).changed
    assert place.names() == (["web"] if step is ensure_present else [])
