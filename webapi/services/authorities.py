# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Authorities that runners are to trust, as they are given and as they are kept."""

from __future__ import annotations

import re
import ssl

from ansible_collections.millwright.virt.plugins.module_utils.vm.schema import Problem

from ..errors import Invalid

_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


def certificates_of(given: str | None) -> str | None:
    """The certificates alone, without what is written around them. Raises Invalid for what holds none, or a key, which
    somebody else would read here."""
    if given is None:
        return None
    if "PRIVATE KEY-----" in given:
        raise _invalid("must hold certificates only; there is a private key among them")
    kept = "".join(f"{found}\n" for found in _CERTIFICATE.findall(given.replace("\r\n", "\n")))
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=kept)
    except (ssl.SSLError, ValueError):
        raise _invalid("must be certificates in PEM: -----BEGIN CERTIFICATE----- and what follows") from None
    return kept


def _invalid(rule: str) -> Invalid:
    return Invalid([Problem("ca_certificates", rule)])
