# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A proxy in front of a vCenter that fails as networks and overloaded servers do, call by call."""

from __future__ import annotations

import http.client
import re
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from tools import vcsim

_METHOD = re.compile(rb"<(?:\w+:)?Body[^>]*>\s*<(?:\w+:)?(\w+)")
_INSTEAD = {
    "garbage": b"<soapenv:Envelope xmlns:soapenv='http://schemas.xmlsoap.org/soap/envelope/'><soapenv:Bo",
    "page": b"<html xmlns='http://www.w3.org/1999/xhtml'><body><p>Please log in</p></body></html>",
}
_RETURNED = re.compile(rb"<returnval.*</returnval>", re.DOTALL)
_OBJECT = re.compile(rb"<objects>.*?</objects>", re.DOTALL)
_CONFIG = re.compile(rb"<propSet><name>config\..*?</propSet>", re.DOTALL)
_PASSED_ON = ("Content-Type", "SOAPAction", "Cookie")


@dataclass
class Proxy:
    """Counts the calls of each method, and does to a call what a rule says."""

    url: str
    calls: Counter[str] = field(default_factory=Counter)
    #: Method -> what is done to its next calls, one after the other: "503", "drop" (before the server has heard it),
    #: "lose" (the answer), "close" (after the answer), "garbage" or "page" (instead of the answer), or seconds to wait.
    rules: dict[str, list[str | float]] = field(default_factory=dict)
    released: threading.Event = field(default_factory=threading.Event)
    #: Name of a VM that is only just being made, as a vCenter tells of one: by its name alone, and not to who looks for
    #: its identity. Who waits for it is answered when it is there.
    coming: str = ""
    arrived: threading.Event = field(default_factory=threading.Event)

    def arrive(self) -> None:
        self.coming = ""
        self.arrived.set()

    def hidden(self, method: str, answer: bytes) -> bytes:
        if method == "FindByUuid":
            return _RETURNED.sub(b"", answer)
        return _OBJECT.sub(lambda one: self._unsettled(one[0]), answer)

    def _unsettled(self, one: bytes) -> bytes:
        ours = re.search(rb"<name>name</name><val[^>]*>" + re.escape(self.coming.encode()) + rb"</val>", one)
        return _CONFIG.sub(b"", one) if ours else one

    def next_rule(self, method: str) -> str | float | None:
        self.calls[method] += 1
        rules = self.rules.get(method)
        return rules.pop(0) if rules else None


@contextmanager
def proxy_to(simulator: vcsim.Simulator) -> Iterator[Proxy]:
    """It shows the simulator's certificate."""
    target = urlsplit(simulator.url)
    trust = ssl.create_default_context(cafile=str(simulator.certificate))
    server = ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    proxy = Proxy(url=f"https://127.0.0.1:{server.server_port}/")
    serves = {"proxy": proxy, "netloc": target.netloc, "trust": trust}
    server.RequestHandlerClass = type("Handler", (_Handler,), serves)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*vcsim.certificate())
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.released.set()
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    """Subclasses say which proxy it serves, and where the calls go."""

    protocol_version = "HTTP/1.1"
    timeout = 60
    wbufsize = -1
    disable_nagle_algorithm = True
    proxy: Proxy
    netloc: str
    trust: ssl.SSLContext

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        found = _METHOD.search(body)
        method = found[1].decode() if found else "?"
        rule = self.proxy.next_rule(method)
        if rule == "503":
            self._answer(503, {}, b"overloaded")
        elif rule == "drop":
            self.close_connection = True
        else:
            self._pass_on(method, body, rule)

    def _pass_on(self, method: str, body: bytes, rule: str | float | None) -> None:
        if isinstance(rule, int | float):
            self.proxy.released.wait(rule)
        if self.proxy.coming and method == "WaitForUpdatesEx":
            self.proxy.arrived.wait(self.timeout)
        status, headers, answer = self._ask(body)
        if self.proxy.coming:
            answer = self.proxy.hidden(method, answer)
        headers |= {"Connection": "close"} if rule == "close" else {}
        if rule in _INSTEAD:
            self._answer(200, headers, _INSTEAD[rule])
        elif rule == "lose":
            self.close_connection = True
        else:
            self._answer(status, headers, answer)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPSConnection(self.netloc, context=self.trust, timeout=60)
        try:
            passed = {name: self.headers[name] for name in _PASSED_ON if self.headers[name]}
            connection.request("POST", self.path, body, passed)
            answer = connection.getresponse()
            told = {name: answer.headers[name] for name in ("Content-Type", "Set-Cookie") if answer.headers[name]}
            return answer.status, told, answer.read()
        finally:
            connection.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        """Tests have no log."""
