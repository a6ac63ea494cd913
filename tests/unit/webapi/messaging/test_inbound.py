# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of updates that come together, and of one that trips the relay."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pika.exceptions import AMQPError
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from runner_service.contract.control import Word
from runner_service.contract.states import Event
from runner_service.contract.topology import Topology
from tests.webapi_world import World, observed
from webapi.database import db
from webapi.messaging import broker, inbound
from webapi.messaging.inbound import Inbound
from webapi.services import failing, missing, updates


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
        self.say(7, self.runner.update(self.runner.root.id, Event.START).encode())

    def say(self, first: int, *bodies: bytes) -> None:
        """They come together, with delivery tags from ``first`` on."""
        for tag, body in enumerate(bodies, first):
            self._inbound._on_update(self._topology, self.channel, SimpleNamespace(delivery_tag=tag), None, body)
        self._inbound.apply_waiting()

    def whole_run(self) -> list[bytes]:
        """What a runner says of a deploy that goes well."""
        runner, said = self.runner, [self.runner.update(self.runner.root.id, Event.START)]
        for job, power in zip(runner.root.children, ("off", "on"), strict=True):
            said.append(runner.update(job.id, Event.START))
            said.append(runner.update(job.id, Event.DONE, changed=True, vm=observed(power)))
        said.append(runner.update(runner.root.id, Event.DONE))
        return [update.encode() for update in said]


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


def test_updates_that_come_together_are_one_transaction(world: World, site: Site):
    commits: list[object] = []
    count = commits.append
    event.listen(db.session, "after_commit", count)
    try:
        site.say(1, *site.whole_run())
    finally:
        event.remove(db.session, "after_commit", count)
    assert len(commits) == 1
    assert site.channel.acknowledged == [1, 2, 3, 4, 5, 6]
    assert world.get(f"/tasks/{site.task['id']}")["state"] == "FINISHED_SUCCESSFULLY"
    assert world.vm({"id": site.task["owner"]["id"]})["state"] == "ON"


def test_one_that_trips_us_keeps_no_other_from_being_applied(world: World, site: Site):
    said = site.whole_run()
    site.say(1, *said[:3], b"rubbish", *said[3:])
    assert site.channel.acknowledged == [1, 2, 3, 4, 5, 6, 7]
    assert [letter["reason"][:15] for letter in world.get("/deadletters")["items"]] == ["message.invalid"]
    assert world.get(f"/tasks/{site.task['id']}")["state"] == "FINISHED_SUCCESSFULLY"


@pytest.mark.parametrize("error", [AMQPError("gone"), OperationalError("", None, Exception("gone"))])
def test_what_came_in_vain_together_is_not_acknowledged(
    world: World, site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
):
    with monkeypatch.context() as patch:
        patch.setattr(updates, "_apply_to_node", _trip(error))
        with pytest.raises(type(error)):
            site.say(1, *site.whole_run())
    assert site.channel.acknowledged == []
    assert world.get(f"/tasks/{site.task['id']}")["state"] == "QUEUED"
    assert world.get("/deadletters")["items"] == []


def test_more_than_a_transaction_should_hold_are_several(site: Site, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    monkeypatch.setattr(updates, "apply", lambda *together: sizes.append(len(together)) or [None] * len(together))
    site.say(1, *site.whole_run() * 7)
    assert sizes == [20, 20, 2]
    assert site.channel.acknowledged == list(range(1, 43))


def test_the_answer_to_who_asks_is_told_after_what_it_rests_on_is_committed(
    site: Site, monkeypatch: pytest.MonkeyPatch
):
    told: list[tuple[bool, Word]] = []
    monkeypatch.setattr(
        broker, "tell", lambda _channel, _topology, word: told.append((db.session().in_transaction(), word))
    )
    later = type(site.runner)(site.runner.request, attempt=2)
    site.say(1, *site.whole_run(), later.update(later.root.id, Event.AGAIN).encode())
    [(in_transaction, word)] = told
    assert not in_transaction
    assert (word.go, word.attempt) == (False, 2)


# -- what nobody has


@pytest.mark.parametrize(("requests", "updates", "found"), [
    ((0, 1), (0, 1), True),
    ((1, 1), (0, 1), False),
    ((0, 1), (1, 1), False),
    ((0, 0), (0, 1), False),
    ((0, 1), (0, 0), False),
], ids=["both empty", "it waits", "its end waits", "no leader", "no leader of updates"])  # fmt: skip
def test_a_queue_is_empty_only_if_it_has_a_leader_who_says_so(
    site: Site, monkeypatch: pytest.MonkeyPatch, requests: tuple[int, int], updates: tuple[int, int], found: bool
):
    """A quorum queue without one says that it has no messages; but then it has no consumers either."""
    topology, written = site._topology, []
    queue = topology.in_queue(0)
    counts = {queue: requests, topology.out_queue: updates}

    def declared(name: str, passive: bool) -> SimpleNamespace:
        assert passive
        return SimpleNamespace(method=SimpleNamespace(message_count=counts[name][0], consumer_count=counts[name][1]))

    monkeypatch.setattr(site.channel, "queue_declare", declared, raising=False)
    monkeypatch.setattr(missing, "unheld", lambda: [missing.Unheld(topology, queue, frozenset({"lost"}))])
    monkeypatch.setattr(missing, "write_down", written.append)
    site._inbound._consumed.add(topology.datacenter_id)
    site._inbound._looked = float("-inf")
    site._inbound._look_for_missing()
    assert written == [frozenset({"lost"} if found else ())]
