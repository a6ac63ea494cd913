# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What all parts of the orchestrator work with: its rules, and the state that its one thread owns."""

from __future__ import annotations

import queue
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from .companions import Companions
from .core.lanes import Lanes
from .core.patience import Patience
from .core.retry import RetryRule
from .intake import Requests
from .membership import FENCE, Membership
from .ports import Broker
from .timers import Timers


@dataclass(frozen=True, kw_only=True)
class OrchestratorRules:
    """Bounds that the orchestrator keeps. Times in seconds."""

    name: str
    max_runs: int = 8
    #: Runs that are at their start at once.
    starts: int = 2
    partitions: int = 1
    retry: RetryRule = RetryRule()
    patience: Patience = Patience()
    fence: float = FENCE
    runner_id: str = field(default_factory=lambda: str(uuid.uuid4()))


class Context:
    """Touched by the orchestrator's thread only, but for the inbox: what is put there is called on that thread."""

    def __init__(self, broker: Broker, rules: OrchestratorRules, companions: Companions):
        self.broker = broker
        self.rules = rules
        self.metrics = companions.metrics
        self.alive = companions.alive
        self.inbox: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self.lanes = Lanes(rules.max_runs)
        self.timers = Timers()
        self.requests = Requests()
        self.membership = Membership(broker, rules, self.inbox.put)
