# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading a thousand VMs in one call.

The SDK makes something of each element of an answer, at some 25 microseconds each, and a VM has hundreds. Here the
answer is parsed by a parser in C, and only what ``observation`` asks for becomes objects: the same, with those fields.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from http.client import HTTPException
from io import BytesIO
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from .collector import Properties, request
from .sdk import GetWsdlType, SoapResponseDeserializer, vim

_NS = "urn:vim25"
_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"
#: What is wanted of a device and its backing -> how it is read. Other fields are left out.
_FIELDS: dict[str, Callable[[Element], Any]] = {}
#: What there is of a VM that is told as a list.
_LISTS: dict[str, Callable[[Element], Any]] = {}


def read_vms(stub: Any, collector: Any, view: Any, paths: Sequence[str]) -> dict[Any, Properties]:
    """Properties of all VMs that a container view shows, each path one that ``observation.PATHS`` has."""
    found: dict[Any, Properties] = {}
    with _no_garbage():
        answer = _ask(stub, collector, "RetrievePropertiesEx", request(view, vim.VirtualMachine, paths))
        while answer is not None:
            found.update(_vm(one, stub) for one in answer.iterfind(f"{{{_NS}}}objects"))
            token = answer.findtext(f"{{{_NS}}}token")
            answer = _ask(stub, collector, "ContinueRetrievePropertiesEx", [token]) if token else None
    return found


@contextmanager
def _no_garbage() -> Iterator[None]:
    """Of hundreds of thousands of elements none is in a cycle, and the search for cycles would take as long again."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _ask(stub: Any, collector: Any, method: str, arguments: list[Any]) -> Element | None:
    """The answer's ``returnval``, None for an empty one. Raises the fault, as the SDK does."""
    info = collector._GetMethodInfo(method)
    status, body = _post(stub, stub.SerializeRequest(collector, info, arguments))
    if status != 200:
        raise SoapResponseDeserializer(stub).Deserialize(BytesIO(body), info.result)
    answer = ElementTree.fromstring(body).find(f".//{{{_NS}}}{method}Response")  # noqa: S314  # of whom we trust
    if answer is None:
        # A page of something in between, say. Nothing of it means that there are no VMs.
        raise HTTPException("what was answered is no answer of a vCenter or ESXi host")
    return answer.find(f"{{{_NS}}}returnval")


def _post(stub: Any, body: bytes) -> tuple[int, bytes]:
    headers = {"Cookie": stub.cookie, "SOAPAction": stub.versionId, "Content-Type": "text/xml; charset=UTF-8"}
    connection = stub.GetConnection()
    try:
        connection.request("POST", stub.path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status not in (200, 500):
            raise HTTPException(f"{answer.status} {answer.reason}")
    except (OSError, HTTPException):
        connection.close()
        stub.DropConnections()
        raise
    stub.ReturnConnection(connection)
    return answer.status, said


def _vm(one: Element, stub: Any) -> tuple[Any, Properties]:
    told = (_property(each) for each in one.iterfind(f"{{{_NS}}}propSet"))
    return vim.VirtualMachine(one.findtext(f"{{{_NS}}}obj"), stub), dict(told)


def _property(told: Element) -> tuple[str, Any]:
    value = told[1]
    kind = value.get(_TYPE, "").rpartition(":")[2]
    if kind.startswith("ArrayOf"):
        return told[0].text or "", [_LISTS[kind](item) for item in value if _is_wanted(item)]
    if kind == "ManagedObjectReference":
        return told[0].text or "", _reference(value)
    return told[0].text or "", _simple(kind, value.text or "")


def _simple(kind: str, text: str) -> Any:
    if kind == "boolean":
        return _truth(text)
    return int(text) if kind in ("int", "short", "long") else text


def _truth(text: str | None) -> bool:
    return text in ("true", "1")


def _is_wanted(item: Element) -> bool:
    """Devices that no definition speaks of are a VM's larger part."""
    return _name(item) != "VirtualDevice" or issubclass(_class(item.get(_TYPE, "")), _wanted_devices())


def _name(item: Element) -> str:
    return _local(item.tag)


@cache
def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


@cache
def _wanted_devices() -> tuple[type, ...]:
    device = vim.vm.device
    controllers = (device.VirtualSCSIController, device.VirtualSATAController, device.VirtualIDEController)
    return (
        *controllers,
        device.VirtualNVMEController,
        device.VirtualDisk,
        device.VirtualEthernetCard,
        device.VirtualCdrom,
    )


@cache
def _class(name: str) -> type:
    return GetWsdlType(_NS, name.rpartition(":")[2])


def _object(item: Element) -> Any:
    kind = _class(item.get(_TYPE, ""))
    # Past the SDK's own making, which gives an object dozens of fields and looks at each.
    made = kind.__new__(kind)
    made.__dict__.update(_UNSET)
    made.__dict__.update(_fields(item))
    return made


def _fields(item: Element) -> Iterator[tuple[str, Any]]:
    for child in item:
        wanted = _BY_TAG.get(child.tag)
        if wanted:
            yield wanted[0], wanted[1](child)


def _parent(child: Element) -> Any:
    """What a disk stands on."""
    below = child.find(f"{{{_NS}}}parent")
    return SimpleNamespace(
        fileName=child.findtext(f"{{{_NS}}}fileName"), parent=None if below is None else _parent(below)
    )


def _number(child: Element) -> int:
    return int(child.text or "0")


def _reference(child: Element) -> Any:
    return _class(child.get("type", ""))(child.text)


def _option(item: Element) -> Any:
    texts = {_name(child): child.text or "" for child in item}
    return SimpleNamespace(key=texts.get("key", ""), value=texts.get("value", ""))


def _guest_card(item: Element) -> Any:
    return SimpleNamespace(ipAddress=[child.text for child in item if _name(child) == "ipAddress"])


def _file(item: Element) -> Any:
    numbers = {_name(child): child.text for child in item}
    unique = numbers.get("uniqueSize")
    return SimpleNamespace(
        key=int(numbers.get("key") or 0),
        size=int(numbers.get("size") or 0),
        uniqueSize=None if unique is None else int(unique),
    )


def _disk_layout(item: Element) -> Any:
    units = [child for child in item if _name(child) == "chain"]
    chain = [SimpleNamespace(fileKey=[_number(key) for key in unit if _name(key) == "fileKey"]) for unit in units]
    return SimpleNamespace(key=int(item.findtext(f"{{{_NS}}}key") or 0), chain=chain)


def _port(child: Element) -> Any:
    return SimpleNamespace(portgroupKey=child.findtext(f"{{{_NS}}}portgroupKey"))


_FIELDS |= dict.fromkeys(("key", "controllerKey", "unitNumber", "busNumber", "capacityInKB"), _number)
_FIELDS |= dict.fromkeys(("macAddress", "fileName", "deviceName", "uuid"), lambda child: child.text)
_FIELDS |= {"thinProvisioned": lambda child: _truth(child.text), "backing": _object, "port": _port, "parent": _parent}
_FIELDS |= dict.fromkeys(("datastore", "network"), _reference)
_UNSET = dict.fromkeys(_FIELDS)
#: The same by their elements: there are a hundred thousand of them.
_BY_TAG = {f"{{{_NS}}}{name}": (name, read) for name, read in _FIELDS.items()}
_LISTS |= {"ArrayOfVirtualDevice": _object, "ArrayOfOptionValue": _option, "ArrayOfGuestNicInfo": _guest_card}
_LISTS |= {
    "ArrayOfVirtualMachineFileLayoutExFileInfo": _file,
    "ArrayOfVirtualMachineFileLayoutExDiskLayout": _disk_layout,
}
