# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a message that came in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import SimpleNamespace

import pika
import pytest

from runner_service.contract.control import Control
from runner_service.contract.messages import TaskRequest
from runner_service.ports import Delivery, Tag
from runner_service.queue_manager.reception import LONG, RENEW_AFTER, Message, Reception
from tests.requests import DEPLOY, chain, request


@dataclass
class Desk:
    """Remembers where each message went."""

    taken: list[Delivery] = field(default_factory=list)
    buried: list[str] = field(default_factory=list)
    renewed: list[Message] = field(default_factory=list)

    def take(self, delivery: Delivery) -> None:
        self.taken.append(delivery)

    def told(self, message: Control) -> None: ...

    def connection_lost(self) -> None: ...

    def receive(self, body: bytes, counted: int = 0) -> None:
        message = Message(
            body=body, partition=0, tag=Tag(1, 1), attempt=counted + 1, counted=counted, again=counted > 0
        )
        Reception(self, lambda _message, reason: self.buried.append(reason), self.renewed.append).received(message)


GOOD = request(chain("web", *DEPLOY)).encode()


def test_a_request_is_taken_and_rubbish_is_buried() -> None:
    desk = Desk()
    desk.receive(GOOD)
    desk.receive(b"rubbish")
    assert len(desk.taken) == len(desk.buried) == 1
    assert "not JSON" in desk.buried[0]


def test_a_message_that_meets_a_defect_of_ours_is_buried_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def unsound(_body: bytes) -> TaskRequest:
        raise RecursionError

    monkeypatch.setattr(TaskRequest, "decode", unsound)
    desk = Desk()
    desk.receive(GOOD)
    assert (desk.taken, len(desk.buried)) == ([], 1)
    assert "RecursionError" in desk.buried[0]


def test_a_message_that_the_broker_counted_often_is_published_anew() -> None:
    desk = Desk()
    desk.receive(GOOD, counted=RENEW_AFTER)
    assert (desk.taken, [message.attempt for message in desk.renewed]) == ([], [RENEW_AFTER + 1])


@pytest.mark.parametrize(("waited", "again"), [(0, False), (LONG + 2, True), (-3600, False), (None, False)])
def test_what_waited_long_for_a_runner_is_asked_about(waited: int | None, again: bool) -> None:
    """Nobody was there to hear that it is to be cancelled."""
    timestamp = None if waited is None else int(time.time()) - waited
    method = SimpleNamespace(redelivered=False)
    message = Message.of(method, pika.BasicProperties(timestamp=timestamp), GOOD, partition=0, tag=Tag(1, 1))
    assert (message.attempt, message.again) == (1, again)
