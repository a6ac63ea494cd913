# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""As much of AWX's API as awx.awx needs: tables of named things, lists that belong to them, and surveys."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

TOKEN = "token-of-the-fake"
Item = dict[str, Any]


class Controller:
    """What was told: items by table, and what is associated with them, by path."""

    def __init__(self) -> None:
        self.tables: dict[str, list[Item]] = defaultdict(list)
        self.associated: dict[str, list[int]] = defaultdict(list)
        self.surveys: dict[str, Any] = {}
        self.changes = 0
        self.address = ""
        self.add("organizations", {"name": "Default"})

    def add(self, table: str, told: Item) -> Item:
        number = sum(map(len, self.tables.values())) + 1
        url = f"/api/v2/{table}/{number}/"
        related = {"survey_spec": f"{url}survey_spec/"}
        # A project that was fetched at once.
        known = {"scm_revision": "1", "status": "successful"} if table == "projects" else {}
        item = {"type": table, **known, **told, "id": number, "url": url, "related": related, "summary_fields": {}}
        self.tables[table].append(item)
        return item

    def named(self, table: str, name: str) -> Item:
        [item] = [item for item in self.tables[table] if item["name"] == name]
        return item

    def answer(self, method: str, path: str, query: dict[str, str], told: Any) -> tuple[int, Any]:
        self.changes += method != "GET"
        match path.strip("/").split("/")[2:], method:
            case [table], "GET":
                return 200, _listed([item for item in self.tables[table] if _fits(item, query)])
            case [table], "POST":
                return 201, self.add(table, told)
            case [table, number], _:
                [item] = [item for item in self.tables[table] if item["id"] == int(number)]
                item.update(told or {})
                return 200, item
            case [_, _, "survey_spec"], "GET":
                return 200, self.surveys.get(path, {})
            case [_, _, "survey_spec"], "POST":
                self.surveys[path] = told
                return 200, {}
            case [_, _, _], "GET":
                return 200, _listed([{"id": number} for number in self.associated[path]])
            case [_, _, _], "POST":
                self.associated[path].append(told["id"])
                return 204, None
        return 404, {"detail": path}


def _listed(items: list[Item]) -> Item:
    return {"count": len(items), "results": items, "next": None}


def _fits(item: Item, query: dict[str, str]) -> bool:
    return all(str(item.get(key)) == value for key, value in query.items())


@contextmanager
def controller() -> Iterator[Controller]:
    """A controller that answers on loopback at ``address``, to whom gives the token."""
    told = Controller()

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            place = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            status, answer = 401, {"detail": "who are you"}
            if self.headers.get("Authorization") == f"Bearer {TOKEN}":
                status, answer = told.answer(self.command, place.path, dict(parse_qsl(place.query)), sent)
            body = b"" if answer is None else json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815  # the names that http.server calls

        def log_message(self, *_words: Any) -> None:
            """Nothing on the terminal."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        told.address = f"http://127.0.0.1:{server.server_address[1]}"
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
