# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The hypervisors that an inventory file names: what each entry means, and what of it others may see."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from ansible.errors import AnsibleParserError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ..module_utils.connection import CONNECTION

#: Who logs in. An entry that says any of it takes none of it from the environment.
_LOGIN = ("username", "password", "credentials_file")
#: What playbooks may see of an entry, besides its type and URL. A password is not among it.
_SHOWN = (
    "username", "credentials_file", "session_file", "keep_session", "validate_certs", "ca_path", "connect_timeout",
)  # fmt: skip


@dataclass(frozen=True)
class Hypervisor:
    """One entry, whole: what it does not say comes from the environment, or has its default."""

    name: str
    #: Parameters of a module's connection.
    params: dict[str, Any]
    #: The variable millwright_hypervisor, without secrets. What came from the environment is not in it: modules look
    #: there themselves, and it may name files that are gone when a playbook runs.
    shown: dict[str, Any]

    @property
    def key(self) -> str:
        """Another one for whatever leads to other VMs."""
        told = [self.params[name] for name in ("hypervisor_type", "url", *_LOGIN) if name != "password"]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]


def hypervisors_of(entries: Sequence[Any]) -> list[Hypervisor]:
    """What the entries mean. Raises AnsibleParserError, which names the entry and what is wrong with it."""
    found = [_hypervisor(f"hypervisors[{number}]", entry) for number, entry in enumerate(entries)]
    names = [one.name for one in found]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise AnsibleParserError(f"hypervisors: give each a name of its own; more than one is called {twice[0]!r}")
    return found


def _hypervisor(place: str, entry: Any) -> Hypervisor:
    if not isinstance(entry, Mapping):
        raise AnsibleParserError(f"{place}: must be a dictionary with type and url")
    result = ArgumentSpecValidator(_spec(entry)).validate(dict(entry))
    if result.error_messages:
        raise AnsibleParserError(f"{place}: {'; '.join(result.error_messages)}")
    params = {name: result.validated_parameters[name] for name in CONNECTION}
    # Who logs in at the URL is left, their password is not.
    shown = {"type": params["hypervisor_type"], "url": without_password(params["url"])}
    shown |= {name: params[name] for name in _SHOWN if name in entry}
    return Hypervisor(result.validated_parameters["name"] or _name_of(params), params, shown)


def _spec(entry: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Options of one entry: those of the modules, which are called so in playbooks, too."""
    spec = {name: dict(option) for name, option in CONNECTION.items()}
    spec["hypervisor_type"]["aliases"] = ["type"]
    if any(name in entry for name in _LOGIN):
        for name in _LOGIN:
            del spec[name]["fallback"]
    return {**spec, "name": {"type": "str"}}


def _name_of(params: Mapping[str, Any]) -> str:
    return urlsplit(params["url"]).hostname or params["hypervisor_type"]


def without_password(url: str) -> str:
    parts = urlsplit(url)
    account, at, place = parts.netloc.rpartition("@")
    user, colon, _password = account.partition(":")
    # Not put together anew: that would change an URL without a host, such as qemu:///system.
    return url.replace(parts.netloc, f"{user}{at}{place}", 1) if colon else url
