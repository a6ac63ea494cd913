# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every error becomes an answer in the one shape that clients read, whatever raised it."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

from flask import Flask
from flask_smorest import Api
from sqlalchemy.exc import OperationalError
from werkzeug.exceptions import HTTPException

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from .errors import ApiError, Invalid
from .schemas.base import ErrorSchema

log = logging.getLogger(__name__)

Answer = tuple[dict[str, Any], int]

_CODES = {
    400: "request.invalid",
    404: "not_found",
    405: "method_not_allowed",
    413: "request.too_large",
    415: "request.invalid",
    422: "request.invalid",
}

#: marshmallow's words for what the definition has words of its own.
_WORDS = {"Missing data for required field.": "is required", "Unknown field.": "unknown field"}


class MillwrightApi(Api):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest with our error body."""

    ERROR_SCHEMA = ErrorSchema

    def handle_http_exception(self, error: HTTPException) -> Answer:
        messages = getattr(error, "data", {}).get("messages")
        if messages:
            return of_api_error(Invalid(_problems(messages)))
        status = error.code or 500
        return {"code": _CODES.get(status, f"http.{status}"), "message": error.description or error.name}, status


def _problems(messages: Mapping[str, Any]) -> Iterator[Problem]:
    """webargs nests what is wrong by place in the request, field by field."""
    for found in messages.values():
        yield from _flat(found, "")


def _flat(found: Any, path: str) -> Iterator[Problem]:
    if isinstance(found, Mapping):
        for key, inner in found.items():
            yield from _flat(inner, _below(path, key))
    else:
        texts = found if isinstance(found, list) else [found]
        yield from (Problem(path, _WORDS.get(str(text), str(text))) for text in texts)


def _below(path: str, key: Any) -> str:
    if isinstance(key, int):
        return f"{path}[{key}]"
    if key == "_schema":
        return path
    return f"{path}.{key}" if path else str(key)


def of_api_error(error: ApiError) -> Answer:
    return error.body(), error.status


def _of_lost_database(error: OperationalError) -> Answer:
    log.error("database: %s", error.orig)
    return {"code": "database.unavailable", "message": "the database does not answer; try again soon"}, 503


def _of_bug(error: Exception) -> Answer:
    """Neither the client nor the log of somebody else's request learns what went wrong inside: the id joins the two."""
    mark = uuid.uuid4().hex
    log.error("error %s", mark, exc_info=error)
    message = f"something went wrong here; the service's log has the details under {mark}"
    return {"code": "internal", "message": message, "details": {"error_id": mark}}, 500


def register(app: Flask) -> None:
    app.register_error_handler(ApiError, of_api_error)
    app.register_error_handler(OperationalError, _of_lost_database)
    app.register_error_handler(Exception, _of_bug)
