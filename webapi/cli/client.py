# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The client of the API: one method a verb, and the API's refusals as errors that a person can act on."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from webapi.cli.errors import Refused, Unreachable

BASE = "/api/v1"
#: The API's own bound on one page.
PAGE = 200
#: Answers of an API that lacks something it needs, as its database, for a while.
_COMES_BACK = frozenset({502, 503, 504})

Json = dict[str, Any]


class Client:
    """One connection to one API, named with or without BASE. Every method returns the API's JSON and raises Refused
    or Unreachable; an address that cannot be one is Unreachable at once."""

    def __init__(self, api: str, token: str | None = None):
        self.api = _address(api)
        self._skew = timedelta()
        self._http = httpx.Client(
            base_url=self.api + BASE,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=httpx.Timeout(60, connect=5),
            trust_env=not _on_this_machine(self.api),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **filters: str | int | None) -> Json:
        """Filters that are None are left out."""
        return self._ask("GET", path, params={name: value for name, value in filters.items() if value is not None})

    def post(self, path: str, body: Json | None = None) -> Json:
        return self._ask("POST", path, json=body or {})

    def put(self, path: str, body: Json) -> Json:
        return self._ask("PUT", path, json=body)

    def patch(self, path: str, body: Json) -> Json:
        return self._ask("PATCH", path, json=body)

    def delete(self, path: str) -> None:
        self._ask("DELETE", path)

    def delete_later(self, path: str, **how: str) -> Json:
        """Ask for what takes a task to be deleted; the answer is the task."""
        return self._ask("DELETE", path, params=how)

    def listing(self, path: str, *, limit: int = 0, **filters: str | int | None) -> Json:
        """A list as the API gives it ({"items", "next"}), of at most ``limit`` items (0: all), over as many pages as
        that takes. ``next`` is None if nothing was left out."""
        page = self.get(path, limit=_page_size(limit), **filters)
        items = page["items"]
        while page["next"] and (not limit or len(items) < limit):
            page = self.get(path, limit=_page_size(limit, len(items)), after=page["next"], **filters)
            items += page["items"]
        return {"items": items, "next": page["next"]}

    def now(self) -> datetime:
        """The time by the API's clock, so that how long something takes is never told by two clocks."""
        return datetime.now(UTC) + self._skew

    def _ask(self, method: str, path: str, **content: Any) -> Json:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise Unreachable(
                f"cannot reach the API at {self.api}: {error or type(error).__name__}\n"
                "  Is it running (millwright api)? Another address: --api or MILLWRIGHT_API."
            ) from error
        self._read_clock(answer)
        return self._read(answer)

    def _read_clock(self, answer: httpx.Response) -> None:
        """The header counts whole seconds, so a smaller difference is none."""
        if "date" in answer.headers:
            skew = parsedate_to_datetime(answer.headers["date"]) - datetime.now(UTC)
            self._skew = skew if abs(skew) > timedelta(seconds=2) else timedelta()

    def _read(self, answer: httpx.Response) -> Json:
        if answer.status_code == httpx.codes.NO_CONTENT:
            return {}
        try:
            body = answer.json()
        except ValueError:
            body = None
        if not isinstance(body, dict):
            raise Unreachable(
                f"what answers at {self.api} is not a Millwright API: HTTP {answer.status_code} without JSON"
            )
        if answer.status_code in _COMES_BACK:
            raise Unreachable(f"the API at {self.api} cannot work now: {body.get('message')} [{body.get('code')}]")
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            body["message"] = f"{body.get('message')}. Give it with --token or MILLWRIGHT_TOKEN."
        if answer.is_error:
            raise Refused(answer.status_code, body)
        return body


def _page_size(limit: int, read: int = 0) -> int:
    return min(limit - read, PAGE) if limit else PAGE


def _address(api: str) -> str:
    """Where the API is, without BASE, which the demo and the API's own documents show with it."""
    try:
        parts, url = urlsplit(api), httpx.URL(api)
        well_formed = parts.scheme in ("http", "https") and bool(url.host) and parts.port != 0
    except (ValueError, httpx.InvalidURL):
        well_formed = False
    if not well_formed:
        raise Unreachable(
            f"the address {api!r} is malformed: it must be like http://127.0.0.1:8470 (--api or MILLWRIGHT_API)"
        )
    return api.rstrip("/").removesuffix(BASE)


def _on_this_machine(api: str) -> bool:
    """A proxy that the environment names cannot reach our own loopback."""
    host = urlsplit(api).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
