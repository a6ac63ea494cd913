# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a connection trusts: the authorities of this host, those of a file, or one certificate by its thumbprint."""

from __future__ import annotations

import hashlib
import ssl
from functools import partial
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

from ..base import Connection
from ..errors import Untrusted
from .address import Address
from .faults import WrongThumbprint
from .sdk import SoapStubAdapter

#: The API that is spoken: vSphere 6.5 and whatever is newer understand it.
API = "vim.version.version11"


def stub_of(connection: Connection, address: Address) -> SoapStubAdapter:
    """What speaks to the host. It connects when it is first used."""
    stub = SoapStubAdapter(
        host=address.host,
        port=address.port,
        version=API,
        sslContext=_context(connection, address),
        httpConnectionTimeout=connection.connect_timeout,
    )
    if address.thumbprint:
        # The SDK's own option looks at the thumbprint only where authorities refuse the certificate, and at the first
        # connection only; here each one is looked at.
        stub.scheme = partial(_Pinned, address.thumbprint)
    return stub


class _Pinned(HTTPSConnection):
    """A connection on which nothing is said to whoever has another certificate."""

    def __init__(self, thumbprint: str, **rest: Any):
        super().__init__(**rest)
        self._thumbprint = thumbprint

    def connect(self) -> None:
        super().connect()
        seen = hashlib.sha256(self.sock.getpeercert(binary_form=True)).hexdigest()
        if seen != self._thumbprint:
            self.close()
            raise WrongThumbprint(seen)


def _context(connection: Connection, address: Address) -> ssl.SSLContext:
    """A pinned thumbprint stands for itself: whoever has signed the certificate is not asked. Nor are this host's
    authorities where a file says whom to trust."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if connection.ca_path:
        _load(context, Path(connection.ca_path))
    if address.thumbprint or not connection.validate_certs:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    elif not connection.ca_path:
        context.load_default_certs()
    return context


def _load(context: ssl.SSLContext, path: Path) -> None:
    where = "capath" if path.is_dir() else "cafile"
    try:
        context.load_verify_locations(**{where: str(path)})
    except OSError as error:
        reason = error.strerror or str(error)
        raise Untrusted(
            f"the authorities to trust (ca_path) cannot be read from {path}", detail=reason, here=True
        ) from error
