# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of an update that trips the relay."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from sqlalchemy.exc import OperationalError

from runner_service.contract.states import Event
from runner_service.contract.topology import Topology
from tests.webapi_world import World
from webapi.messaging import inbound
from webapi.messaging.inbound import Inbound
from webapi.services import failing, updates


class Channel:
    """One to which nothing comes; it notes what is acknowledged."""

    def __init__(self) -> None:
        self.acknowledged: list[int] = []

    def confirm_delivery(self) -> None: ...

    def basic_qos(self, prefetch_count: int) -> None: ...

    def basic_ack(self, delivery_tag: int) -> None:
        self.acknowledged.append(delivery_tag)


class Site:
    """A deploy of a VM, and what its runner says of it as it comes to the relay."""

    def __init__(self, world: World):
        [vm] = world.site("web")["vms"]
        self.task = world.post(f"/vms/{vm['id']}/deploy")
        self.runner = world.runner(self.task)
        [datacenter] = world.get("/datacenters")["items"]
        self._topology = Topology(datacenter["id"], datacenter["partitions"])
        self.channel = Channel()
        self._inbound = Inbound(SimpleNamespace(channel=lambda: self.channel))

    def say_start(self) -> None:
        body = self.runner.update(self.runner.root.id, Event.START).encode()
        self._inbound._on_update(self._topology, self.channel, SimpleNamespace(delivery_tag=7), None, body)


@pytest.fixture
def site(world: World) -> Site:
    return Site(world)


def _trip(error: Exception) -> object:
    def trip(*_: object, **__: object) -> None:
        raise error

    return trip


def test_it_is_kept_and_what_it_is_about_ends(world: World, site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(updates, "_apply_to_node", _trip(TypeError("a defect \udce4")))
    monkeypatch.setattr(inbound.log, "propagate", False)  # pytest-xdist cannot pass such a text on
    site.say_start()
    assert site.channel.acknowledged == [7]
    [letter] = world.get(f"/deadletters?task_id={site.task['id']}")["items"]
    assert letter["reason"] == r"update.inapplicable: TypeError: a defect \udce4"
    task = world.get(f"/tasks/{site.task['id']}")
    assert (task["state"], letter["id"] in task["error"]["message"]) == ("FINISHED_UNSUCCESSFULLY", True)
    assert world.vm({"id": site.task["owner"]["id"]})["locked_by"] is None


def test_if_to_end_it_trips_us_too_it_is_kept_nevertheless(world: World, site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(updates, "_apply_to_node", _trip(TypeError("a defect")))
    monkeypatch.setattr(failing, "_fail_parts", _trip(KeyError("another one")))
    site.say_start()
    assert site.channel.acknowledged == [7]
    [letter] = world.get("/deadletters")["items"]
    assert "a defect; to end its request failed, too: KeyError: 'another one'" in letter["reason"]
    assert world.get(f"/tasks/{site.task['id']}")["state"] == "QUEUED"


def test_nothing_is_kept_while_the_database_is_gone(world: World, site: Site, monkeypatch: pytest.MonkeyPatch):
    """Not even if it went in between: the update comes again."""
    monkeypatch.setattr(updates, "_apply_to_node", _trip(TypeError("a defect")))
    monkeypatch.setattr(failing, "_fail_parts", _trip(OperationalError("", None, Exception("gone"))))
    with pytest.raises(OperationalError):
        site.say_start()
    assert (site.channel.acknowledged, world.get("/deadletters")["items"]) == ([], [])
