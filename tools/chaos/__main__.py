# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``python -m tools.chaos --seeds 100``: kill processes while VMs are deployed and undeployed, and look what is left.

Prints a line for every seed and a table at the end, writes build/chaos.json, and ends with 1 if any promise was broken.
A seed that broke one keeps its logs and hypervisors in the directory; ``--seed N`` repeats it.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tools.chaos.audit import Kind
from tools.chaos.plan import LONG, SHORT, plan_of
from tools.chaos.servers import Servers
from tools.chaos.trial import Result, Trial
from tools.stack import ROOT

DIRECTORY = ROOT / ".run" / "chaos"
REPORT = ROOT / "build" / "chaos.json"


def main() -> None:
    chosen = _arguments()
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    with _alone(chosen.directory):
        results = run(seeds, chosen.directory, short=chosen.short)
    print(table(results))
    sys.exit(any(result.findings for result in results))


def run(seeds: Iterable[int], directory: Path, *, short: bool, report: Path = REPORT) -> list[Result]:
    """Run the seeds one after the other, and write the report after each."""
    servers = Servers(directory / "servers")
    results: list[Result] = []
    try:
        for seed in seeds:
            plan = plan_of(seed, SHORT if short else LONG)
            results.append(Trial(plan, directory / f"seed-{seed}", servers).run())
            print(line(results[-1], directory, short=short), flush=True)
            report.parent.mkdir(exist_ok=True)
            report.write_text(json.dumps([result.to_dict() for result in results], indent=1))
    finally:
        servers.stop()
    return results


def line(result: Result, directory: Path, *, short: bool) -> str:
    """One line, and what was found below it."""
    killed = " ".join(f"{name}:{count}" for name, count in result.kills.items())
    verdict = "ok" if not result.findings else f"{len(result.findings)} FINDINGS"
    done = f"{result.vms:>3} VMs  {result.operations:>4} operations  {result.tasks:>3} tasks"
    lines = [f"seed {result.seed:>4}  {result.seconds:6.1f} s  {done}  killed {killed or 'nobody'}  {verdict}"]
    lines += [f"    {finding.kind}: {finding.text}" for finding in result.findings]
    if result.findings:
        form = " --short" if short else ""
        lines.append(
            f"    logs: {directory}/seed-{result.seed}; again: python -m tools.chaos --seed {result.seed}{form}"
        )
    return "\n".join(lines)


def table(results: list[Result]) -> str:
    """What all seeds have come to, together."""
    told = [result.to_dict() for result in results]
    rows = [("seeds", len(results))]
    rows += [(name, sum(each[name] for each in told)) for name in ("vms", "tasks", "operations")]
    victims = sorted({victim for each in told for victim in each["kills"]})
    rows += [(f"kills: {victim}", sum(each["kills"].get(victim, 0) for each in told)) for victim in victims]
    rows += [(kind.value, sum(each[kind.value] for each in told)) for kind in Kind]
    return "\n".join(f"{name:<22}{count:>8}" for name, count in rows)


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another chaos test runs in {directory}")
        yield


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=1, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--short", action="store_true", help="fewer VMs, less time")
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for servers, logs and hypervisors")
    return parser.parse_args()


if __name__ == "__main__":
    main()
