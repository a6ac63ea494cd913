# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The relay's side of the doorbell (services.doorbell): each of its threads waits until somebody rings."""

from __future__ import annotations

import socket
import threading


class Bell:
    """Hears until it is closed. ``address`` is where to ring."""

    def __init__(self, bind: str):
        """``bind`` is an address and a port, 0 for any. Raises OSError or ValueError for one that cannot be had."""
        host, _, port = bind.rpartition(":")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, int(port)))
        self.address = "{}:{}".format(*self._socket.getsockname())
        self._ears: list[threading.Event] = []
        self._closed = False
        self._thread = threading.Thread(target=self._listen, name="bell", daemon=True)

    def ear(self) -> threading.Event:
        """Set by the next ring; whoever waits for it clears it before looking what there is to do."""
        ear = threading.Event()
        self._ears.append(ear)
        return ear

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Let nobody wait any longer."""
        self._closed = True
        self._wake()
        if self._thread.ident:
            self._socket.sendto(b"", self._socket.getsockname())
            self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._closed:
            self._socket.recv(1)
            self._wake()

    def _wake(self) -> None:
        for ear in self._ears:
            ear.set()
