# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs become hosts: conditions on their variables, and those that can never hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from ansible.errors import AnsibleError, AnsibleParserError


class Filters:
    """Conditions, and what became of them."""

    def __init__(self, templar: Any, conditions: Sequence[str], *, strict: bool):
        self._templar = templar
        self._conditions = conditions
        self._strict = strict
        self._answered: Counter[str] = Counter()
        self._failures: dict[str, str] = {}

    def let_through(self, variables: dict[str, Any]) -> bool:
        """Whether each condition holds. Raises AnsibleParserError for one without an answer, if that is wanted."""
        self._templar.available_variables = variables
        return all(self._holds(condition, variables) for condition in self._conditions)

    def _holds(self, condition: str, variables: dict[str, Any]) -> bool:
        try:
            holds = bool(self._templar.evaluate_conditional(condition))
        except AnsibleError as error:
            if self._strict:
                raise AnsibleParserError(f"filters: {variables['millwright_name']}: {error}") from error
            self._failures.setdefault(condition, str(error))
            return False
        self._answered[condition] += 1
        return holds

    @property
    def warnings(self) -> Iterator[str]:
        """Of conditions that had no answer for any VM: they are mistyped, or ask for what no VM has."""
        for condition, reason in self._failures.items():
            if not self._answered[condition]:
                yield f"filters: {condition!r} leaves out every VM, as it has no answer for any of them: {reason}"
