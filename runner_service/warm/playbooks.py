# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible within the warm server: what is loaded once, and how a forked process becomes one run of a playbook.

This leans on internals of ansible-core 2.19, which is pinned; tests hold both ways of running a playbook alike.
"""

from __future__ import annotations

import gc
import importlib
import locale
import logging
import os
import secrets
import shutil
import signal
import sys
import sysconfig
import tempfile
import time
import warnings
from contextlib import closing, redirect_stderr, suppress
from pathlib import Path
from typing import Any

from .configuration import frozen
from .wire import Request

#: What runs load beside ``ansible.cli.playbook``, which Ansible would only load when a run needs it.
_MODULES = (
    "ansible.executor.playbook_executor",
    "ansible.executor.process.worker",
    "ansible.executor.task_executor",
    "ansible.module_utils._internal._json._profiles._module_legacy_c2m",
    "ansible.module_utils._internal._json._profiles._module_legacy_m2c",
    "ansible.module_utils.basic",
    "ansible.parsing.yaml.loader",
    "ansible.playbook.handler_task_include",
    "ansible.plugins.action.normal",
    "ansible.plugins.strategy",
    "ansible._internal._yaml._loader",
    "jinja2.nativetypes",
    "multiprocessing.popen_fork",
    "multiprocessing.synchronize",
)
#: Of these kinds each run loads all that there are.
_KINDS = ("become_loader", "callback_loader", "connection_loader", "shell_loader")
_PLUGINS = {
    "action_loader": ("ansible.builtin.debug", "ansible.builtin.set_fact", "ansible.builtin.assert"),
    "cache_loader": ("memory",),
    "inventory_loader": ("host_list", "ini", "yaml", "script", "auto"),
    "strategy_loader": ("linear", "free", "host_pinned"),
}
#: Loads all modules and drivers of the collection, and the SDKs of hypervisors as far as they are here.
_OURS = "ansible_collections.millwright.virt.plugins.action.vm"


class Preloaded:
    """Ansible, loaded with the settings of this process's environment."""

    #: As which a run knows itself: `ansible-playbook --version` tells where it is.
    program = str(Path(sys.executable).with_name("ansible-playbook"))

    def __init__(self) -> None:
        began = time.time_ns()
        self._said = _load()
        self._workers = importlib.import_module(f"{__package__}.kept_workers").install()
        self.settings = frozen(os.environ)
        self._config = _configuration()
        self._files = {file: _changed_at(file) for file in _sources()}
        if self._config[0]:
            self._files[self._config[0]] = self._config[1]
        #: A file was replaced while it was loaded, or after: which of both is in memory nobody can tell.
        self._is_mixed = any(changed >= began for file, changed in self._files.items() if changed and _is_file(file))
        gc.collect()
        gc.freeze()

    @property
    def file(self) -> str | None:
        """Of the configuration."""
        return self._config[0]

    def is_stale(self) -> bool:
        """Whether what was loaded has changed since it began to be loaded: a plugin, a collection, a package, the
        configuration; or what there is to load."""
        return self._is_mixed or any(_changed_at(file) != changed_at for file, changed_at in self._files.items())

    def become(self, request: Request) -> bool:
        """Make this forked process what the request describes, but for its standard streams. False: the run wants
        Ansible to be configured in another way than it was loaded with here."""
        os.environ.clear()
        for variable in request.environment:
            name, _, value = variable.partition(b"=")
            os.environb[name] = value
        os.umask(request.umask)
        os.chdir(request.directory)
        sys.argv = [self.program, *(os.fsdecode(argument) for argument in request.arguments)]
        return frozen(os.environ) == self.settings and _configuration() == self._config

    def run(self) -> int:
        """Run the playbook that sys.argv names; the exit code."""
        with _fresh_state(), closing(self._workers):
            sys.stderr.write(self._said)
            return _run()


def _load() -> str:
    """What Ansible had to say of its configuration meanwhile: each run is to say it."""
    with tempfile.TemporaryFile("w+") as said, redirect_stderr(said):
        importlib.import_module("ansible.cli.playbook")
        said.seek(0)
        warnings_of_configuration = said.read()
    _load_what_runs_need()
    return warnings_of_configuration


def _load_what_runs_need() -> None:
    loader = importlib.import_module("ansible.plugins.loader")
    loader.init_plugin_loader([])
    # Each run says it again, to no effect.
    warnings.filterwarnings("ignore", "AnsibleCollectionFinder has already been configured")
    for name in _MODULES:
        importlib.import_module(name)
    for kind in _KINDS:
        list(getattr(loader, kind).all(class_only=True))
    for kind, names in _PLUGINS.items():
        for name in names:
            getattr(loader, kind).get(name, class_only=True)
    loader.callback_loader.get(importlib.import_module("ansible.constants").DEFAULT_STDOUT_CALLBACK, class_only=True)
    # This loader keeps instances: a class would be taken for one.
    loader.vars_loader.get("host_group_vars")
    _let_adjacent_plugins_win(loader)
    _template_once()
    _rehearse()
    with suppress(ImportError):
        _rehearse_module(importlib.import_module(_OURS))


def _let_adjacent_plugins_win(loader: Any) -> None:
    """Where a playbook or a role brings a plugin of its own under the name of one that is loaded already, it is used:
    by itself Ansible takes whatever was loaded first under a name, which otherwise is the one found first."""
    preloaded = {name for name in sys.modules if name.startswith("ansible.plugins.")}
    original = loader.PluginLoader.add_directory

    def add_directory(self: Any, directory: str, with_subdir: bool = False) -> None:  # noqa: FBT001, FBT002  # Ansible's
        original(self, directory, with_subdir)
        place = Path(directory or "", self.subdir if with_subdir else "")
        for name in {f"{self.package}.{file.stem}" for file in place.glob("*.py")} & preloaded:
            sys.modules.pop(name, None)
            preloaded.discard(name)

    loader.PluginLoader.add_directory = add_directory


def _template_once() -> None:
    """So that filters and tests are loaded, and what templating keeps is there."""
    tags: Any = importlib.import_module("ansible.template")
    loader: Any = importlib.import_module("ansible.parsing.dataloader").DataLoader()
    text = "{{ {'a': 1} | dict2items | rejectattr('key', 'equalto', 'b') | items2dict | combine(c | default({})) }}"
    tags.Templar(loader).template(tags.trust_as_template(text))


def _rehearse() -> None:
    """Read arguments, an inventory and a playbook as a run will: Ansible keeps what it has made of its own files then,
    and Python the patterns. Nothing is run."""
    importlib.import_module("ansible.cli.playbook").PlaybookCLI(["ansible-playbook", "none.yml"]).init_parser()
    loader: Any = importlib.import_module("ansible.parsing.dataloader").DataLoader()
    with tempfile.TemporaryDirectory() as directory:
        inventory, playbook = Path(directory, "hosts.yml"), Path(directory, "play.yml")
        inventory.write_text("all: {hosts: {a: {text: !unsafe 'b', number: 1, much: 1.5}}}")
        playbook.write_text(
            "[{hosts: all, gather_facts: false, tasks: [{name: Say, ansible.builtin.debug: {msg: a}}]}]"
        )
        hosts = importlib.import_module("ansible.inventory.manager").InventoryManager(loader, [str(inventory)])
        variables = importlib.import_module("ansible.vars.manager").VariableManager(loader, hosts)
        importlib.import_module("ansible.playbook").Playbook.load(str(playbook), variables, loader)
    # What it keeps of the command line is each run's own.
    options: Any = importlib.import_module("ansible.utils.vars")
    options.load_options_vars.options_vars = options.load_extra_vars.extra_vars = None


def _rehearse_module(action: Any) -> None:
    """Ask a hypervisor for a VM that nobody has, so that specs, and what Python has made of our types, are there."""
    nowhere = {"hypervisor_type": "fake", "url": "fake:///nonexistent", "name": "a", "memory_mib": 1}
    action.said_by("vm", {**nowhere, "state": "present", "_ansible_check_mode": True})


def _configuration() -> tuple[str | None, int | None]:
    """The configuration file that counts in this directory and environment, and when it was changed."""
    manager = importlib.import_module("ansible.config.manager")
    file = manager.find_ini_config_file()
    return (file, _changed_at(file)) if file and _size(file) else (None, None)


def _size(file: str) -> int:
    """An empty configuration file configures nothing, wherever it is."""
    try:
        return Path(file).stat().st_size
    except OSError:
        return 0


def _changed_at(file: str) -> int | None:
    """By the time that nobody sets: what is unpacked may have any time of modification."""
    try:
        return Path(file).stat().st_ctime_ns
    except OSError:
        return None


def _is_file(file: str) -> bool:
    """Directories change when Python keeps in them what it has compiled."""
    return Path(file).is_file()


def _sources() -> set[str]:
    """Files that were loaded from elsewhere than this Python, and Ansible's version; directories where one could be
    that would have been loaded; and those of this Python's packages, which change when one is installed."""
    constants: Any = importlib.import_module("ansible.constants")
    loader: Any = importlib.import_module("ansible.plugins.loader")
    files = {file for module in list(sys.modules.values()) if (file := getattr(module, "__file__", None))}
    roots = (sys.prefix, sys.base_prefix)
    own = {file for file in files if not file.startswith(roots) or "ansible_collections" in file}
    collections = [Path(path).expanduser() / "ansible_collections" for path in constants.COLLECTIONS_PATHS]
    searched = {str(path) for kind in (*_KINDS, *_PLUGINS) for path in getattr(loader, kind).config or ()}
    namespaces = {str(path / name) for path in collections for name in ("", "millwright")}
    packages = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    return own | searched | namespaces | packages | {importlib.import_module("ansible.release").__file__ or ""}


class _fresh_state:  # noqa: N801  # used like a function
    """What a process that has just started would have of its own, where the server's would be inherited."""

    def __enter__(self) -> None:
        locale.setlocale(locale.LC_ALL, "")
        time.tzset()
        tempfile.tempdir = None
        if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        ansible_vars: Any = importlib.import_module("ansible.utils.vars")
        ansible_vars.random_int = f"{secrets.randbits(32):08x}"
        self._directory = _own_directories()
        _colour_as_terminal_can()
        _events_to_their_run()
        _log_to_the_file_that_is_there()

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)


def _own_directories() -> str:
    """Ansible's home and temporary directory, as the environment names them; the latter is to be removed."""
    constants: Any = importlib.import_module("ansible.constants")
    home = os.environ.get("ANSIBLE_HOME", "~/.ansible")
    parent = Path(os.environ.get("ANSIBLE_LOCAL_TEMP") or Path(home, "tmp")).expanduser()
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    constants.ANSIBLE_HOME = home
    constants.DEFAULT_LOCAL_TMP = tempfile.mkdtemp(prefix=f"ansible-local-{os.getpid()}", dir=parent)
    return str(constants.DEFAULT_LOCAL_TMP)


def _colour_as_terminal_can() -> None:
    """Ansible asks the terminal for colours and its width when it is loaded, and the server has none."""
    importlib.reload(importlib.import_module("ansible.utils.color"))
    display: Any = importlib.import_module("ansible.utils.display")
    display.Display()._set_column_width()


def _log_to_the_file_that_is_there() -> None:
    """Ansible opens the file that its ``log_path`` names when it is loaded; it may have been rotated since."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.close()  # it is opened again with the first line


def _events_to_their_run() -> None:
    """ansible-runner's callback looks for the run's directory when it is loaded."""
    callback: Any = sys.modules.get("ansible.plugins.callback.awx_display")
    if callback is not None and "AWX_ISOLATED_DATA_DIR" in os.environ:
        callback.event_context.cache = callback.IsolatedFileWrite()


def _run() -> int:
    cli = importlib.import_module("ansible.cli.playbook").PlaybookCLI
    try:
        importlib.import_module("ansible.cli").check_blocking_io()
        cli.cli_executor(sys.argv)
    except SystemExit as end:
        return _code_of(end)
    return 0


def _code_of(end: SystemExit) -> int:
    """As Python ends itself: a text is said."""
    if end.code is None or isinstance(end.code, int):
        return end.code or 0
    sys.stderr.write(f"{end.code}\n")
    return 1
