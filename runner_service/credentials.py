# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Secrets of users: sealed to the datacenter's public key everywhere but here and in the run that needs them."""

from __future__ import annotations

import base64
import binascii
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from nacl.exceptions import CryptoError
from nacl.public import PrivateKey, SealedBox


class UnreadableSecret(Exception):
    """What was sealed, a hypervisor's credentials or a VM's user data, cannot be opened with this runner's key."""

    code = "credentials.unreadable"


class UnusableKey(Exception):
    """The private key file cannot be used."""


@dataclass(frozen=True)
class Credentials:
    """What logs in to a hypervisor. Neither repr nor str shows the password."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)

    def to_json(self) -> str:
        return json.dumps({"username": self.username, "password": self.password})


def make_key(path: Path) -> str:
    """Write a new private key to a file that only its owner can read; returns the public key. Never overwrites."""
    key = PrivateKey.generate()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(bytes(key)) + b"\n")
    return base64.b64encode(bytes(key.public_key)).decode()


def read_key(path: Path) -> PrivateKey:
    """Raises UnusableKey."""
    try:
        if path.stat().st_mode & 0o077:
            raise UnusableKey(f"{path} can be read by others than its owner; chmod 600 {path}")
        return PrivateKey(base64.b64decode(path.read_bytes(), validate=False))
    except (OSError, ValueError, TypeError, CryptoError) as error:
        raise UnusableKey(f"{path} holds no private key made by 'millwright runner keygen': {error}") from error


def open_credentials(sealed: str | None, key: PrivateKey | None) -> Credentials:
    """The credentials in the sealed box; none for no box. Raises UnreadableSecret, which never quotes them."""
    if sealed is None:
        return Credentials()
    text = open_text("the credentials", sealed, key)
    try:
        raw = json.loads(text)
        return Credentials(raw.get("username"), raw.get("password"))
    except (ValueError, AttributeError):
        raise UnreadableSecret("the credentials that were sealed are none") from None


def open_text(what: str, sealed: str, key: PrivateKey | None) -> str:
    """The text in the sealed box. Raises UnreadableSecret, which says what it was and never quotes it."""
    if key is None:
        raise UnreadableSecret(f"{what} came sealed and this runner has no private key")
    try:
        return SealedBox(key).decrypt(base64.b64decode(sealed, validate=True)).decode()
    except (CryptoError, binascii.Error, ValueError, TypeError):
        # The cause is left out: it might quote what it could not read.
        raise UnreadableSecret(f"{what} came sealed to another key than this runner's") from None
