# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the collection's modules inside the Ansible worker, where that is the same as the ordinary way and faster.

An ordinary local module starts an interpreter of its own and imports all of itself from a zip; most of a small
operation's time goes there. Here the module's own ``main()`` runs in the worker, which Ansible forks for every task
anyway. It reads its arguments and says its result in the same form as ever, so there is one implementation.
"""

from __future__ import annotations

import importlib
import io
import json
import os
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from ansible.module_utils import basic
from ansible.module_utils.common.json import Direction, get_module_encoder
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action.normal import ActionModule as OrdinaryAction
from ansible.vars.clean import remove_internal_keys

#: How arguments and results are written down for modules that do not ask for another way.
PROFILE = "legacy"
MODULES = "ansible_collections.millwright.virt.plugins.modules"
#: Options that name a file of the host where a module runs.
PLACES = ("credentials_file", "ca_path", "session_file")
DRIVERS = "ansible_collections.millwright.virt.plugins.module_utils.drivers.registry"


class ActionModule(OrdinaryAction):
    """Serves every module of the collection, for each under its own name: by that Ansible's strategies load it before
    they fork workers."""

    def _execute_module(self, *args: Any, task_vars: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
        told = task_vars or {}
        if self._connection.transport == "local":
            self._task.args = with_places(self._task.args)
        if options.get("wrap_async") or not self._is_here(told):
            return super()._execute_module(*args, task_vars=task_vars, **options)
        name, arguments = self._task.action, self._task.args
        self._update_module_args(name, arguments, told)
        result = self._parse_returned_data(said_by(name.rpartition(".")[2], arguments), PROFILE)
        remove_internal_keys(result)
        return result

    def _is_here(self, told: dict[str, Any]) -> bool:
        """Whether the task asks for nothing that this process is not: another host, user, environment or Python."""
        return (
            self._connection.transport == "local"
            and not self._connection.become
            and not any(self._task.environment or ())
            and self._told(told, "ansible_python_interpreter", "") == sys.executable
            and boolean(self._told(told, "millwright_in_worker", default=True))
        )

    def _told(self, told: dict[str, Any], name: str, default: Any) -> Any:
        return self._templar.template(told[name]) if name in told else default


def with_places(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, and the environment, with files that are named relative to where Ansible was started in full. An
    ordinary local module starts where the playbook is, one in the worker where Ansible was: each would take another."""
    for name in PLACES:
        variable = f"MILLWRIGHT_{name.upper()}"
        if _is_relative(os.environ.get(variable)):
            os.environ[variable] = str(Path.cwd() / os.environ[variable])
    return {
        name: str(Path.cwd() / value) if name in PLACES and _is_relative(value) else value
        for name, value in arguments.items()
    }


def _is_relative(path: Any) -> bool:
    """Not one that begins with what the module expands (~, $HOME): it may run as somebody else."""
    return isinstance(path, str) and path != "" and not path.startswith(("/", "~", "$"))


def said_by(module_name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Run a module's ``main()``; what it printed, in the form of a command's result."""
    encoder = get_module_encoder(PROFILE, Direction.CONTROLLER_TO_MODULE)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": arguments}, cls=encoder).encode()
    basic._ANSIBLE_PROFILE = PROFILE
    out, err, status = io.StringIO(), io.StringIO(), 0
    with redirect_stdout(out), redirect_stderr(err):
        try:
            importlib.import_module(f"{MODULES}.{module_name}").main()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else 1
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends this task and no other
            # Not the error's text or trace: they may hold a secret that the module had no chance to mask.
            out = io.StringIO(json.dumps({"failed": True, "msg": f"the module ended with {type(error).__name__}"}))
    return {"stdout": out.getvalue(), "stderr": err.getvalue(), "rc": status}


def _load_for_all_workers() -> None:
    """A worker that finds all of it loaded is ready at once. What is missing here is told by the task that needs it."""
    for module in sorted(Path(__file__).parents[1].joinpath("modules").glob("[a-z]*.py")):
        importlib.import_module(f"{MODULES}.{module.stem}")
    importlib.import_module(DRIVERS).load_all()


_load_for_all_workers()
