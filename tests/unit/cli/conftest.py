# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The command line against the fake API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tests.unit.cli.fake_api import TOKEN, FakeApi, make_app
from tests.unit.cli.serving import served
from webapi.cli import tree
from webapi.cli.main import main

Millwright = Callable[..., Result]

SHOP = """\
name: shop
virtualdatacenter: lab
vms:
  - {name: web1, template: tiny, memory_mib: 256}
  - {name: web2, template: tiny, memory_mib: 512, cpu: {count: 2}}
"""


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tree, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(tree, "LONGEST_PAUSE", 0.001)


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture
def address(api: FakeApi) -> Iterator[str]:
    with served(make_app(api)) as url:
        yield url


@pytest.fixture
def millwright(address: str) -> Millwright:
    """Run ``millwright`` with these words."""

    def run(*words: str, stdin: str | None = None) -> Result:
        environment = {"MILLWRIGHT_API": address, "MILLWRIGHT_TOKEN": TOKEN}
        return CliRunner().invoke(main, words, input=stdin, env=environment, catch_exceptions=False)

    return run


@pytest.fixture
def ok(millwright: Millwright) -> Callable[..., str]:
    """Run ``millwright``, which must go well; give its standard output."""

    def run(*words: str, stdin: str | None = None) -> str:
        result = millwright(*words, stdin=stdin)
        assert result.exit_code == 0, result.output
        return result.stdout

    return run


@pytest.fixture
def as_json(ok: Callable[..., str]) -> Callable[..., dict]:
    """Run ``millwright -o json``; give what it answers."""
    return lambda *words, stdin=None: json.loads(ok(*words, "-o", "json", stdin=stdin))


@pytest.fixture
def lab(api: FakeApi) -> None:
    """A datacenter with a hypervisor, a template and a virtual datacenter."""
    here = {"datacenter_id": api.create_datacenters({"name": "dc1"})["id"]}
    api.create_hypervisors({"name": "kvm-1", "type": "libvirt", "url": "qemu:///system", **here})
    api.create_templates({"name": "tiny", "path": "/images/tiny.qcow2", "format": "qcow2", **here})
    api.create_virtualdatacenters({"name": "lab", "hypervisor_type": "libvirt", **here})


@pytest.fixture
def shop(lab: None, ok: Callable[..., str], tmp_path: Path) -> None:
    """A virtual appliance of two VMs, not deployed."""
    file = tmp_path / "shop.yml"
    file.write_text(SHOP)
    ok("vapp", "create", "-f", str(file))
