# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""URLs of vSphere hypervisors, and names as its inventory writes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Unsupported
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere import names
from ansible_collections.millwright.virt.plugins.module_utils.drivers.vsphere.address import (
    Placement,
    address_of,
    shown,
)

PIN = "AB:" * 31 + "CD"


def test_a_url_says_where_whom_to_trust_and_where_vms_go():
    address = address_of(f"https://vc.example.org:8443/?datacenter=DC0&folder=/DC0/vm/a%20b&thumbprint={PIN}")
    assert (address.host, address.port) == ("vc.example.org", 8443)
    assert address.thumbprint == "ab" * 31 + "cd"
    assert address.placement == Placement(datacenter="DC0", folder="/DC0/vm/a b")


@pytest.mark.parametrize("printed", ["sha256 Fingerprint=", "SHA256 Fingerprint=", " sha256%20Fingerprint = "])
def test_the_line_that_openssl_prints_is_a_thumbprint(printed: str):
    assert address_of(f"https://vc.example.org/?thumbprint={printed}{PIN}").thumbprint == "ab" * 31 + "cd"


def test_a_bare_url_says_nothing_more():
    address = address_of("https://vc.example.org")
    assert (address.port, address.thumbprint, address.placement) == (443, None, Placement())


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://vc.example.org/", "https"),
        ("vc.example.org", "https"),
        ("https:///", "https"),
        ("https://root:secret@vc.example.org/", "without a name and password"),
        ("https://vc.example.org/?clustre=C0", "clustre=..."),
        ("https://vc.example.org/?password=secret", "password=..."),
        ("https://vc.example.org/?cluster=C0&cluster=C1", "once"),
        ("https://vc.example.org:99999/", "[Pp]ort"),
        ("https://vc.example.org:abc/", "[Pp]ort"),
        ("https://[::1/", "IPv6"),
        ("https://vc.example.org/?cluster=", "cluster="),
        ("https://vc.example.org/?thumbprint=abcd", "SHA-256"),
        (f"https://vc.example.org/?thumbprint={'z' * 64}", "SHA-256"),
        (f"https://vc.example.org/?thumbprint=SHA1 Fingerprint={PIN}", "SHA-256"),
    ],
)
def test_a_url_that_is_not_ours_is_refused_and_says_why(url: str, said: str):
    with pytest.raises(Unsupported, match=said) as refused:
        address_of(url)
    assert "secret" not in str(refused.value)


def test_messages_do_not_repeat_the_whole_url():
    assert shown("https://vc.example.org/?datacenter=DC0") == "https://vc.example.org/"


@pytest.mark.parametrize(("plain", "written"), [("50% a/b\\c", "50%25 a%2fb%5cc"), ("%2f", "%252f")])
def test_names_are_escaped_as_the_inventory_wants_it(plain: str, written: str):
    assert names.written(plain) == written
    assert names.read(written) == plain


@given(st.text(alphabet="a%/\\25fFcC"))
def test_a_written_name_is_read_as_it_was(name: str):
    assert names.read(names.written(name)) == name
