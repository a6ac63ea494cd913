# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Credentials, sealed to the datacenter's public key before they are written anywhere."""

from __future__ import annotations

import base64
import binascii
import json

from nacl.exceptions import CryptoError
from nacl.public import PublicKey, SealedBox

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from ..errors import Invalid


def check_public_key(key: str | None) -> None:
    """Raises Invalid for what is no public key."""
    if key is not None:
        _public_key(key)


def seal_credentials(public_key: str | None, username: str | None, password: str | None) -> str | None:
    """None if there is nothing to seal. Raises Invalid without a key."""
    if username is None and password is None:
        return None
    return seal(public_key, json.dumps({"username": username, "password": password}), "password")


def seal(public_key: str | None, secret: str, path: str) -> str:
    """What only the datacenter's runners can open. Raises Invalid, for the field at the path, without a key."""
    if public_key is None:
        raise Invalid([Problem(path, "cannot be kept: the datacenter has no public key to seal it to")])
    return base64.b64encode(SealedBox(_public_key(public_key)).encrypt(secret.encode())).decode()


def _public_key(key: str) -> PublicKey:
    try:
        return PublicKey(base64.b64decode(key, validate=True))
    except (binascii.Error, ValueError, TypeError, CryptoError) as error:
        raise Invalid(
            [Problem("public_key", "must be 32 bytes in base64, as `millwright runner keygen` prints them")]
        ) from error
