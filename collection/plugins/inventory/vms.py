# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
name: vms
short_description: The virtual machines of hypervisors as hosts
version_added: 0.1.0
description:
  - Reads the VMs of one or many hypervisors. Each VM is a host, each hypervisor a group, so that a playbook can power
    or remove the VMs, or go on to configure their guests.
  - The file's name must end in C(millwright.yml) or C(millwright.yaml).
  - The operation playbooks of this collection, such as C(millwright.virt.shutdown), run over this inventory as it is.
  - A hypervisor that does not answer gives a warning, and takes none of the others away; see O(on_error).
    If none answers, reading the inventory fails.
author:
  - The Millwright developers (@millwright)
extends_documentation_fragment:
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
options:
  plugin:
    description:
      - Says that the file is for this plugin.
    type: str
    required: true
    choices: [millwright.virt.vms]
  hypervisors:
    description:
      - The hypervisors to read. Values may be templates, with lookups and extra variables, or be encrypted by Ansible
        Vault.
      - What an entry does not say comes from the environment variables that the modules know, as E(MILLWRIGHT_URL).
        An entry that says one of C(username), C(password) and C(credentials_file) takes none of these three from there.
      - Without this option there is one hypervisor, which the environment describes.
    type: list
    elements: dict
    default: [{}]
    suboptions:
      name:
        description:
          - Name of the hypervisor's group. Without it, the host in O(hypervisors[].url), else its type.
        type: str
      hypervisor_type:
        description:
          - Driver that talks to the hypervisor, as in M(millwright.virt.vm).
        type: str
        aliases: [type]
        required: true
      url:
        description:
          - Where the hypervisor is, in its driver's words.
        type: str
        required: true
      username:
        description:
          - Account at the hypervisor.
        type: str
      password:
        description:
          - Password of the account. It is not shown in the inventory.
        type: str
      credentials_file:
        description:
          - JSON file with C(username) and C(password).
        type: path
      validate_certs:
        description:
          - Whether TLS certificates are checked.
        type: bool
        default: true
      ca_path:
        description:
          - File or directory with the certificates of authorities to trust.
        type: path
      connect_timeout:
        description:
          - Seconds to wait for the hypervisor's first answer.
        type: int
        default: 10
      session_file:
        description:
          - File with a session, as in M(millwright.virt.hypervisor_login).
        type: path
      keep_session:
        description:
          - Whether a session that had to be made is left in O(hypervisors[].session_file).
        type: bool
        default: false
  timeout:
    description:
      - Seconds that reading one hypervisor may take. It is then given up, as one that does not answer.
    type: int
    default: 60
  on_error:
    description:
      - What becomes of a hypervisor that cannot be read. V(warn) goes on with the others, V(fail) with none.
    type: str
    choices: [warn, fail]
    default: warn
  hostname:
    description:
      - Expression that names a VM's host. It may use the variables of the VM, and C(millwright_hypervisor_name).
      - VMs that would have the same name are called C(name.hypervisor), with a warning; if that makes no difference
        either, by their uuid. So are VMs whose name means something else to Ansible, as V(localhost), V(all) or that of
        a hypervisor's group.
    type: str
    default: millwright_name
  filters:
    description:
      - Conditions on the variables of a VM. A VM for which one does not hold is left out.
      - So is one for which a condition has no answer, as its variables have nothing of that name; if a condition has
        none for any VM, a warning says why, and with O(strict) the inventory fails.
    type: list
    elements: str
    default: []
"""

EXAMPLES = r"""
---
# lab.millwright.yml: what runs at two hypervisors. Hosts by power state and by the tag "role", such as role_web.
plugin: millwright.virt.vms
hypervisors:
  - name: kvm1
    type: libvirt
    url: qemu+ssh://root@kvm1.example.com/system
  - name: kvm2
    type: libvirt
    url: qemu+tls://kvm2.example.com/system
    credentials_file: ~/.config/millwright/kvm2.json
keyed_groups:
  - key: millwright_power
    prefix: power
  - key: millwright_tags.role
    prefix: role
groups:
  ours: millwright_managed
filters:
  - millwright_power != "off"
compose:
  ansible_user: "'debian'"

# Variables of each host: millwright_name, millwright_uuid, millwright_power, millwright_managed, millwright_addresses,
# millwright_tags, millwright_definition (null for a VM that cannot be told in the words of millwright.virt.vm),
# millwright_serial_log, millwright_hypervisor_name, and millwright_vm with name and uuid, which the operation playbooks
# read. ansible_host is the first address that is not link-local, an IPv4 address before an IPv6 one, if there is any.
# Of each group of a hypervisor: millwright_hypervisor, without secrets.
"""

import ipaddress
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable

from ..plugin_utils.asking import answers
from ..plugin_utils.files import refuse_unknown, says_plugin
from ..plugin_utils.filtering import Filters
from ..plugin_utils.hypervisors import Hypervisor, hypervisors_of

Vm = dict[str, Any]
#: Whoever may name a VM must not decide where tasks run that are delegated to the control host, or to all.
TAKEN = frozenset({*constants.LOCALHOST, "all", "ungrouped"})


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    NAME = "millwright.virt.vms"

    def verify_file(self, path: str) -> bool:
        there, named = super().verify_file(path), path.endswith(("millwright.yml", "millwright.yaml"))
        if there and not named and says_plugin(path, self.NAME):
            self.display.warning(
                f"{path} is for {self.NAME}, so its name must end in millwright.yml or millwright.yaml"
            )
        return there and named

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:  # noqa: FBT001, FBT002
        """Afterwards the inventory has a group for each hypervisor and a host for each of its VMs. Raises
        AnsibleError if the file is wrong, no hypervisor answered, or one did not and ``on_error`` is ``fail``."""
        super().parse(inventory, loader, path, cache)
        refuse_unknown(path, self._read_config_data(path), self.option_definitions)
        self.templar.available_variables = self._vars
        hypervisors = hypervisors_of(self.templar.template(self.get_option("hypervisors")))
        vms = self._vms_of(hypervisors, path, may_read_cache=cache)
        for one in hypervisors:
            group = self.inventory.add_group(self._sanitize_group_name(one.name))
            self.inventory.set_variable(group, "millwright_hypervisor", one.shown)
        for host, variables in self._hosts(hypervisors, vms):
            self._add(host, variables)

    def _vms_of(self, hypervisors: list[Hypervisor], path: str, *, may_read_cache: bool) -> dict[str, list[Vm]]:
        """VMs by the key of their hypervisor. Only answers are kept in the cache, so whoever failed is asked again."""
        place = self.get_cache_key(path)
        known = self._cached(place) if self.get_option("cache") and may_read_cache else {}
        known = {one.key: known[one.key] for one in hypervisors if one.key in known}
        failures = []
        for one, answer in answers([one for one in hypervisors if one.key not in known], self.get_option("timeout")):
            if "vms" in answer:
                known[one.key] = answer["vms"]
            else:
                failures.append(f"{one.name}: {answer['failure']['msg']}")
        self._tell(failures, every=not known)
        if self.get_option("cache"):
            self._cache[place] = known
        return known

    def _cached(self, place: str) -> dict[str, list[Vm]]:
        try:
            return dict(self._cache[place])
        except KeyError:
            return {}

    def _tell(self, failures: list[str], *, every: bool) -> None:
        if failures and (every or self.get_option("on_error") == "fail"):
            raise AnsibleError(f"hypervisors that cannot be read: {'; '.join(sorted(failures))}")
        for failure in failures:
            self.display.warning(f"left out, as it cannot be read: hypervisor {failure}")

    def _hosts(self, hypervisors: list[Hypervisor], vms: dict[str, list[Vm]]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Every VM that the filters let through, under a name that no other has."""
        every = [variables_of(one, vm) for one in hypervisors for vm in vms.get(one.key, [])]
        filters = Filters(self.templar, self.get_option("filters"), strict=self.get_option("strict"))
        wanted = [variables for variables in every if filters.let_through(variables)]
        for warning in filters.warnings:
            self.display.warning(warning)
        names = [self._name(variables) for variables in wanted]
        longer = [f"{name}.{told['millwright_hypervisor_name']}" for name, told in zip(names, wanted, strict=True)]
        often, still, taken = Counter(names), Counter(longer), TAKEN | set(self.inventory.groups)
        for name in sorted(often):
            if name in taken:
                self.display.warning(
                    f"{name!r} means something else to Ansible; VMs of that name have the hypervisor's added"
                )
            elif often[name] > 1:
                self.display.warning(
                    f"{often[name]} VMs are called {name!r}; their hosts have the hypervisor's name added"
                )
        for name, long, variables in zip(names, longer, wanted, strict=True):
            unique = long if still[long] == 1 else variables["millwright_uuid"]
            yield (name if often[name] == 1 and name not in taken else unique), variables

    def _name(self, variables: dict[str, Any]) -> str:
        try:
            name = self._compose(self.get_option("hostname"), variables)
        except AnsibleError as error:
            raise AnsibleParserError(f"hostname: {variables['millwright_name']}: {error}") from error
        if not isinstance(name, str) or not name:
            raise AnsibleParserError(f"hostname: gives no text for VM {variables['millwright_name']!r}")
        return name

    def _add(self, host: str, variables: dict[str, Any]) -> None:
        group = self._sanitize_group_name(variables["millwright_hypervisor_name"])
        self.inventory.add_host(host, group=group)
        for name, value in variables.items():
            self.inventory.set_variable(host, name, value)
        strict = self.get_option("strict")
        self._set_composite_vars(self.get_option("compose"), variables, host, strict=strict)
        self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict=strict)
        self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict=strict)


def variables_of(hypervisor: Hypervisor, vm: Vm) -> dict[str, Any]:
    """What a host's variables say of its VM."""
    told = {f"millwright_{name}": value for name, value in vm.items()}
    told["millwright_tags"] = (vm["definition"] or {}).get("tags") or {}
    told["millwright_hypervisor_name"] = hypervisor.name
    told["millwright_vm"] = {"name": vm["name"], "uuid": vm["uuid"]}
    if address := address_of(vm["addresses"]):
        told["ansible_host"] = address
    return told


def address_of(addresses: list[str]) -> str | None:
    """The address by which a guest is reached best; None if there is none."""
    usable = [address for told in addresses if (address := _address(told)) and not address.is_link_local]
    usable = [address for address in usable if not address.is_loopback]
    return str(min(usable, key=lambda address: address.version)) if usable else None


def _address(told: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """None for what is no address: a guest may tell its hypervisor anything."""
    try:
        return ipaddress.ip_address(told)
    except ValueError:
        return None
