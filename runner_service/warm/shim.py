# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands as ``ansible-playbook`` on a PATH: has the playbook run by a warm server, or becomes the ordinary one.

As ``wire``, it only imports what costs no time.
"""

from __future__ import annotations

import _signal as signal
import _socket
import os
import sys

from .wire import Broken, Line, Request, address_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType
    from typing import NoReturn

    from .places import Place

#: Seconds for a server to take a playbook on; forking takes milliseconds, on a busy machine some more.
PATIENCE = 5.0
#: The exit code of a run that broke off, as of Ansible's for what nobody expected.
BROKEN_OFF = 250

_PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


class Refused(Exception):
    """A server answers, and will not run this."""


def main(path: str, ordinary: str) -> NoReturn:
    """Run ``ansible-playbook`` with this process's arguments. Does not return."""
    try:
        line, playbook = _taken_on(path)
    except (OSError, Broken, Refused) as error:
        _become(ordinary, error)
    _run_warm(line, playbook)


def main_for_people(ordinary: str) -> NoReturn:
    """As ``main``, by this user's own server for what is configured here, which is started where there is none."""
    from . import places  # the runner's shim has no use for it

    try:
        place = places.here(ordinary, os.environ)
    except (OSError, places.Unwanted) as error:
        _become(ordinary, error)
    try:
        line, playbook = _taken_on(place.socket)
    except Refused as error:
        _become(ordinary, error)
    except (OSError, Broken) as error:
        _start(place)
        _become(ordinary, error)
    _run_warm(line, playbook)


def _become(ordinary: str, reason: Exception) -> NoReturn:
    if os.environ.get("MILLWRIGHT_WARM_TELL"):
        sys.stderr.write(f"[WARNING]: not warm, but the ordinary way: {reason}\n")
    os.execv(ordinary, [ordinary, *sys.argv[1:]])  # noqa: S606  # our own arguments, no shell


def _run_warm(line: Line, playbook: int) -> NoReturn:
    _pass_signals_on(playbook)
    _end_as(*_watched(line, playbook))


def _start(place: Place) -> None:
    """In the background, as nobody's child. Where somebody has the lock there is a server, or will be soon."""
    try:
        if not place.is_free():
            return
        child = os.fork()
    except OSError:
        return
    if child:
        os.waitpid(child, 0)
        return
    try:
        os.setsid()
        if os.fork() == 0:
            _be_the_server(place)
    finally:
        os._exit(0)


def _be_the_server(place: Place) -> NoReturn:
    null, log = os.open("/dev/null", os.O_RDWR), place.open_log()
    for number, descriptor in enumerate((null, log, log)):
        os.dup2(descriptor, number)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    os.umask(0o077)
    command, environment = place.server(os.environ)
    os.execve(command[0], command, environment)  # noqa: S606  # our own command


def _taken_on(path: str) -> tuple[Line, int]:
    """The line to a server that will run our playbook once it hears go, and the process that will. Raises OSError,
    Broken, Refused."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    try:
        connection.settimeout(PATIENCE)
        address, descriptor = address_of(path)
        try:
            connection.connect(address)
        finally:
            os.close(descriptor)
        line = Line(connection)
        line.say(*_request().word())
        playbook = _process(line.hear())
        connection.settimeout(None)
    except (OSError, Broken, Refused):
        connection.close()
        raise
    return line, playbook


def _request() -> Request:
    umask = os.umask(0)
    os.umask(umask)
    environment = [name + b"=" + value for name, value in os.environb.items()]
    arguments = [os.fsencode(argument) for argument in sys.argv[1:]]
    return Request(arguments=arguments, environment=environment, directory=os.fsencode(os.getcwd()), umask=umask)  # noqa: PTH109


def _process(answer: list[bytes]) -> int:
    word, *told = answer
    if word == b"refused":
        raise Refused(os.fsdecode(b" ".join(told)))
    if word != b"ready" or len(told) != 1 or not told[0].isdigit() or int(told[0]) <= 1:
        raise Broken("a word that nobody understands")
    return int(told[0])


def _pass_signals_on(playbook: int) -> None:
    def pass_on(number: int, _frame: FrameType | None) -> None:
        _send(playbook, number)

    def stop(_number: int, _frame: FrameType | None) -> None:
        _send(playbook, signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        _send(playbook, signal.SIGCONT)

    for number in _PASSED_ON:
        # What whoever started us has ignored (nohup, a shell's background) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, pass_on)
    signal.signal(signal.SIGTSTP, stop)


def _send(playbook: int, number: int) -> None:
    try:  # noqa: SIM105  # contextlib takes its time to load
        os.killpg(playbook, number)
    except ProcessLookupError:
        pass


def _watched(line: Line, playbook: int) -> tuple[bytes, int]:
    """How the playbook ended. From the word go on, one that was not seen to end may have done anything."""
    try:
        line.say(b"go", fds=(0, 1, 2))
        word, told = line.hear()
        return word, int(told)
    except (Broken, ValueError):
        _send(playbook, signal.SIGKILL)
        sys.stderr.write("ERROR! the warm Ansible that ran this playbook has broken off\n")
        return b"exit", BROKEN_OFF


def _end_as(word: bytes, number: int) -> NoReturn:
    if word == b"signal":
        if number != signal.SIGKILL:  # which nobody can handle otherwise
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(number)
