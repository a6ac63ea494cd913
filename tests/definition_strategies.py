# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM definitions by the thousand: hypothesis strategies that know every rule of the definition."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from ansible_collections.millwright.virt.plugins.module_utils.vm.definition import (
    Clone,
    DiskBus,
    DiskFormat,
    Firmware,
    Graphics,
    NicModel,
    VmDefinition,
)

#: What a user may type on one line: anything printable, the sharpest characters more often.
_LETTER = st.characters(
    exclude_categories=("Cc", "Cs", "Zl", "Zp"), exclude_characters="/\\\ufffe\uffff"
) | st.sampled_from("{}%'\"<>&;$`|#")
_LINE = st.text(_LETTER, min_size=1, max_size=20).map(str.strip).filter(lambda text: text not in ("", ".", ".."))
_TEXT = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="\ufffe\uffff") | st.sampled_from("\n\t"),
    max_size=40,
)
_PRINTABLE = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)


def _of(kind: type) -> st.SearchStrategy[str]:
    return st.sampled_from([member.value for member in kind])


@st.composite
def _cpus(draw: Any) -> dict[str, int]:
    cores, sockets = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    most = draw(st.none() | st.integers(sockets, 6).map(lambda more: more * cores))
    return {"count": cores * sockets, "cores_per_socket": cores, "max_count": most}


@st.composite
def _disks(draw: Any) -> dict[str, Any]:
    bus, pool = draw(_of(DiskBus)), "default"
    if draw(st.booleans()):
        return {"size_mib": draw(st.integers(1, 64)), "format": draw(_of(DiskFormat)), "bus": bus, "pool": pool}
    suffix = draw(_of(DiskFormat))
    linked = draw(st.booleans())
    return {
        "template": f"/templates/guest.{suffix}", "template_format": suffix, "bus": bus, "pool": pool,
        "size_mib": draw(st.none() | st.integers(16, 64)),
        "clone": (Clone.LINKED if linked else Clone.FULL).value,
        "format": "qcow2" if linked else draw(_of(DiskFormat)),
    }  # fmt: skip


_NICS = st.fixed_dictionaries(
    {"network": st.just("default"), "model": _of(NicModel), "vlan": st.none() | st.integers(1, 4094)}
)


def definitions(name: st.SearchStrategy[str] = _LINE) -> st.SearchStrategy[VmDefinition]:
    """Valid definitions that the fake hypervisor can make."""
    raw = st.fixed_dictionaries(
        {"name": name, "memory_mib": st.integers(16, 4096)},
        optional={
            "memory_max_mib": st.none() | st.integers(4096, 8192),
            "autostart": st.booleans(),
            "description": _TEXT,
            "tags": st.dictionaries(_PRINTABLE, _PRINTABLE, max_size=3),
            "cpu": _cpus(),
            "firmware": _of(Firmware),
            "disks": st.lists(_disks(), max_size=3),
            "nics": st.lists(_NICS, max_size=2),
            "cloud_init": st.fixed_dictionaries(
                {}, optional={"user_data": _TEXT.map("#{}".format), "meta_data": _TEXT}
            ),
            "console": st.fixed_dictionaries({"graphics": _of(Graphics), "serial_log": st.booleans()}),
        },
    )
    return raw.map(VmDefinition.from_dict)
