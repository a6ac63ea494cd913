# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory of a run: YAML that we write ourselves, in which nothing is a template.

Ansible trusts the strings of an inventory and would evaluate the templates in them. So every string is tagged
``!unsafe``: names and texts of users stay data, whatever they contain.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..contract.messages import Hypervisor, Job
from ..ports import Work


class UnsafeDumper(yaml.SafeDumper):
    """Tags each string ``!unsafe``, keys included, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
        return True


def _unsafe(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("!unsafe", text, style='"')


UnsafeDumper.add_representer(str, _unsafe)


def host_of(work: Work) -> str:
    """The host that stands for the job: its VM, or the hypervisor itself for a job without one."""
    return work.job.vm_id or work.hypervisor.id


@dataclass(frozen=True, kw_only=True)
class LoginFiles:
    """Files of a run by which modules log in; those that there are."""

    credentials: Path | None = None
    authorities: Path | None = None
    #: A module that has to log in leaves its session here.
    session: Path | None = None


def inventory_of(works: Sequence[Work], files: LoginFiles) -> dict[str, Any]:
    """A host for each job in one group, the hypervisor that all of them are for."""
    connection = connection_of(works[0].hypervisor, files)
    hosts = {host_of(work): _facts(work.job) for work in works}
    group = {"hosts": hosts, "vars": {"millwright_hypervisor": connection}}
    return {"all": {"children": {"hypervisor": group}}}


def inventory_of_logins(connections: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """A host for each connection; it has no name of anybody's, as several may be for one hypervisor."""
    hosts = {f"login-{number}": {"millwright_hypervisor": one} for number, one in enumerate(connections, 1)}
    return {"all": {"hosts": hosts}}


def connection_of(hypervisor: Hypervisor, files: LoginFiles) -> dict[str, Any]:
    """``millwright_hypervisor``: how modules reach it."""
    connection: dict[str, Any] = {
        "type": hypervisor.type, "url": hypervisor.url, "validate_certs": hypervisor.validate_certs,
    }  # fmt: skip
    named = {"credentials_file": files.credentials, "ca_path": files.authorities, "session_file": files.session}
    connection |= {name: str(path) for name, path in named.items() if path is not None}
    if files.session is not None:
        connection["keep_session"] = True
    return connection


def _facts(job: Job) -> dict[str, Any]:
    vm = {} if job.definition is None else {"millwright_vm": job.definition}
    return vm | job.variables


def to_yaml(inventory: dict[str, Any]) -> str:
    return yaml.dump(inventory, Dumper=UnsafeDumper, allow_unicode=True, sort_keys=False, width=2**20)
