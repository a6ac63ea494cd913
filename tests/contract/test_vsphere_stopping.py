# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A module that is told to stop while a vCenter is at work for it: its task is cancelled, its session ended."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from peers import definition
from vsphere_peers import LOGIN, VspherePeer, connection_to, make_template
from vsphere_proxy import proxy_to

from ansible_collections.millwright.virt.plugins.module_utils.drivers.base import VmRef
from ansible_collections.millwright.virt.plugins.module_utils.drivers.registry import open_driver
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.connection import Session
from tests.waiting import wait_until
from tools import vcsim

pytestmark = pytest.mark.vcsim

WEB = VmRef(name="web")
MODULE = "ansible_collections.millwright.virt.plugins.modules.vm"
PATIENCE = 60


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_module_that_is_told_to_stop_leaves_no_task_no_vm_and_no_session(tmp_path: Path, number: signal.Signals):
    with vcsim.running(tmp_path / "vcsim") as simulator, proxy_to(simulator) as proxy:
        straight = connection_to(simulator)
        session = Session(straight)
        make_template(session, "LocalDS_0")
        told = definition(VspherePeer(straight, "LocalDS_0", "VM Network")).to_dict()
        given = {"hypervisor_type": "vsphere", "url": proxy.url, "ca_path": straight.ca_path, **LOGIN}
        given |= {name: told[name] for name in ("name", "memory_mib", "disks", "nics")}
        proxy.rules["WaitForUpdatesEx"] = [60.0]
        run = subprocess.Popen(
            [sys.executable, "-m", MODULE, json.dumps({"ANSIBLE_MODULE_ARGS": given})],
            env={**os.environ, "PYTHONPATH": str(vcsim.ROOT / ".collections")},
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        wait_until(lambda: proxy.calls["WaitForUpdatesEx"], PATIENCE, "the wait for the clone")
        run.send_signal(number)
        said = run.communicate(timeout=PATIENCE)
        assert run.returncode == 128 + number, said
        assert (proxy.calls["CloneVM_Task"], proxy.calls["CancelTask"]) == (1, 1)
        manager = session.content.sessionManager
        sessions = session.read([manager], ["sessionList"])[manager]["sessionList"]
        assert [one.key for one in sessions] == [
            session.read([manager], ["currentSession.key"])[manager]["currentSession.key"]
        ]
        with open_driver(straight) as driver:
            assert (driver.find(WEB), driver.residue(WEB)) == (None, ())
        session.close()
