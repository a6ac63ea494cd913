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
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tools.chaos.audit import Kind
from tools.chaos.plan import LONG, REAL, SHORT, Plan, Size, plan_of
from tools.chaos.servers import Servers
from tools.chaos.trial import Result, Trial
from tools.stack import ROOT

if TYPE_CHECKING:
    from tools.chaos.guests import Libvirt

DIRECTORY = ROOT / ".run" / "chaos"
REPORT = ROOT / "build" / "chaos.json"
REAL_EVERY = 10


def main() -> None:
    chosen = _arguments()
    # So that all is ended that was started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    seeds = [chosen.seed] if chosen.seed is not None else range(chosen.first, chosen.first + chosen.seeds)
    with _alone(chosen.directory):
        results = run(seeds, chosen.directory, lambda seed: size_of(seed, short=chosen.short, real=chosen.libvirt))
    print(table(results))
    sys.exit(any(result.findings for result in results))


def size_of(seed: int, *, short: bool, real: bool) -> Size:
    """Every tenth seed of the long form is one with real guests."""
    if real or (seed % REAL_EVERY == 0 and not short):
        return REAL
    return SHORT if short else LONG


def run(seeds: Sequence[int], directory: Path, size: Callable[[int], Size], report: Path = REPORT) -> list[Result]:
    """Run the seeds one after the other, and write the report after each."""
    plans = [plan_of(seed, size(seed)) for seed in seeds]
    servers, results = Servers(directory / "servers"), []
    with closing(servers), _libvirt(directory, plans) as libvirt:
        for plan in plans:
            results.append(Trial(plan, directory / f"seed-{plan.seed}", servers, libvirt).run())
            print(line(results[-1], directory, plan), flush=True)
            report.parent.mkdir(exist_ok=True)
            report.write_text(json.dumps([result.to_dict() for result in results], indent=1))
    return results


@contextmanager
def _libvirt(directory: Path, plans: Sequence[Plan]) -> Iterator[Libvirt | None]:
    """Where a plan wants real guests, libvirt answers meanwhile."""
    if not any(plan.real for plan in plans):
        yield None
        return
    from tools.chaos.guests import Libvirt

    with closing(Libvirt(directory)) as libvirt:
        yield libvirt


def line(result: Result, directory: Path, plan: Plan) -> str:
    """One line, and what was found below it."""
    killed = " ".join(f"{name}:{count}" for name, count in result.kills.items())
    verdict = "ok" if not result.findings else f"{len(result.findings)} FINDINGS"
    done = f"{result.vms:>3} VMs  {result.operations:>4} operations  {result.tasks:>3} tasks"
    lines = [f"seed {result.seed:>4}  {result.seconds:6.1f} s  {done}  killed {killed or 'nobody'}  {verdict}"]
    lines += [f"    {finding.kind}: {finding.text}" for finding in result.findings]
    if result.findings:
        again = f"python -m tools.chaos --seed {result.seed}{plan.form}"
        lines.append(f"    logs: {directory}/seed-{result.seed}; again: {again}")
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
    parser.add_argument(
        "--libvirt", action="store_true", help="real guests; in the long form every tenth seed has them"
    )
    parser.add_argument("--directory", type=Path, default=DIRECTORY, help="for servers, logs and hypervisors")
    return parser.parse_args()


if __name__ == "__main__":
    main()
