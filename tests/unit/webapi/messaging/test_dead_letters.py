# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What can be told of a dead letter."""

from __future__ import annotations

import pika
import pytest

from runner_service.contract.topology import REASON_HEADER
from webapi.messaging.broker import reason_of
from webapi.services.deadletters import request_id_of


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({REASON_HEADER: "no such operation", "x-death": [{"reason": "rejected"}]}, "no such operation"),
        ({"x-death": [{"reason": "delivery_limit"}]}, "no runner survived it"),
        ({"x-first-death-reason": "expired"}, "no runner took it in time"),
        ({"x-death": [{"reason": "maxlen"}]}, "the broker says maxlen"),
        ({}, "unknown"),
        (None, "unknown"),
    ],
)
def test_the_reason_is_the_runners_or_else_the_brokers(headers: dict | None, reason: str):
    assert reason in reason_of(pika.BasicProperties(headers=headers))


@pytest.mark.parametrize(
    ("body", "request_id"),
    [
        (b'{"id": "r1", "version": 99, "operation": "unheard of"}', "r1"),
        (b'{"request_id": "r1", "node_id": "n1", "event": "unheard of"}', "r1"),
        (b'{"id": 5}', None),
        (rb'{"id": "\ud800"}', None),
        (b'{"id": "two words"}', None),
        (b"[1]", None),
        (b"{", None),
        (b"\xff", None),
        (b"[" * 100_000, None),
    ],
)
def test_the_id_of_a_request_is_found_however_broken_the_rest_is(body: bytes, request_id: str | None):
    assert request_id_of(body) == request_id
