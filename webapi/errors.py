# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Errors that services raise and the API answers with. A code, once released, keeps its meaning."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem


class ApiError(Exception):
    """The request cannot be granted."""

    status = 500
    code = "internal"

    def __init__(self, message: str, *, code: str | None = None, **details: Any):
        super().__init__(message)
        self.message = message
        self.code = code or self.code
        self.details = details

    def body(self) -> dict[str, Any]:
        """The error as clients read it."""
        body = {"code": self.code, "message": self.message}
        return body | {"details": self.details} if self.details else body


class NotFound(ApiError):
    """There is nothing with this id."""

    status, code = 404, "not_found"


class Refused(ApiError):
    """A guard refuses the request in the present state; another time it may be granted."""

    status, code = 409, "refused"


class TooLarge(ApiError):
    """What a runner would have to be told is more than it takes."""

    status, code = 413, "request.too_large"


class Unauthorized(ApiError):
    """The request brings no valid token."""

    status, code = 401, "auth.required"


class Invalid(ApiError):
    """The request breaks rules; ``problems`` names each field and the rule."""

    status, code = 422, "request.invalid"

    def __init__(self, problems: Iterable[Problem]):
        self.problems = tuple(problems)
        of_definition = any("definition" in problem.path for problem in self.problems)
        super().__init__(
            "; ".join(map(str, self.problems)), code="definition.invalid" if of_definition else "request.invalid"
        )

    def body(self) -> dict[str, Any]:
        return super().body() | {"problems": [{"path": p.path, "rule": p.rule} for p in self.problems]}
