# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the seeds have come to: a line for each, a file for all, and what is kept of those that broke a promise."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from tools.chaos.seen import Kind
from tools.chaos.sizes import SIZES
from tools.chaos.trial import Result


class Report:
    """``chaos.json`` in a directory, whole after every seed, so that a run that was cut off shows what it has done."""

    def __init__(self, into: Path):
        self.into = into
        #: What failed seeds have left, each in a directory of its number.
        self.kept = into / "chaos"
        self.results: list[Result] = []

    @property
    def broken(self) -> bool:
        return any(result.findings for result in self.results)

    def add(self, result: Result) -> None:
        self.results = sorted([*self.results, result], key=lambda each: each.seed)
        self.into.mkdir(parents=True, exist_ok=True)
        written = self.into / "chaos.json.new"
        written.write_text(json.dumps([each.to_dict() for each in self.results], indent=1) + "\n")
        written.replace(self.into / "chaos.json")


def line(result: Result) -> str:
    """One line, and what was found below it."""
    cost = f"{result.seconds:6.1f} s {result.cpu_seconds:6.1f} cpu"
    done = f"{result.vms:>3} VMs {result.operations:>4} operations {result.tasks:>3} tasks"
    verdict = "ok" if not result.findings else f"{len(result.findings)} FINDINGS"
    lines = [f"seed {result.seed:>4} {result.form:<5} {cost}  {done}  killed {_counted(result.kills)}  {verdict}"]
    if result.ended:
        # No broken promise, as a supervisor starts it again; but somebody should know why.
        lines.append(f"    ended by themselves: {_counted(result.ended)}")
    lines += [f"    {finding.kind}: {finding.text}" for finding in result.findings]
    if result.findings:
        again = f"python -m tools.chaos --seed {result.seed} --form {result.form}"
        lines.append(f"    logs: {result.kept}; again: {again}")
    return "\n".join(lines)


def _counted(processes: dict[str, int]) -> str:
    return " ".join(f"{name}:{count}" for name, count in processes.items()) or "nobody"


def table(results: list[Result]) -> str:
    """What all seeds have come to, together and by form."""
    forms = {name: [each for each in results if each.form == name] for name in SIZES}
    columns = {**{name: _totals(some) for name, some in forms.items() if some}, "all": _totals(results)}
    rows = [f"{'':<22}" + "".join(f"{name:>10}" for name in columns)]
    for name in columns["all"]:
        rows.append(f"{name:<22}" + "".join(f"{column.get(name, 0):>10,}" for column in columns.values()))
    return "\n".join(rows)


def _totals(results: Iterable[Result]) -> dict[str, int]:
    told = [result.to_dict() for result in results]
    totals = {"seeds": len(told)}
    totals |= {name: round(sum(each[name] for each in told)) for name in _SUMMED}
    victims = sorted({victim for each in told for victim in each["kills"]})
    totals |= {f"kills: {victim}": sum(each["kills"].get(victim, 0) for each in told) for victim in victims}
    return totals | {kind.value: sum(each[kind.value] for each in told) for kind in Kind}


_SUMMED = ("seconds", "cpu_seconds", "vms", "tasks", "cancels", "operations")
