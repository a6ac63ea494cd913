# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How resources are written: the API's JSON for scripts, narrow tables and plain YAML for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import yaml
from rich import box
from rich.table import Table
from rich.text import Text

from webapi.cli.client import Json
from webapi.cli.printable import one_line

#: Title of a column -> what it shows of a resource.
Columns = Mapping[str, Callable[[Json], Any]]

STYLES: dict[str, str] = {
    "ON": "green",
    "PAUSED": "yellow",
    "UNKNOWN": "bold red",
    "DEPLOYED": "green",
    "NEEDS_SYNC": "yellow",
    "LOCKED": "yellow",
    "MANAGED": "green",
    "CHECKING": "yellow",
    "UNREACHABLE": "bold red",
    "STARTED": "cyan",
    "FINISHED_SUCCESSFULLY": "green",
    "FINISHED_UNSUCCESSFULLY": "bold red",
    "WARNING": "yellow",
    "ERROR": "red",
    "CRITICAL": "bold red",
}


#: Columns whose length others choose. Where a terminal is too narrow they are cut, and what is copied from is not.
_GIVE_WAY = frozenset(
    {"Name", "Appliance", "Datacenter", "Partitions", "Of", "Hypervisor", "Addresses", "Path", "Text"}
)
#: What a reader looks for first.
_FIRST = ("id", "name", "state")


def table(columns: Columns, items: list[Json]) -> Table:
    """One line a resource. What does not fit is cut with an ellipsis, never wrapped."""
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    for title in columns:
        made.add_column(_cell(title), no_wrap=title not in _GIVE_WAY)
    for item in items:
        made.add_row(*(_cell(shown(item)) for shown in columns.values()))
    return made


def field(name: str) -> Callable[[Json], Any]:
    """The column that shows a field as it is."""
    return lambda item: item.get(name)


def short_id(item: Json) -> str:
    return str(item["id"])[:8]


def clock(name: str) -> Callable[[Json], str]:
    """The column that shows a time in the reader's own zone."""
    return lambda item: datetime.fromisoformat(item[name]).astimezone().strftime("%m-%d %H:%M:%S") if item[name] else ""


def as_yaml(resource: Json) -> str:
    """A resource for people, whole but for what is empty. YAML writes what could steer a terminal as an escape."""
    ordered = {key: resource[key] for key in (*_FIRST, *resource) if key in resource}
    return yaml.safe_dump(_without_empty(ordered), sort_keys=False, allow_unicode=True, width=1000).rstrip()


def _cell(value: Any) -> Text:
    text = "" if value is None else one_line(str(value))
    return Text(text, STYLES.get(text.partition(",")[0], ""), no_wrap=True, overflow="ellipsis")


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_empty(each) for key, each in value.items() if each not in (None, "", [], {})}
    if isinstance(value, list):
        return [_without_empty(each) for each in value]
    return value
