# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every seed begins with, made once: a migrated database, a token of its API, and a key pair for its runners."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tools.chaos.servers import Servers
from tools.fresh import copy_database
from tools.services import Services
from tools.stack import Stack

TOKEN = "chaos"
#: Nothing listens there: the pattern's platform is never started.
NOWHERE = "127.0.0.1:0"


@dataclass(frozen=True)
class Pattern:
    """A platform that nobody has used yet."""

    stack: Stack

    def copy(self, services: Services, directory: Path) -> None:
        """Afterwards there is such a platform in the services and in the directory, ready to be started."""
        copy_database(self.stack.services.database_url, services.database_url)
        for file in self.stack.directory.iterdir():
            shutil.copy(file, directory)


@contextmanager
def pattern(servers: Servers, directory: Path) -> Iterator[Pattern]:
    """One in the directory, removed afterwards."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o700, parents=True)
    with servers.fresh() as services:
        stack = Stack(directory, services, NOWHERE)
        stack.migrate()
        stack.token(TOKEN)
        stack.public_key()
        yield Pattern(stack)
    shutil.rmtree(directory)
