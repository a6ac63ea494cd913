# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files on datastores."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any

from ..errors import NotFound
from .connection import Session
from .placement import Datastore, Places
from .sdk import vim, vmodl

#: How vSphere writes the path of a file.
_PATH = re.compile(r"\[(?P<datastore>[^\]]+)\] ?(?P<path>.+)")
#: Seconds that looking into a directory may take.
LOOK_TIMEOUT = 60


class Files:
    """The files of one connection's datastores."""

    def __init__(self, session: Session, places: Places):
        self._session = session
        self._places = places

    def image(self, said: str, home: Datastore) -> str:
        """The path of an image of a disc, as it was said: in full (``[fast] iso/x.iso``), or within the VM's datastore.
        Raises NotFound."""
        full = _PATH.fullmatch(said)
        datastore = self._places.datastore(full["datastore"]) if full else home
        path = PurePosixPath(full["path"] if full else said.lstrip("/"))
        if not self._is_there(datastore, path):
            raise NotFound(f"there is no image {str(path)!r} in datastore {datastore.entity.path}")
        return f"[{datastore.entity.name}] {path}"

    def _is_there(self, datastore: Datastore, path: PurePosixPath) -> bool:
        browser = self._session.read([datastore.entity.object], ["browser"])[datastore.entity.object]["browser"]
        directory = "" if path.parent == PurePosixPath() else str(path.parent)
        spec = vim.host.DatastoreBrowser.SearchSpec(matchPattern=[path.name])
        try:
            task = browser.SearchDatastore_Task(f"[{datastore.entity.name}] {directory}", spec)
            found: Any = self._session.waiter.finish(task, LOOK_TIMEOUT, f"looking for {path}")
        except (vim.fault.FileNotFound, vmodl.fault.InvalidArgument):
            return False
        return bool(found.file)
