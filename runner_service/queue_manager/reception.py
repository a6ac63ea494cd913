# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a message that came in: a delivery, rubbish, or a message that was delivered far too often."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import pika

from ..contract.control import Control, decode_control
from ..contract.messages import InvalidMessage, TaskRequest
from ..contract.topology import AGAIN_HEADER, ATTEMPTS_HEADER
from ..ports import Delivery, Tag

log = logging.getLogger(__name__)

#: How often a message may have been delivered before it is published anew, so that the broker begins to count again:
#: it counts a crash against all that a runner holds, and gives a message up after topology.DELIVERY_LIMIT.
RENEW_AFTER = 20
#: Seconds in its queue after which a request may have been cancelled meanwhile. In a runner it waits under its eyes.
LONG = 5


class Listener(Protocol):
    """Who is told what comes in; called on the consumer's thread, must return at once."""

    def take(self, delivery: Delivery) -> None: ...

    def told(self, message: Control) -> None: ...

    def connection_lost(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Message:
    """A message as the broker handed it over."""

    body: bytes
    partition: int
    tag: Tag
    #: How often it was delivered, with this time, from 1; those before it was published anew included.
    attempt: int
    #: How often the broker has counted it.
    counted: int
    #: The API must be asked before it is begun: it may have been handed over before, or has waited so long that it may
    #: have been cancelled meanwhile, when nobody was there to hear of that.
    again: bool

    @classmethod
    def of(cls, method: Any, properties: pika.BasicProperties, body: bytes, *, partition: int, tag: Tag) -> Self:
        headers = properties.headers or {}
        counted = _number(headers.get("x-delivery-count"), default=int(method.redelivered))
        before = _number(headers.get(ATTEMPTS_HEADER))
        attempt = before + counted + 1
        again = attempt > 1 or bool(method.redelivered) or bool(headers.get(AGAIN_HEADER)) or _has_waited(properties)
        return cls(body=body, partition=partition, tag=tag, attempt=attempt, counted=counted, again=again)

    def renewed_headers(self) -> dict[str, Any]:
        """Headers with which it goes to its queue anew."""
        return {AGAIN_HEADER: True, ATTEMPTS_HEADER: self.attempt}


def _has_waited(properties: pika.BasicProperties) -> bool:
    """By two machines' clocks: if they differ, it is asked about in vain, or not."""
    published_at = properties.timestamp
    return isinstance(published_at, int) and time.time() - published_at > LONG


def _number(value: Any, default: int = 0) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


@dataclass(frozen=True)
class Reception:
    """Sorts what comes in. ``bury`` is given a message that is no request, and why; ``renew`` one that was delivered
    so often that the broker would soon give it up."""

    listener: Listener
    bury: Callable[[Message, str], None]
    renew: Callable[[Message], None]

    def received(self, message: Message) -> None:
        if message.counted >= RENEW_AFTER:
            self.renew(message)
            return
        try:
            request = TaskRequest.decode(message.body)
        except InvalidMessage as error:
            self.bury(message, str(error))
            return
        except Exception as error:  # its own outermost loop: on a new connection it would only come again
            log.exception("a message could not be read")
            self.bury(message, f"a defect in the runner ({type(error).__name__}), of which its log has more")
            return
        self.listener.take(
            Delivery(
                request=request,
                attempt=message.attempt,
                tag=message.tag,
                partition=message.partition,
                again=message.again,
            )
        )


def control_of(body: bytes) -> Control | None:
    """A control message that we understand; one that we do not is passed over, as it may be a newer sender's."""
    try:
        return decode_control(body)
    except InvalidMessage as error:
        log.warning("a control message was not understood: %s", error)
        return None
