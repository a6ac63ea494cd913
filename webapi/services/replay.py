# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a person repeats a job by hand: a playbook, and an inventory in which secrets are files beside it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from runner_service.contract.messages import Hypervisor, Job

INVENTORY_FILE = "inventory.yml"
CREDENTIALS_FILE = "credentials.json"
USER_DATA_FILE = "user-data"
AUTHORITIES_FILE = "ca.pem"


class _Template(str):
    """A text of ours that Ansible is to evaluate; all others are data."""


class _Dumper(yaml.SafeDumper):
    """Tags each string ``!unsafe``, keys included, and writes no aliases."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002  # PyYAML's signature
        return True


def _unsafe(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("!unsafe", text, style='"')


def _template(dumper: yaml.SafeDumper, text: _Template) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style='"')


_Dumper.add_representer(str, _unsafe)
_Dumper.add_representer(_Template, _template)

_CREDENTIALS = _Template(f"{{{{ inventory_dir }}}}/{CREDENTIALS_FILE}")
_AUTHORITIES = _Template(f"{{{{ inventory_dir }}}}/{AUTHORITIES_FILE}")
_USER_DATA = _Template(f"{{{{ lookup('ansible.builtin.file', inventory_dir ~ '/{USER_DATA_FILE}', rstrip=false) }}}}")


@dataclass(frozen=True)
class Replay:
    """What a person needs. ``files`` says of each file that must stand beside the inventory what belongs into it."""

    command: str
    inventory: str
    files: dict[str, str]


def recipe(hypervisor: Hypervisor, job: Job) -> dict[str, Any]:
    """What is kept of a job for that: all that its runner is told, but for what is sealed."""
    return {
        "hypervisor": {
            "id": hypervisor.id,
            "type": hypervisor.type,
            "url": hypervisor.url,
            "validate_certs": hypervisor.validate_certs,
        },
        "credentials": hypervisor.sealed_credentials is not None,
        "ca_certificates": hypervisor.ca_certificates is not None,
        "vm_id": job.vm_id,
        "definition": job.definition,
        "user_data": job.sealed_user_data is not None,
        "variables": job.variables,
    }


def replay(operation: str, kept: dict[str, Any]) -> Replay:
    """The job as a person runs it."""
    return Replay(
        command=f"ansible-playbook -i {INVENTORY_FILE} millwright.virt.{operation}",
        inventory=yaml.dump(_inventory(kept), Dumper=_Dumper, allow_unicode=True, sort_keys=False, width=2**20),
        files=_files(kept),
    )


def _inventory(kept: dict[str, Any]) -> dict[str, Any]:
    """One host, the VM (the hypervisor itself for a job without one), in one group, the hypervisor."""
    connection = {name: kept["hypervisor"][name] for name in ("type", "url", "validate_certs")}
    if kept["credentials"]:
        connection["credentials_file"] = _CREDENTIALS
    # What is kept of jobs from before they could be given says nothing of them.
    if kept.get("ca_certificates"):
        connection["ca_path"] = _AUTHORITIES
    host = kept["vm_id"] or kept["hypervisor"]["id"]
    group = {"hosts": {host: _facts(kept)}, "vars": {"millwright_hypervisor": connection}}
    return {"all": {"children": {"hypervisor": group}}}


def _facts(kept: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    if kept["definition"] is not None:
        facts["millwright_vm"] = _with_user_data(kept["definition"]) if kept["user_data"] else kept["definition"]
    return facts | _variables(kept)


def _variables(kept: dict[str, Any]) -> dict[str, Any]:
    """What is kept of jobs from before there were others has its only one, the timeout, apart."""
    timeout = kept.get("timeout")
    return kept.get("variables") or ({} if timeout is None else {"millwright_timeout": timeout})


def _with_user_data(definition: dict[str, Any]) -> dict[str, Any]:
    return {**definition, "cloud_init": {**(definition.get("cloud_init") or {}), "user_data": _USER_DATA}}


def _files(kept: dict[str, Any]) -> dict[str, str]:
    files = {}
    if kept["credentials"]:
        files[CREDENTIALS_FILE] = 'how to log in to the hypervisor: {"username": ..., "password": ...}'
    if kept.get("ca_certificates"):
        files[AUTHORITIES_FILE] = "the hypervisor's ca_certificates, as the API shows them"
    if kept["user_data"]:
        files[USER_DATA_FILE] = "the VM's cloud-init user data"
    return files
