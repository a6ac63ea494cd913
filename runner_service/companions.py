# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who else has a part in an orchestrator's work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from .contract.operations import Operation
from .ports import Metrics, Solitary
from .solitary import SolitaryProcess


class Uncounted:
    """Metrics that nobody wants."""

    def job_ended(self, operation: Operation, code: str | None, seconds: float) -> None: ...

    def waited(self, operation: Operation, seconds: float) -> None: ...

    def retried(self, operation: Operation) -> None: ...

    def dead_letter(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Companions:
    """Who else has a part in a runner's work."""

    #: Called about every second while the broker is heard of. Who waits for it in vain knows that the runner may have
    #: been replaced.
    alive: Callable[[], None] = lambda: None
    solitary: Solitary = field(default_factory=SolitaryProcess)
    metrics: Metrics = field(default_factory=Uncounted)
