# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with an appliance, told before anything is made: of its file's text, and of what the file says."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.parameters import remove_values
from jinja2.exceptions import UndefinedError

from ..module_utils.connection import CONNECTION
from ..module_utils.vm.argspec import argument_spec
from ..module_utils.vm.definition import VmDefinition
from ..module_utils.vm.schema import InvalidData, Problem, unknown_keys

Spec = dict[str, dict[str, Any]]

_TOP = ["name", "hypervisor", "defaults", "vms"]
#: As in millwright_hypervisor, the type is called ``type``.
_HYPERVISOR = ["type", *(name for name in CONNECTION if name != "hypervisor_type")]
#: What the role says itself.
_NOT_IN_A_FILE = ("state", *CONNECTION)
#: What a VM that is only to end must say right.
_WHO = ("name", "uuid")


class _Unknown:
    """Stands for a value not known yet, or not to be looked at: a template of later variables, a vaulted text."""


def syntax_fault(text: str, path: str) -> str:
    """Where and why the text is no YAML, as ``FILE, line 3, column 8: why``; empty if it is. Never what stands there,
    for that may be a secret."""
    try:
        # libyaml is ten times as fast, and tells less.
        yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:
        return _fault_of(text, path)
    return ""


def _fault_of(text: str, path: str) -> str:
    try:
        yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        why = "; ".join(part for part in (error.problem, error.context) if part)
        return f"{path}{place}: this is no YAML: {_without_quotes(why)}"
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        return f"{path}, line {line}: this is no YAML: a character that it does not allow"
    return f"{path}: this is no YAML"


def _without_quotes(why: str) -> str:
    """Names of tokens (``<block end>``) and single characters stay; names that the file gave do not."""
    return re.sub(r"(['\"])(?!<[\w ]+>\1|(?:\\.|[^\\'\"])\1).*\1", "...", why)


def faults(appliance: Any, state: str, vm_options: Spec) -> list[str]:
    """Each thing that is wrong with an appliance that is to be in the state; ``vm_options`` are those of module vm.
    What a VM is like matters only to a state in which it is there."""
    appliance = _known(appliance)
    if not isinstance(appliance, Mapping):
        return ["an appliance is a mapping with hypervisor and vms"]
    options = {name: option for name, option in vm_options.items() if name not in _NOT_IN_A_FILE}
    if state not in ("present", "running"):
        options = {name: options[name] for name in _WHO}
        found = [str(problem) for problem in unknown_keys(appliance, _TOP) if "did you mean" in problem.rule]
    else:
        found = [str(problem) for problem in unknown_keys(appliance, _TOP)]
    vms = appliance.get("vms")
    if not _is_list(vms):
        return found or ["vms: is required, a list of VMs"]
    found += _hypervisor_faults("hypervisor", appliance.get("hypervisor"), every=_all_have_one(vms))
    found += _name_faults(vms)
    defaults = appliance.get("defaults") or {}
    if isinstance(defaults, _Unknown):
        return found
    found += _default_faults(defaults, options, whole=len(options) > len(_WHO))
    return found + ([] if found else _vm_faults(vms, defaults, options))


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes))


def _all_have_one(vms: Sequence[Any]) -> bool:
    return bool(vms) and all(isinstance(vm, Mapping) and vm.get("hypervisor") for vm in vms)


def _hypervisor_faults(place: str, told: Any, *, every: bool) -> list[str]:
    if isinstance(told, _Unknown) or (told is None and every):
        return []
    if not isinstance(told, Mapping):
        return [f"{place}: is required, a mapping with type and url"]
    if unknown := [str(problem) for problem in unknown_keys(told, _HYPERVISOR, place)]:
        return unknown
    if "type" not in told:
        return [f"{place}: type is required"]
    spec = {**CONNECTION, "hypervisor_type": {**CONNECTION["hypervisor_type"], "aliases": ["type"]}}
    return [f"{place}: {message}" for message in _broken(told, spec)[0]]


def _name_faults(vms: Sequence[Any]) -> Iterator[str]:
    names: list[str] = []
    for place, vm in enumerate(vms):
        if not isinstance(vm, Mapping):
            yield f"vms[{place}]: must be a mapping, with at least a name"
        elif "name" not in vm:
            meant = [str(problem) for problem in unknown_keys(vm, ["name"], f"vms[{place}]") if "mean" in problem.rule]
            yield meant[0] if meant else f"vms[{place}]: name is required"
        elif (name := _name(vm)) is not None:
            names.append(name)
    for name in dict.fromkeys(names):
        if (times := names.count(name)) > 1:
            yield f"vms: {times} of them are called {name!r}; each has a name of its own"


def _name(vm: Mapping[str, Any]) -> str | None:
    return None if isinstance(vm["name"], _Unknown) else str(vm["name"])


def _default_faults(defaults: Any, options: Spec, *, whole: bool) -> list[str]:
    if not whole:
        return []
    if not isinstance(defaults, Mapping):
        return ["defaults: must be a mapping"]
    optional = {name: {**option, "required": False} for name, option in options.items()}
    if unknown := list(_unknown(defaults, optional, "defaults")):
        return [str(problem) for problem in unknown]
    return [f"defaults: {message}" for message in _broken(defaults, optional)[0]]


def _vm_faults(vms: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], options: Spec) -> list[str]:
    """Those of all VMs; what is wrong with several of them for one reason is told once."""
    who: dict[str, list[str]] = {}
    for vm in vms:
        for fault in _faults_of_vm(vm, defaults, options):
            who.setdefault(fault, []).append(_name(vm) or "of a name that is not known yet")
    return [f"VM {', '.join(names)}: {fault}" for fault, names in who.items()]


def _faults_of_vm(vm: Mapping[str, Any], defaults: Mapping[str, Any], options: Spec) -> list[str]:
    whole = len(options) > len(_WHO)
    found = _hypervisor_faults("hypervisor", vm.get("hypervisor"), every=True)
    own = {key: value for key, value in vm.items() if key != "hypervisor" and (whole or key in options)}
    if unknown := list(_unknown(own, options, "")):
        return found + [str(problem) for problem in unknown]
    merged = {**defaults, **own} if whole else own
    broken, params = _broken(merged, options)
    if broken or not params or not whole:
        return found + broken
    try:
        if params["memory_mib"] is None:
            return [*found, "memory_mib: is required"]
        VmDefinition.from_dict({name: params[name] for name in argument_spec()})
    except InvalidData as error:
        return found + [str(problem) for problem in error.problems]
    return found


def _unknown(told: Mapping[str, Any], spec: Spec, path: str) -> Iterator[Problem]:
    """Keys that are not known, also of what is in what. Templates are not looked into."""
    known = [*spec, *(alias for option in spec.values() for alias in option.get("aliases", ()))]
    yield from unknown_keys(told, known, path)
    for name, option in spec.items():
        inner, value = option.get("options"), told.get(name)
        where = f"{path}.{name}" if path else name
        if inner and isinstance(value, Mapping):
            yield from _unknown(value, inner, where)
        elif inner and _is_list(value):
            for place, item in enumerate(value):
                if isinstance(item, Mapping):
                    yield from _unknown(item, inner, f"{where}[{place}]")


def _broken(told: Mapping[str, Any], spec: Spec) -> tuple[list[str], dict[str, Any]]:
    """What Ansible would say of the options, and what it makes of them; nothing where a value is not known yet."""
    if _is_partly_unknown(told):
        return [], {}
    result = ArgumentSpecValidator(spec).validate(dict(told))
    hidden = result._no_log_values  # what modules free their own messages of
    return [remove_values(message, hidden) for message in result.error_messages], result.validated_parameters


def _is_partly_unknown(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_partly_unknown, value.values()))
    return any(map(_is_partly_unknown, value)) if _is_list(value) else isinstance(value, _Unknown)


def _known(value: Any) -> Any:
    """The value without what templates cannot tell yet. Ansible evaluates each when it is taken out, and may fail."""
    if isinstance(value, Mapping):
        items = {key: _taken(value, key) for key in value}
        return {key: item for key, item in items.items() if type(item).__name__ != "Omit"}
    if _is_list(value):
        return [_taken(value, place) for place in range(len(value))]
    is_plain = value is None or isinstance(value, (str, int, float)) or type(value).__name__ == "Omit"
    return value if is_plain else _Unknown()


def _taken(value: Any, key: Any) -> Any:
    try:
        return _known(value[key])
    except (AnsibleError, UndefinedError):
        return _Unknown()
