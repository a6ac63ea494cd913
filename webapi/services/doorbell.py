# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's doorbell: whoever commits work for it rings, so that it need not look all the time.

A ring is an empty datagram to the address that the publishing relay wrote into its row. It may get lost, or reach
nobody: the relay looks every second anyway. So it works over several machines, and nothing depends on it."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

from sqlalchemy import event, select

from ..database import db
from ..models import Relay

_ADDRESS = "bell"


def ring_after_commit() -> None:
    """Ring once the caller's transaction is committed; once, however often it is asked to."""
    if _ADDRESS not in db.session.info:
        db.session.info[_ADDRESS] = db.session.scalar(select(Relay.bell).filter_by(id=Relay.PUBLISHES))


def ring(address: str) -> None:
    """Raises nothing, waits for nothing: an address that is none is nobody's."""
    host, _, port = address.rpartition(":")
    with (
        contextlib.suppress(OSError, ValueError, OverflowError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bell,
    ):
        bell.settimeout(0)
        bell.sendto(b"", (socket.inet_ntoa(socket.inet_aton(host)), int(port)))


def _committed(session: Any) -> None:
    if address := session.info.pop(_ADDRESS, None):
        ring(address)


def _rolled_back(session: Any) -> None:
    session.info.pop(_ADDRESS, None)


event.listen(db.session, "after_commit", _committed)
event.listen(db.session, "after_rollback", _rolled_back)
