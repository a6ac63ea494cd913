# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of secrets: a driver keeps one at the hypervisor to see later that a secret is another, and can neither
read the secret nor show it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

#: Begins like user data, so that a definition that is kept with it keeps its own rules.
_SCHEME = "#scrypt"


def fingerprint(secret: str) -> str:
    """A salted fingerprint; the same secret gives another one each time."""
    return _with_salt(secret, secrets.token_hex(16))


def is_fingerprint_of(kept: object, secret: object) -> bool:
    """Whether ``kept`` was made of ``secret``."""
    if not (isinstance(kept, str) and isinstance(secret, str)) or kept.count("$") != 2:
        return False
    scheme, salt, _digest = kept.split("$")
    return scheme == _SCHEME and hmac.compare_digest(kept.encode(), _with_salt(secret, salt).encode())


def _with_salt(secret: str, salt: str) -> str:
    # Slow on purpose: user data may hold a short password, and whoever reads the hypervisor's files may try them all.
    key = hashlib.scrypt(secret.encode(), salt=salt.encode(), n=2**14, r=8, p=1, dklen=32)
    return f"{_SCHEME}${salt}${key.hex()}"
