# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One run of one playbook through ansible-runner, which nothing else here imports."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_runner import Runner, RunnerConfig

#: What a run inherits of the runner's environment, beside what ansible-runner sets for it.
_INHERITED = ("HOME", "TZ")
_OF_ANSIBLE_RUNNER = ("AWX_", "RUNNER_", "ANSIBLE_CALLBACK_PLUGINS", "ANSIBLE_STDOUT_CALLBACK", "ANSIBLE_RETRY_FILES")


@dataclass(frozen=True, kw_only=True)
class Playbook:
    """What is run: a playbook of a collection, or in check mode what it would do."""

    name: str
    collections_path: str
    check: bool = False
    #: On how many hosts at once.
    forks: int = 1
    #: Where ansible-playbook is looked for before the place beside this interpreter.
    programs: Path | None = None


def progress_file_of(directory: Path) -> Path:
    """Written each time the run gets on, by drivers that can tell (module_utils/progress.py)."""
    return directory / "progress"


def run_playbook(
    directory: Path, playbook: Playbook, hear: Callable[[Any], bool], cancelled: Callable[[], bool]
) -> None:
    """Run the playbook over ``directory/inventory.yml``; ``hear`` is given each event and must return at once.

    ``cancelled`` is asked about twice a second; once it is true the run is killed.
    """
    config = RunnerConfig(
        private_data_dir=str(directory), playbook=playbook.name, cmdline=_options(playbook),
        inventory=str(directory / "inventory.yml"), fact_cache_type="", quiet=True,
        settings={"pexpect_timeout": 0.5, "suppress_output_file": True},
        suppress_ansible_output=True, envvars={"PATH": _path(playbook.programs)},
    )  # fmt: skip
    # Empty, and named: so that no other configuration file is looked for.
    (directory / "ansible.cfg").touch()
    config.prepare()
    config.env = environment_of(config.env, directory, playbook)
    config.suppress_output_file = True
    config.pexpect_timeout = 0.5
    Runner(config, event_handler=hear, cancel_callback=cancelled).run()


def _options(playbook: Playbook) -> str:
    return f"--forks {playbook.forks}{' --check' if playbook.check else ''}"


def warm_environment(directory: Path, collections_path: str) -> dict[str, str]:
    """What a process must have that loads Ansible for runs: they differ from it in their directories alone."""
    config = RunnerConfig(private_data_dir=str(directory), playbook="none.yml", fact_cache_type="", quiet=True)
    config.prepare()
    return environment_of(config.env, directory, Playbook(name="none.yml", collections_path=collections_path))


def _path(programs: Path | None) -> str:
    """Where ansible-playbook is: beside this interpreter, if not elsewhere."""
    places = f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    return f"{programs}:{places}" if programs else places


def environment_of(prepared: Mapping[str, str], directory: Path, playbook: Playbook) -> dict[str, str]:
    """The run's whole environment, by an allow-list: the service's own holds secrets that are none of Ansible's."""
    kept = {
        name: value for name, value in prepared.items() if name in _INHERITED or name.startswith(_OF_ANSIBLE_RUNNER)
    }
    return kept | {
        "PATH": _path(playbook.programs),
        "LC_ALL": "C.UTF-8",
        "TMPDIR": str(directory),
        "MILLWRIGHT_PROGRESS_FILE": str(progress_file_of(directory)),
        "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
        "ANSIBLE_HOME": str(directory / "ansible"),
        "ANSIBLE_LOCAL_TEMP": str(directory / "ansible" / "tmp"),
        "ANSIBLE_REMOTE_TEMP": str(directory / "ansible" / "tmp"),
        "ANSIBLE_COLLECTIONS_PATH": playbook.collections_path,
        "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.yaml",
        "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1",
        "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_DEPRECATION_WARNINGS": "0",
    }
