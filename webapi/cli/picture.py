# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a task looks: pure functions from what is known of it and the time to what is shown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from rich.tree import Tree

from webapi.cli.nodes import STATUS, Node, Rollback, Status
from webapi.cli.printable import one_line, printable


@dataclass(frozen=True)
class Look:
    """A status on the screen; a running one moves through its frames."""

    frames: str
    ascii_frames: str
    style: str

    def icon(self, now: datetime, *, ascii_only: bool) -> str:
        frames = self.ascii_frames if ascii_only else self.frames
        return frames[int(now.timestamp() * 8) % len(frames)]


LOOKS: dict[Status, Look] = {
    Status.WAITING: Look("○", ".", "dim"),
    Status.RUNNING: Look("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", "|/-\\", "cyan"),
    Status.DONE: Look("✔", "+", "green"),
    Status.FAILED: Look("✘", "x", "bold red"),
    Status.DROPPED: Look("⊘", "o", "yellow"),
}

ROLLBACK_WORDS: dict[Rollback, str] = {
    Rollback.NONE: "",
    Rollback.STARTED: "rolling back",
    Rollback.DONE: "rolled back",
    Rollback.FAILED: "ROLLBACK FAILED",
}

_NEVER = datetime.max.replace(tzinfo=UTC)
#: A runner takes a request within moments, even one that must wait for its turn.
_SUSPICIOUS = timedelta(seconds=10)
#: Columns that one level of a tree is indented by.
_INDENT = 4
#: Columns that titles may take, so that times and reasons are seen beside long names.
_WIDEST = 48


def picture(task: Node, now: datetime, room: int, *, ascii_only: bool = False) -> Tree:
    """The task as a tree of one line a node, and if it can be, of at most ``room`` lines."""
    fitted = fit(task, room)
    width = max(_INDENT * len(above) + cell_len(_title(node, task)) for node, above in fitted.walk())

    def line(node: Node, depth: int) -> Text:
        look = LOOKS[node.apparent]
        text = Text(no_wrap=True, overflow="ellipsis")
        text.append(f"{look.icon(now, ascii_only=ascii_only)} ", look.style)
        title = _fitted(_title(node, task), min(width, _WIDEST) - _INDENT * depth)
        text.append(title, "" if node.is_job else "bold")
        text.append(f"{duration(node.seconds(now)):>8}", "dim")
        text.append(f"  {_remark(node)}".rstrip(), look.style)
        return text

    def branch(node: Node, depth: int, tree: Tree) -> Tree:
        for child in node.children:
            branch(child, depth + 1, tree.add(line(child, depth + 1)))
        return tree

    return branch(fitted, 0, Tree(line(fitted, 0), guide_style="dim"))


def neglect(task: Node, now: datetime) -> str:
    """What to look at if nobody has taken the task for suspiciously long; else nothing."""
    if task.status is not Status.WAITING or task.asked is None or now - task.asked < _SUSPICIOUS:
        return ""
    return "No runner has taken it yet. Are millwright relay and a runner of the datacenter at work?"


def fit(task: Node, room: int) -> Node:
    """The task in at most ``room`` lines, if it can be: what is done or waits is folded first, then only counted; then
    what runs is told in one line each, and at last counted too. What failed stays longest."""
    fitted = task
    for shorter in (_folded, _counted, _told_briefly):
        if _lines(fitted) > room:
            fitted = shorter(task)
    return fitted if _lines(fitted) <= room else _cut(fitted, room)


def _lines(task: Node) -> int:
    return sum(1 for _ in task.walk())


def _folded(task: Node) -> Node:
    return replace(task, children=tuple(_closed(child) if _is_calm(child) else child for child in task.children))


def _counted(task: Node) -> Node:
    calm = [child for child in task.children if _is_calm(child)]
    lively = [child for child in task.children if not _is_calm(child)]
    return replace(task, children=(*lively, *_counts(calm)))


def _told_briefly(task: Node) -> Node:
    counted = _counted(task)
    return replace(counted, children=tuple(_brief(child) for child in counted.children))


def _cut(task: Node, room: int) -> Node:
    """A line each, failures first, so that they are cut last."""
    ranked = sorted(_told_briefly(task).children, key=lambda child: child.apparent is not Status.FAILED)
    room_for = max(0, room - 1 - len(Status))
    kept = [_closed(child) for child in ranked[:room_for]]
    return replace(task, children=(*kept, *_counts(ranked[room_for:])))


def _counts(children: list[Node]) -> Iterator[Node]:
    """A line for each status, with how many have it."""
    for status, times in Counter(child.apparent for child in children for _ in range(child.stands_for or 1)).items():
        state = next(state for state, meaning in STATUS.items() if meaning is status)
        label = f"{times} more {status.value}"
        yield Node(id=status, is_job=True, label=label, state=state, stands_for=times)


def _closed(node: Node) -> Node:
    if node.apparent is not Status.WAITING:
        return replace(node, children=())
    return replace(node, children=(), state="QUEUED", waits_for=node.first_wait)


def _brief(node: Node) -> Node:
    """What runs, with what it is at."""
    at_work = [job.label for job, _ in node.walk() if job.is_job and job.status is Status.RUNNING]
    label = f"{node.label} / {at_work[0]}" if at_work and node.children else node.label
    return replace(node, children=(), label=label) if node.apparent is Status.RUNNING else node


def _is_calm(node: Node) -> bool:
    return node.apparent in (Status.DONE, Status.WAITING, Status.DROPPED)


def _title(node: Node, task: Node) -> str:
    """A place is named once if it is the same for all."""
    places = {each.place for each, _ in task.walk() if each.place}
    if len(places) == 1:
        return f"{node.label} at {places.pop()}" if node.id == task.id else node.label
    return f"{node.label} at {node.place}" if node.place else node.label


def _fitted(title: str, width: int) -> str:
    """Exactly so wide. A long one is cut in its middle: names often differ at their end only."""
    if cell_len(title) <= width:
        return set_cell_size(title, width)
    tail = (width - 1) // 2
    end = set_cell_size(title[::-1], tail)[::-1]
    return f"{set_cell_size(title, width - 1 - tail)}…{end}"


def _remark(node: Node) -> str:
    """What there is to say about a node beside its icon."""
    words = node.apparent.value if node.apparent in (Status.WAITING, Status.FAILED) and not node.stands_for else ""
    if node.apparent in (Status.WAITING, Status.RUNNING) and node.waits_for:
        words = f"waiting for {node.waits_for}"
    if node.next_job:
        words = f"{node.next_job.label} waiting"
    if node.status is Status.DROPPED:
        words = node.state.lower()
    if node.own_failure:
        words = one_line(str(node.own_failure))
    attempt = f"attempt {node.attempt}" if node.attempt > 1 else ""
    cancel = "being cancelled" if node.cancel_asked and not node.has_ended else ""
    return ", ".join(part for part in (attempt, cancel, ROLLBACK_WORDS[node.rollback], words) if part)


def news(before: Node | None, after: Node) -> list[str]:
    """A line for everything that has become of the task and its parts since ``before``, in the order of events."""
    known = {node.id: (node.state, node.rollback) for node, _ in before.walk()} if before else {}
    changed = [
        (node, above)
        for node, above in after.walk()
        if known.get(node.id, (None, None)) != (node.state, node.rollback)
        and (before is not None or not above or node.status is not Status.WAITING)
    ]
    return [_sentence(node, above) for node, above in sorted(changed, key=_when)]


def _when(place: tuple[Node, tuple[Node, ...]]) -> tuple[datetime, int]:
    """Outer tasks start before and end after what is in them."""
    node, above = place
    running = node.status in (Status.WAITING, Status.RUNNING)
    return node.ended or (node.started if running else None) or _NEVER, len(above) if running else -len(above)


def _sentence(node: Node, above: tuple[Node, ...]) -> str:
    path = " / ".join(each.label for each in (*above[1:], node))
    words = {Status.RUNNING: "started"}.get(node.status, node.status.value)
    if node.status is Status.DROPPED:
        words = node.state.lower()
    if node.ended and node.started:
        words += f" in {duration(node.seconds(node.ended))}"
    # The code only: why it failed is told whole by the outcome.
    remarks = (words, ROLLBACK_WORDS[node.rollback], node.own_failure.code if node.own_failure else "")
    return f"{path}: {', '.join(part for part in remarks if part)}"


OUTCOMES: dict[Status, str] = {Status.DONE: "finished in", Status.FAILED: "failed after"}


def outcome(task: Node) -> list[Text]:
    """How it ended and how long it took; then each failure, with the hypervisor's own words."""
    took = duration(task.seconds(task.ended or datetime.now(UTC))) or "0.0s"
    verdict = OUTCOMES.get(task.status, f"was {task.state.lower()} after")
    lines = [Text(f"{task.label[:1].upper()}{task.label[1:]} {verdict} {took}.", LOOKS[task.status].style)]
    for node, above in task.walk():
        if node.own_failure or node.rollback is Rollback.FAILED:
            lines += [Text(), *_explained(node, above)]
    return lines + _what_stays(task)


def _what_stays(task: Node) -> list[Text]:
    """After a deploy that was cancelled: the VMs that were done by then, and how they go."""
    done = [child.label for child in task.children if not child.is_job and child.status is Status.DONE]
    verb, _, name = task.label.partition(" ")
    if task.status is not Status.DROPPED or verb != "deploy" or not done:
        return []
    return [
        Text(f"Still deployed: {', '.join(done)}."),
        Text(f"To remove one: millwright vm undeploy {name}/{done[0]}; all of them: millwright vapp undeploy {name}"),
    ]


def _explained(node: Node, above: tuple[Node, ...]) -> Iterator[Text]:
    path = " / ".join(each.label for each in (*above[1:], node))
    place = f" at {node.place}" if node.place else ""
    code = f" [{node.failure.code}]" if node.failure else ""
    yield Text(f"{path}{place}{code}", "bold")
    if node.failure:
        yield from _indented(node.failure.message)
        if node.failure.detail and node.failure.detail not in node.failure.message:
            yield from _indented(f"the hypervisor says: {node.failure.detail}")
        if node.failure.left:
            yield from _indented(f"left behind: {', '.join(node.failure.left)}")
    if node.rollback is not Rollback.NONE:
        words = (ROLLBACK_WORDS[node.rollback], node.failure.of_rollback if node.failure else "")
        yield from _indented(": ".join(word for word in words if word))
    if node.is_job:
        yield Text(f"  all that is known of it: millwright job show {node.id}", "dim")


def _indented(text: str) -> Iterator[Text]:
    return (Text(f"  {line}") for line in printable(text).splitlines())


def duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02}m" if hours else f"{minutes}m{rest:02}s"
