# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long the owner of a cancelled task has to wait for what still runs of it."""

from __future__ import annotations

from dataclasses import dataclass

from .steps import Start


@dataclass(frozen=True, kw_only=True)
class Patience:
    """Times in seconds, of one job's run, from the cancel or from when it got its session, whichever is later."""

    #: Of a run that only asks. One that is ended has no answer: what it was to find out counts as not done.
    asking: float = 3.0
    #: Of one that takes back what was done, and that is what consistency needs most. One that is ended is asked about,
    #: and has failed unless that says otherwise.
    undoing: float = 30.0

    def with_run(self, start: Start) -> float | None:
        """None: it is stopped at once, as the core says."""
        if start.check:
            return self.asking
        return self.undoing if start.undo else None
