# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what a person types to one resource: a name, a whole id, or the beginning of one as the tables show it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from webapi.cli.client import Client, Json
from webapi.cli.errors import Ambiguous, NoSuchName, Refused

_WHOLE_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
#: At least what the tables show: a word that happens to look like the beginning of an id must not hit a stranger.
_SHORT_ID = re.compile(r"[0-9a-f]{8}[0-9a-f-]*")
#: How many resources, in the API's order, are searched for an id that begins so.
SEARCHED = 1000


@dataclass(frozen=True)
class Noun:
    """A kind of resource: what people call it, and where the API keeps it."""

    title: str
    path: str
    #: Shown beside the id where several have the same name.
    told_apart_by: tuple[str, ...] = ()
    named: bool = True

    def one(self, id: str, *action: str) -> str:
        """The path of one resource, or of an action on it."""
        return "/".join((self.path, id, *action))


DATACENTER = Noun("datacenter", "/datacenters")
HYPERVISOR = Noun("hypervisor", "/hypervisors", ("type", "url"))
TEMPLATE = Noun("template", "/templates", ("format", "path"))
VDC = Noun("virtual datacenter", "/virtualdatacenters", ("hypervisor_type",))
VAPP = Noun("virtual appliance", "/virtualappliances", ("state",))
VM = Noun("VM", "/vms", ("native_name", "state"))
TASK = Noun("task", "/tasks", named=False)
RUNNER = Noun("runner", "/runners", ("state", "started_at"))
JOB = Noun("job", "/jobs", named=False)
DEAD_LETTER = Noun("dead letter", "/deadletters", named=False)


def find(client: Client, noun: Noun, wanted: str, **within: str) -> Json:
    """The one resource that ``wanted`` names, among those that the filters ``within`` leave. A VM may be named with its
    appliance: shop/web1.

    Raises NoSuchName, Ambiguous.
    """
    if _WHOLE_ID.fullmatch(wanted):
        return _by_id(client, noun, wanted)
    vapp, slash, name = wanted.rpartition("/") if noun is VM else ("", "", wanted)
    if slash:
        within = {**within, "virtualappliance_id": find(client, VAPP, vapp)["id"]}
    found = _by_name(client, noun, name, within) or _by_short_id(client, noun, name, within)
    if len(found) > 1:
        way = "the id of the one you mean, or APPLIANCE/VM" if noun is VM else "the id of the one you mean"
        raise Ambiguous(
            f"{len(found)} {noun.title}s are called {wanted!r}; give {way}:\n"
            + "\n".join(f"  {_candidate(noun, each)}" for each in found)
        )
    if not found:
        raise NoSuchName(f"there is no {noun.title} {wanted!r}; millwright {_command(noun)} list shows what there is")
    return _by_id(client, noun, found[0]["id"])


def find_id(client: Client, noun: Noun, wanted: str | None) -> str | None:
    """The id of what ``wanted`` names; None stays None."""
    return None if wanted is None else str(find(client, noun, wanted)["id"])


def _by_id(client: Client, noun: Noun, id: str) -> Json:
    try:
        return client.get(noun.one(id))
    except Refused as error:
        if error.status == 404:
            raise NoSuchName(f"there is no {noun.title} with the id {id}") from error
        raise


def _by_name(client: Client, noun: Noun, name: str, within: dict[str, str]) -> list[Json]:
    if not noun.named:
        return []
    found: list[Json] = client.listing(noun.path, limit=0, name=name, **within)["items"]
    return [each for each in found if each["name"] == name]


def _by_short_id(client: Client, noun: Noun, start: str, within: dict[str, str]) -> list[Json]:
    if not _SHORT_ID.fullmatch(start):
        return []
    searched: list[Json] = client.listing(noun.path, limit=SEARCHED, **within)["items"]
    return [each for each in searched if each["id"].startswith(start)]


def _candidate(noun: Noun, resource: dict[str, Any]) -> str:
    words = (resource["id"], _called(noun, resource), *(resource.get(field) for field in noun.told_apart_by))
    return "  ".join(str(word) for word in words if word)


def _called(noun: Noun, resource: dict[str, Any]) -> str | None:
    """What can be typed for it, so that nothing else is meant where that is possible."""
    name = resource.get("name")
    return f"{resource['virtualappliance_name']}/{name}" if noun is VM else name


def _command(noun: Noun) -> str:
    return {VDC: "vdc", VAPP: "vapp", DEAD_LETTER: "dlq", RUNNER: "runners"}.get(noun, noun.title.lower())
