# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM asks whoever changes it or switches it on. vSphere goes on only when somebody has answered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..errors import Busy
from .collector import Properties
from .waiting import Waiter

_QUESTION = "runtime.question"
#: The guest has locked the drive whose disc is to be another one. That is what was asked for.
_DISC_IN_USE, _YES = "msg.cdromdisconnect.locked", "0"


class Attending(Waiter):
    """Waits for tasks on a VM that may ask something meanwhile. What is known is answered; else nobody answers, so the
    wait ends with Busy, which says what was asked."""

    def __init__(self, collector: Any, vm: Any, name: str):
        super().__init__(collector)
        self._vm = vm
        self._name = name
        self._heard: set[str] = set()

    def _watched(self, subject: Any, paths: Sequence[str]) -> dict[Any, Sequence[str]]:
        return super()._watched(subject, paths) | {self._vm: [_QUESTION]}

    def until(self, subject: Any, paths: Sequence[str], done: Callable[[Properties], bool], seconds: float) -> bool:
        def attended(seen: Properties) -> bool:
            # What has ended needs no answer.
            if done(seen):
                return True
            self._attend(seen.get(_QUESTION))
            return False

        return super().until(subject, paths, attended, seconds)

    def _attend(self, question: Any) -> None:
        if question is None or question.id in self._heard:
            return
        self._heard.add(question.id)
        if not any(message.id == _DISC_IN_USE for message in question.message or ()):
            text = " ".join(question.text.split())
            raise Busy(f"VM {self._name!r} waits for an answer at the vCenter, and nobody here can give it: {text}")
        choices = question.choice.choiceInfo
        yes = next((choice.key for choice in choices if "yes" in (choice.label or "").lower()), _YES)
        self._vm.AnswerVM(question.id, yes)
