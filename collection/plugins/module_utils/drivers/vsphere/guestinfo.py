# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cloud-init's data in a VM's extra configuration, where its VMware source finds it."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable

from ...vm.cloud_data import default_meta_data
from ...vm.definition import CloudInit, VmDefinition

META_DATA, USER_DATA = "guestinfo.metadata", "guestinfo.userdata"
#: What all names of this data begin with, and of such data that we never write.
BEGINNINGS = (META_DATA, USER_DATA, "guestinfo.vendordata")


def of_guest(names: Iterable[str]) -> list[str]:
    """Those under which a guest finds data of its own."""
    return [name for name in names if name.startswith(BEGINNINGS)]


def guestinfo(want: VmDefinition, cloud_init: CloudInit) -> dict[str, str]:
    """Extra configuration. The texts are in it as they were given, in Base64."""
    texts = {META_DATA: _meta_data(want, cloud_init), USER_DATA: cloud_init.user_data or ""}
    told = {key: value for name, text in texts.items() for key, value in _encoded(name, text).items()}
    return {key: value for key, value in told.items() if value}


def _encoded(name: str, text: str) -> dict[str, str]:
    return {name: _base64(text), f"{name}.encoding": "base64"} if text else {}


def _meta_data(want: VmDefinition, cloud_init: CloudInit) -> str:
    """With the network's configuration in it, which this source knows as a part of the meta data."""
    meta_data = cloud_init.meta_data if cloud_init.meta_data is not None else default_meta_data(want)
    if cloud_init.network_config is None:
        return meta_data
    network = {"network": _base64(cloud_init.network_config), "network.encoding": "base64"}
    if meta_data.lstrip().startswith("{"):
        return json.dumps({**json.loads(meta_data), **network})
    return meta_data.rstrip("\n") + "\n" + "".join(f"{key}: {json.dumps(value)}\n" for key, value in network.items())


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode("ascii")
