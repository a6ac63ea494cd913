# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Ansible reads once, when it is loaded: runs that agree in all of it can be run by one server.

As ``shim``, it only imports what costs no time.
"""

from __future__ import annotations

import os
import stat
import sys
from _blake2 import blake2s

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Read by Ansible, Python or the loader of shared libraries before there is a run.
_FROZEN = ("ANSIBLE_", "PYTHON", "HOME=", "LC_ALL=", "LC_CTYPE=", "LANG=", "NO_COLOR=", "LD_")
#: But for these, which are read anew for each run, by Ansible or here.
_PER_RUN = frozenset({"ANSIBLE_HOME", "ANSIBLE_LOCAL_TEMP", "ANSIBLE_REMOTE_TEMP", "ANSIBLE_CONFIG"})
#: A server is started with these, too: nothing else of its first caller stays in its memory.
_KEPT = ("PATH=", "USER=", "LOGNAME=", "TMPDIR=", "TZ=", *_FROZEN)
_PLAIN = frozenset({"", "true", "false", "yes", "no", "on", "off"})


def frozen(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment counts only when Ansible is loaded."""
    return {
        name: value for name, value in environment.items() if name not in _PER_RUN and f"{name}=".startswith(_FROZEN)
    }


def kept(environment: Mapping[str, str]) -> dict[str, str]:
    """What of an environment a server needs."""
    return {name: value for name, value in environment.items() if f"{name}=".startswith(_KEPT)}


def file(environment: Mapping[str, str]) -> str | None:
    """The configuration file that counts here: what Ansible finds (a test holds both alike)."""
    for path in _candidates(environment):
        if os.access(path, os.F_OK) and os.access(path, os.R_OK):
            return path
    return None


def _candidates(environment: Mapping[str, str]) -> Iterator[str]:
    named = environment.get("ANSIBLE_CONFIG")
    if named is not None:
        path = os.path.abspath(os.path.expanduser(os.path.expandvars(named)))  # noqa: PTH100, PTH111
        yield path + "/ansible.cfg" if os.path.isdir(path) else path  # noqa: PTH112
    if not _anybody_writes_here():
        yield os.getcwd() + "/ansible.cfg"  # noqa: PTH109
    yield os.path.abspath(os.path.expanduser("~/.ansible.cfg"))  # noqa: PTH100, PTH111
    yield "/etc/ansible/ansible.cfg"


def _anybody_writes_here() -> bool:
    return bool(os.stat(".").st_mode & stat.S_IWOTH)  # noqa: PTH116


def is_passed_over() -> bool:
    """Whether Ansible would warn that it passes over a configuration file, as anybody could have put it here."""
    return _anybody_writes_here() and os.access("ansible.cfg", os.F_OK)


def key(program: str, environment: Mapping[str, str]) -> str:
    """Names the servers that could run playbooks here, as this process would: what differs for them is in it.
    ``program`` is what would be started. Raises OSError where there is no directory to be in."""
    counts = file(environment)
    parts = [
        program,
        sys.executable,
        counts or "",
        *_settings(environment),
        _here(environment, counts),
        _rights(),
        _limits(),
    ]
    return blake2s("\0".join(parts).encode("utf-8", "surrogateescape"), digest_size=8).hexdigest()


def _settings(environment: Mapping[str, str]) -> list[str]:
    named = {name: value for name, value in environment.items() if name in _PER_RUN and name != "ANSIBLE_CONFIG"}
    return sorted(f"{name}={value}" for name, value in {**frozen(environment), **named}.items())


def _here(environment: Mapping[str, str], counts: str | None) -> str:
    """The directory, where settings may be meant from there on: in variables, or by {{CWD}} in the file."""
    values = [value for name, value in environment.items() if name.startswith("ANSIBLE_") and name != "ANSIBLE_CONFIG"]
    return os.getcwd() if any(map(_is_relative, values)) or _mentions_here(counts) else ""  # noqa: PTH109


def _is_relative(value: str) -> bool:
    parts = value.replace(",", ":").split(":")
    return any(not part.startswith(("/", "~")) and not _is_plain(part) for part in parts)


def _is_plain(part: str) -> bool:
    return part.lower() in _PLAIN or part.isdigit()


def _mentions_here(path: str | None) -> bool:
    if path is None:
        return False
    with open(path, "rb") as text:  # noqa: PTH123
        return b"CWD" in text.read()


def _rights() -> str:
    return f"{os.getuid()} {os.getgid()} {sorted(os.getgroups())}"


def _limits() -> str:
    """A server could not raise what it was started with."""
    with open("/proc/self/limits", encoding="ascii") as limits:  # noqa: PTH123
        return f"{os.getpriority(os.PRIO_PROCESS, 0)} {limits.read()}"
