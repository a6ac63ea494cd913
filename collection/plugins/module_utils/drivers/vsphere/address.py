# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The URL of a vCenter or ESXi host: where it is, whom to trust, and where VMs go that say nothing about it.

``https://vcenter.example.org/?datacenter=DC0&cluster=C0&datastore=fast&thumbprint=AB:CD:...``
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from urllib.parse import SplitResult, parse_qsl, urlsplit

from ..errors import InvalidUrl

DEFAULT_PORT = 443
#: Digits of a SHA-256 thumbprint.
THUMBPRINT_DIGITS = 64
#: What openssl prints before them.
_OPENSSL = re.compile(r"^\s*sha-?256 fingerprint\s*=", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Placement:
    """Where new VMs go; each by name, inventory path (``/DC0/vm/web``) or managed-object id. None: the only one."""

    datacenter: str | None = None
    #: A cluster, or a host outside of all clusters. Which host of a cluster it is, vCenter decides.
    cluster: str | None = None
    #: One host, of a cluster or not.
    host: str | None = None
    #: None: all of the cluster or host.
    resource_pool: str | None = None
    #: None: the datacenter's folder of all VMs.
    folder: str | None = None
    #: What ``pool: default`` of a disk means, and where VMs without disks are kept.
    datastore: str | None = None


@dataclass(frozen=True, kw_only=True)
class Address:
    """A URL's parts."""

    host: str
    port: int
    #: SHA-256 of the certificate to accept, in lower-case digits, whoever signed it; None: as authorities say.
    thumbprint: str | None
    placement: Placement


_PLACES = frozenset(field.name for field in fields(Placement))


def address_of(url: str) -> Address:
    """Raises InvalidUrl for a URL that is not ours."""
    try:
        return _address(urlsplit(url))
    except ValueError as error:
        raise InvalidUrl(f"the URL of the vSphere hypervisor is none: {error}") from None


def _address(parts: SplitResult) -> Address:
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise InvalidUrl("the URL of a vSphere hypervisor is https://HOST[:PORT]/, without a name and password in it")
    words = parse_qsl(parts.query, keep_blank_values=True)
    said = dict(words)
    if len(said) < len(words):
        raise InvalidUrl("the URL of a vSphere hypervisor says each word behind the question mark once")
    thumbprint = _thumbprint(said.pop("thumbprint", None))
    _refuse_unknown(said)
    return Address(
        host=parts.hostname, port=parts.port or DEFAULT_PORT, thumbprint=thumbprint, placement=Placement(**said)
    )


def _refuse_unknown(said: dict[str, str]) -> None:
    for name, value in said.items():
        if name not in _PLACES or not value:
            known = ", ".join(sorted(_PLACES | {"thumbprint"}))
            # Not the value: somebody may have put a password here.
            raise InvalidUrl(f"the URL of a vSphere hypervisor says {name}=...; it may give values for: {known}")


def _thumbprint(said: str | None) -> str | None:
    if said is None:
        return None
    digits = _OPENSSL.sub("", said).strip().replace(":", "").lower()
    if len(digits) != THUMBPRINT_DIGITS or not set(digits) <= set("0123456789abcdef"):
        raise InvalidUrl(
            "thumbprint in the URL must be the SHA-256 of the certificate, 64 hexadecimal digits with or without "
            "colons, as openssl x509 -noout -sha256 -fingerprint prints it"
        )
    return digits


def shown(url: str) -> str:
    """The URL for messages, without what stands behind the question mark."""
    return url.partition("?")[0]
