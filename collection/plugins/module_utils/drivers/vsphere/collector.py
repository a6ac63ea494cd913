# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading properties through vSphere's PropertyCollector: leaf paths of many objects in one call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http.client import HTTPException
from typing import Any

from .sdk import vim, vmodl

_Spec = vmodl.query.PropertyCollector

#: Property path -> value. A property that is not set has no entry.
Properties = dict[str, Any]


def read(collector: Any, objects: Sequence[Any], paths: Sequence[str]) -> dict[Any, Properties]:
    """The properties of each object. Raises ManagedObjectNotFound if one of them is gone."""
    if not objects:
        return {}
    found = _retrieved(collector, _request(type(objects[0]), paths, [_Spec.ObjectSpec(obj=one) for one in objects]))
    if not found:
        raise HTTPException("what was answered is no answer of a vCenter or ESXi host")
    return found


def read_view(collector: Any, view: Any, kind: type, paths: Sequence[str]) -> dict[Any, Properties]:
    """The properties of all objects of a kind that a container view shows."""
    return _retrieved(collector, request(view, kind, paths))


def request(view: Any, kind: type, paths: Sequence[str]) -> list[Any]:
    """What RetrievePropertiesEx is to be given for all objects of a kind in a container view."""
    way = _Spec.TraversalSpec(type=vim.view.ContainerView, path="view", skip=False)
    return _request(kind, paths, [_Spec.ObjectSpec(obj=view, skip=True, selectSet=[way])])


def _request(kind: type, paths: Sequence[str], objects: list[Any]) -> list[Any]:
    wanted = [_Spec.PropertySpec(type=kind, pathSet=list(paths), all=False)]
    return [[_Spec.FilterSpec(propSet=wanted, objectSet=objects)], _Spec.RetrieveOptions()]


def _retrieved(collector: Any, arguments: list[Any]) -> dict[Any, Properties]:
    found: dict[Any, Properties] = {}
    page = collector.RetrievePropertiesEx(*arguments)
    while page is not None:
        found.update(_page(page.objects))
        page = collector.ContinueRetrievePropertiesEx(page.token) if page.token else None
    return found


def _page(objects: Iterable[Any]) -> Iterable[tuple[Any, Properties]]:
    for one in objects:
        yield one.obj, {told.name: told.val for told in one.propSet}
