# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From what Ansible said about a run to the outcome of its job."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

from ansible_collections.millwright.virt.plugins.module_utils.vm.parts import DiskFormat

from ..contract.messages import ErrorReport, SnapshotFacts, TemplateFacts
from ..core.steps import Outcome

#: Longest text of an error, in characters; its end is kept, where the reason mostly is.
MAX_TEXT = 4_000
#: Shorter secrets are not looked for in texts: they would be found everywhere.
MIN_SECRET = 4

#: So many results of a host are kept, the last ones. An operation's playbook has one task or two.
MAX_RESULTS = 100
#: So many of the lines that Ansible prints.
MAX_LINES = 40

_OF_A_SNAPSHOT = tuple(field.name for field in fields(SnapshotFacts))
_RESULTS = {"runner_on_ok": True, "runner_on_failed": False, "runner_on_unreachable": False}


class TaskResult(NamedTuple):
    """What a task of a playbook said at its end."""

    task: str
    ok: bool
    result: Mapping[str, Any]


class Listening:
    """Collects from what is told of one host the results of its tasks, and which of them counts."""

    def __init__(self, task: str, said: deque[str] | None = None):
        """``said``: the last lines that Ansible printed, whichever host they are about."""
        self._task = task
        self.begun = False
        self.ok = False
        self.result: Mapping[str, Any] | None = None
        self.results: deque[TaskResult] = deque(maxlen=MAX_RESULTS)
        self.said = said if said is not None else deque(maxlen=MAX_LINES)

    def hear(self, kind: str, told: Mapping[str, Any]) -> None:
        """A failure of an earlier task counts, because nothing follows it."""
        self.begun = True
        ok = _RESULTS.get(kind)
        if ok is None:
            return
        heard = TaskResult(str(told.get("task")), ok, told.get("res") or {})
        self.results.append(heard)
        if not ok or heard.task == self._task:
            self.ok, self.result = ok, heard.result

    @property
    def is_over(self) -> bool:
        """The named task has ended, or will not be reached: nothing works for this host any more."""
        return self.result is not None


def outcome_of(heard: Listening, tried: str, secrets: tuple[str, ...]) -> Outcome:
    """``tried`` says what was tried on what; ``secrets`` are left out of all texts.

    Without a word of the module nobody saw whether the operation was carried out: the outcome is unseen."""
    result = heard.result
    if result is None or (not heard.ok and "code" not in result):
        said = str(result.get("msg", "")) if result else ""
        detail = said or "\n".join(heard.said)
        # Without any result, somebody ended it from outside: the next try finds what this one left.
        error = ErrorReport(
            code="runner.no_result", message=f"{tried} ended without a result", detail=scrub(detail, secrets),
            retryable=result is None,
        )  # fmt: skip
        return Outcome(error=error, unseen=True)
    # A check passes over a VM that is not there, for the sake of plays that make it; for a job it is a failure.
    if not heard.ok or "code" in result:
        return Outcome(error=_reported(result, secrets), vm=_mapping(result.get("vm")))
    return Outcome(
        changed=bool(result.get("changed")), vm=_mapping(result.get("vm")), before=_mapping(result.get("before")),
        host=_mapping(result.get("host")), snapshots=_snapshots(result.get("snapshots")),
        template=_template(result.get("template")),
    )  # fmt: skip


def failed(code: str, message: str, detail: str = "", *, begun: bool = True, unseen: bool = False) -> Outcome:
    return Outcome(error=ErrorReport(code=code, message=message, detail=detail, begun=begun), unseen=unseen)


def _reported(result: Mapping[str, Any], secrets: tuple[str, ...]) -> ErrorReport:
    left = result.get("left")
    return ErrorReport(
        code=str(result["code"]),
        message=scrub(result.get("msg"), secrets),
        detail=scrub(result.get("detail"), secrets),
        retryable=result.get("retryable") is True,
        left=tuple(scrub(name, secrets) for name in left) if isinstance(left, list) else (),
        begun=result.get("begun") is not False,
    )


def scrub(text: Any, secrets: tuple[str, ...]) -> str:
    """The text without the secrets and without what is no Unicode, bounded."""
    return without("" if text is None else str(text), secrets)[-MAX_TEXT:]


def without(text: str, secrets: tuple[str, ...]) -> str:
    """The text without the secrets. Lone surrogates, that stand for bytes that are no UTF-8 (as in names of files), are
    written out: no database keeps them."""
    for secret in secrets:
        if len(secret) >= MIN_SECRET:
            # As Ansible prints it, too: within JSON.
            for form in (secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
                text = text.replace(form, "********")
    return text.encode(errors="backslashreplace").decode()


def _snapshots(trees: Any) -> tuple[SnapshotFacts, ...] | None:
    """From the trees that a module tells, a parent before its children. None if it tells none."""
    return tuple(_flat(trees)) if isinstance(trees, list) else None


def _flat(trees: list[Any]) -> Iterator[SnapshotFacts]:
    """What is no snapshot is passed over."""
    waiting = list(reversed(trees))
    while waiting:
        tree = waiting.pop()
        if not isinstance(tree, dict) or not tree.get("name"):
            continue
        yield SnapshotFacts(**{name: tree[name] for name in _OF_A_SNAPSHOT if name in tree})
        waiting += reversed(tree.get("children") or ())


def _template(told: Any) -> TemplateFacts | None:
    """None where there is none yet, as in check mode."""
    if not isinstance(told, dict) or told.get("format") not in set(DiskFormat):
        return None
    return TemplateFacts(
        name=str(told["name"]), format=DiskFormat(told["format"]), pool=str(told.get("pool") or ""),
        size_mib=told.get("size_mib"),
    )  # fmt: skip


def _mapping(value: Any) -> dict[str, Any] | None:
    return value if isinstance(value, dict) else None
