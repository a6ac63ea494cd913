# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A vCenter gives long answers in pages; the simulator never does."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
from pyVmomi import SoapAdapter, vim, vmodl

from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import (
    bulk,
    collector,
    connection,
    waiting,
)

PAGES = (("web", "shop"), ("mail",), ("gold",))


class Server:
    """Gives the pages one after the other, each but the last with the token of the next."""

    def __init__(self):
        self.asked: list[str] = []

    def page(self, token: str) -> tuple[tuple[str, ...], str | None]:
        self.asked.append(token)
        number = int(token or 0)
        return PAGES[number], str(number + 1) if number + 1 < len(PAGES) else None


@pytest.fixture
def server() -> Server:
    return Server()


def test_all_pages_of_a_list_of_vms_are_read(server: Server, monkeypatch: pytest.MonkeyPatch):
    def post(_stub: object, body: bytes) -> tuple[int, bytes]:
        asked = re.search(rb"<token[^>]*>([^<]*)", body)
        names, token = server.page(asked[1].decode() if asked else "")
        objects = "".join(
            f'<objects><obj type="VirtualMachine">vm-{name}</obj><propSet><name>name</name>'
            f'<val xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xsd:string">{name}</val></propSet>'
            "</objects>"
            for name in names
        )
        told = f"<token>{token}</token>" if token else ""
        method = "ContinueRetrievePropertiesEx" if asked else "RetrievePropertiesEx"
        return 200, (
            f'<Envelope><Body><{method}Response xmlns="urn:vim25"><returnval>{told}{objects}</returnval>'
            f"</{method}Response></Body></Envelope>"
        ).encode()

    monkeypatch.setattr(bulk, "_post", post)
    stub = SoapAdapter.SoapStubAdapter(host="nowhere.invalid")
    view = vim.view.ContainerView("view", stub)
    found = bulk.read_vms(stub, vmodl.query.PropertyCollector("collector", stub), view, ["name"])
    assert [told["name"] for told in found.values()] == ["web", "shop", "mail", "gold"]
    assert server.asked == ["", "1", "2"]


def test_all_pages_of_properties_are_read(server: Server):
    def answer(token: str) -> SimpleNamespace:
        names, following = server.page(token)
        objects = [SimpleNamespace(obj=name, propSet=[SimpleNamespace(name="name", val=name)]) for name in names]
        return SimpleNamespace(objects=objects, token=following)

    paged = SimpleNamespace(
        RetrievePropertiesEx=lambda *_what: answer(""), ContinueRetrievePropertiesEx=lambda token: answer(token)
    )
    found = collector.read(paged, [vim.VirtualMachine("vm-1")], ["name"])
    assert list(found) == ["web", "shop", "mail", "gold"]
    assert server.asked == ["", "1", "2"]


def test_a_call_may_take_longer_than_one_wait_for_changes():
    assert connection.CALL_TIMEOUT > 2 * waiting.ONE_WAIT
