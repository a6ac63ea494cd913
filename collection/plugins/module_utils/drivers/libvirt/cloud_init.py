# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ISO image in which cloud-init (its NoCloud source) finds its data."""

from __future__ import annotations

import io
import struct

from ...vm.cloud_data import default_meta_data
from ...vm.definition import CloudInit, VmDefinition
from .sdk import pycdlib

#: Files of the image, as cloud-init looks for them -> their names for readers of plain ISO 9660.
ISO_NAMES = {"user-data": "/USERDATA.;1", "meta-data": "/METADATA.;1", "network-config": "/NETCONF.;1"}


def seed_image(want: VmDefinition, cloud_init: CloudInit) -> bytes:
    """An ISO 9660 image labelled ``cidata``. The texts are in it as they were given."""
    image = pycdlib.PyCdlib()
    image.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident="cidata")
    for name, text in _files(want, cloud_init).items():
        content = text.encode()
        image.add_fp(
            io.BytesIO(content), len(content), ISO_NAMES[name], rr_name=name, joliet_path=f"/{name}"
        )  # fmt: skip
    written = io.BytesIO()
    image.write_fp(written)
    image.close()
    return written.getvalue()


def user_data_in(image: bytes) -> str | None:
    """The user data of such an image; None if it is none, or has none."""
    read, disc = io.BytesIO(), pycdlib.PyCdlib()
    try:
        disc.open_fp(io.BytesIO(image))
        disc.get_file_from_iso_fp(read, joliet_path="/user-data")
        disc.close()
        return read.getvalue().decode()
    # What the library raises of an image that is broken, beside its own.
    except (pycdlib.pycdlibexception.PyCdlibException, ValueError, LookupError, TypeError, struct.error):
        return None


def _files(want: VmDefinition, cloud_init: CloudInit) -> dict[str, str]:
    """cloud-init wants user data and meta data to be there, even if empty."""
    files = {
        "user-data": cloud_init.user_data or "",
        "meta-data": cloud_init.meta_data if cloud_init.meta_data is not None else default_meta_data(want),
    }
    if cloud_init.network_config:
        files["network-config"] = cloud_init.network_config
    return files
