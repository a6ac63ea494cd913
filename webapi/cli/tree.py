# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Watching a task until it has ended: a live tree on a terminal, a line per change elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from webapi.cli.client import Client, Json
from webapi.cli.errors import Unreachable
from webapi.cli.lookup import TASK
from webapi.cli.nodes import Node
from webapi.cli.picture import neglect, news, outcome, picture

#: Seconds between two looks at a task: at first it may end at once, later nobody is in a hurry.
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 1.0
#: Seconds for which an API that does not answer is asked again: it may be restarting, and the task goes on without it.
PATIENCE = 30.0

Show = Callable[[Node], None]


def follow(client: Client, task_id: str, console: Console) -> Json:
    """Show the task until it has ended, then its outcome; give it as it ended.

    Raises Unreachable when the API is gone for longer than PATIENCE. Interrupting harms nothing: the task goes on.
    """
    live = console.is_terminal and not console.is_dumb_terminal
    with _live_tree(client, console) if live else _lines(client, console) as show:
        for task in _looks(client, task_id, console):
            show(Node.of(task))
    for line in outcome(Node.of(task)):
        console.print(line, soft_wrap=not console.is_terminal)
    return task


def show(client: Client, task: Json, console: Console) -> None:
    """The task as it is now, whole."""
    node = Node.of(task)
    console.print(_drawn(node, client, console, room=sum(1 for _ in node.walk())))
    if node.has_ended:
        for line in outcome(node):
            console.print(line, soft_wrap=not console.is_terminal)


def _looks(client: Client, task_id: str, console: Console) -> Iterator[Json]:
    """The task again and again, the last time when it has ended. An API that goes away is told of once."""
    pause, last_answer, is_gone = FIRST_PAUSE, time.monotonic(), False
    while True:
        try:
            task = client.get(TASK.one(task_id))
        except Unreachable:
            if time.monotonic() - last_answer > PATIENCE:
                raise
            if not is_gone:
                console.print("The API does not answer, trying again.", style="yellow")
            is_gone = True
        else:
            last_answer, is_gone = time.monotonic(), False
            yield task
            if Node.of(task).has_ended:
                return
        time.sleep(pause)
        pause = min(pause * 1.3, LONGEST_PAUSE)


@contextmanager
def _live_tree(client: Client, console: Console) -> Iterator[Show]:
    """Drawn anew between two looks too, so that times run."""
    node: Node | None = None

    def draw() -> Group:
        if node is None:
            return Group()
        hint = neglect(node, client.now())
        tree = _drawn(node, client, console, room=console.height - 2 - bool(hint))
        return Group(tree, Text(hint, "yellow")) if hint else Group(tree)

    def show(latest: Node) -> None:
        nonlocal node
        node = latest

    with Live(get_renderable=draw, console=console, refresh_per_second=8):
        yield show


@contextmanager
def _lines(client: Client, console: Console) -> Iterator[Show]:
    before: Node | None = None
    hint = ""

    def show(latest: Node) -> None:
        nonlocal before, hint
        lines = news(before, latest)
        if not hint and (hint := neglect(latest, client.now())):
            lines.append(hint)
        for line in lines:
            console.print(line, markup=False, highlight=False, soft_wrap=True)
        before = latest

    yield show


def _drawn(node: Node, client: Client, console: Console, *, room: int) -> Tree:
    return picture(node, client.now(), room, ascii_only=not console.encoding.startswith("utf"))
