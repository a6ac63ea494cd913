# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The platform's figures, as Prometheus reads them."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client.parser import text_string_to_metric_families

from runner_service.contract.topology import Topology
from tests.webapi_world import World
from webapi.database import db, utc_now
from webapi.models import Relay, Runner
from webapi.services import deadletters, outbox, updates

Sample = tuple[str, tuple[tuple[str, str], ...]]


def scrape(world: World) -> dict[Sample, float]:
    answer = world.client.get("/metrics", headers={"Authorization": f"Bearer {world.token}"})
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def of(figures: dict[Sample, float], figure: str, /, **labels: str) -> float | None:
    return figures.get((figure, tuple(sorted(labels.items()))))


def test_an_empty_platform_has_figures(world: World):
    figures = scrape(world)
    assert of(figures, "millwright_outbox_requests") == 0
    assert of(figures, "millwright_locked_vms") == 0
    assert of(figures, "millwright_relay_seen_seconds") is None
    assert of(figures, "millwright_relay_applied_seconds") is None


def test_a_datacenter_without_runners_and_dead_letters_has_figures_that_say_so(world: World):
    here = {"datacenter": world.datacenter()["id"]}
    figures = scrape(world)
    assert of(figures, "millwright_dead_letters", **here) == 0
    assert of(figures, "millwright_runners", **here) == 0


def test_runners_that_take_work_are_counted_and_no_others(world: World):
    here = {"datacenter": world.datacenter()["id"]}
    for number, (ago, stopping) in enumerate([(0, False), (0, True), (40, False)]):
        seen_at = utc_now() - timedelta(seconds=ago)
        said = {"name": "r", "sequence": 1, "stopping": stopping, "status": {}, "seen_at": seen_at}
        db.session.add(Runner(id=f"r{number}", datacenter_id=here["datacenter"], **said))
    db.session.commit()
    assert of(scrape(world), "millwright_runners", **here) == 1


def test_that_updates_are_applied_is_told_apart_from_that_requests_are_published(world: World):
    updates.tell_that_all_is_applied()
    figures = scrape(world)
    assert of(figures, "millwright_relay_applied_seconds") < 30
    assert of(figures, "millwright_relay_seen_seconds") is None


def test_they_need_a_token(world: World):
    answer = world.client.get("/metrics")
    assert (answer.status_code, answer.json["code"]) == (401, "auth.required")


def test_they_tell_what_is_asked_for_and_what_becomes_of_it(world: World):
    shop = world.site("web", "db")
    outbox.publish_pending(lambda *_: None)
    task = world.post(f"/virtualappliances/{shop['id']}/deploy")
    asked = scrape(world)
    assert of(asked, "millwright_outbox_requests") == 2
    assert of(asked, "millwright_open_requests") == 0
    assert of(asked, "millwright_locked_vms") == 2
    assert of(asked, "millwright_tasks", state="QUEUED") == 1
    assert of(asked, "millwright_tasks", state="FINISHED_SUCCESSFULLY") == 1, "the discovery; parts are not counted"
    assert of(asked, "millwright_jobs", state="PENDING", operation="configure") == 2
    assert of(asked, "millwright_jobs", state="DONE", operation="discover") is None, "its task has ended"
    outbox.publish_pending(lambda *_: None)
    world.runner(task).work()
    half = scrape(world)
    assert of(half, "millwright_outbox_requests") == 0
    assert of(half, "millwright_open_requests") == 1
    assert of(half, "millwright_locked_vms") == 1
    assert of(half, "millwright_jobs", state="DONE", operation="power_on") == 1
    assert of(half, "millwright_jobs", state="PENDING", operation="power_on") == 1


def test_they_tell_of_dead_letters_and_of_who_was_last_seen_when(world: World):
    datacenter = world.datacenter()
    deadletters.keep(Topology(datacenter["id"]), "out", b"?", "why")
    ago = utc_now() - timedelta(seconds=40)
    relay = db.session.get(Relay, Relay.PUBLISHES)
    assert relay is not None
    relay.seen_at = ago
    db.session.add(
        Runner(
            id="r1", datacenter_id=datacenter["id"], name='of "Anna"', sequence=1, stopping=False, status={},
            seen_at=ago,
        )
    )  # fmt: skip
    db.session.commit()
    figures = scrape(world)
    assert of(figures, "millwright_dead_letters", datacenter=datacenter["id"]) == 1
    assert 40 <= of(figures, "millwright_relay_seen_seconds") < 100
    runner = {"datacenter": datacenter["id"], "runner": "r1", "name": 'of "Anna"'}
    assert 40 <= of(figures, "millwright_runner_seen_seconds", **runner) < 100
