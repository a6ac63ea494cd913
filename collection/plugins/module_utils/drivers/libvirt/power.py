# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of a domain: libvirt's states as ours, what each action asks of libvirt, and waiting until it is so."""

from __future__ import annotations

import time
from collections.abc import Callable

from ...vm.states import POWER_FROM, POWER_GOAL, PowerAction, PowerState, refusal
from ..errors import Busy, InvalidTransition, TimedOut, deciding
from .sdk import libvirt

STATES = {
    libvirt.VIR_DOMAIN_NOSTATE: PowerState.UNKNOWN,
    libvirt.VIR_DOMAIN_RUNNING: PowerState.ON,
    libvirt.VIR_DOMAIN_BLOCKED: PowerState.ON,
    libvirt.VIR_DOMAIN_PAUSED: PowerState.PAUSED,
    # On its way, but its process still has the disks open.
    libvirt.VIR_DOMAIN_SHUTDOWN: PowerState.ON,
    libvirt.VIR_DOMAIN_SHUTOFF: PowerState.OFF,
    libvirt.VIR_DOMAIN_CRASHED: PowerState.UNKNOWN,
    # The guest put itself to sleep; RESUME wakes it.
    libvirt.VIR_DOMAIN_PMSUSPENDED: PowerState.PAUSED,
}

#: Why libvirt calls a domain paused that is on its way from one state to another: QEMU is there, the guest is not.
BETWEEN = frozenset({libvirt.VIR_DOMAIN_PAUSED_STARTING_UP, libvirt.VIR_DOMAIN_PAUSED_SHUTTING_DOWN})
#: Seconds that such a way may take before it is told as it is.
SETTLE_TIMEOUT = 10
#: Seconds between two looks at the state: the first, and the longest.
FIRST_LOOK, LONGEST_LOOK = 0.02, 0.5
#: A guest that is still booting does not hear the request, so it is repeated after this many seconds.
ASK_AGAIN = 10


def power_of(domain: libvirt.virDomain) -> PowerState:
    """A guest whose memory libvirt saved, as a host does that shuts down, goes on where it was: it is paused. One that
    is being started, or ended, is neither paused nor anything else yet."""
    told, why = domain.state(0)
    if _is_on_its_way(told, why):
        return PowerState.UNKNOWN
    state = STATES.get(told, PowerState.UNKNOWN)
    return PowerState.PAUSED if state is PowerState.OFF and domain.hasManagedSaveImage(0) else state


def is_between(domain: libvirt.virDomain) -> bool:
    """Whether somebody is starting or ending it right now."""
    return _is_on_its_way(*domain.state(0))


def _is_on_its_way(told: int, why: int) -> bool:
    return told == libvirt.VIR_DOMAIN_PAUSED and why in BETWEEN


def settled(domain: libvirt.virDomain) -> PowerState:
    """Where the domain is once nobody is starting or ending it; UNKNOWN if that takes long."""
    deadline = time.monotonic() + SETTLE_TIMEOUT
    while is_between(domain) and time.monotonic() < deadline:
        time.sleep(FIRST_LOOK)
    return power_of(domain)


def is_saved(domain: libvirt.virDomain) -> bool:
    return not domain.isActive() and bool(domain.hasManagedSaveImage(0))


def carry_out(domain: libvirt.virDomain, action: PowerAction, timeout: int) -> None:
    """Do the action and wait, at most ``timeout`` seconds, until the domain is where the action leads.

    Raises Busy, InvalidTransition or TimedOut, or libvirt's error.
    """
    now, goal = settled(domain), POWER_GOAL[action]
    if now is goal and action is not PowerAction.RESET:
        return
    refuse(domain, now, action)
    deadline = time.monotonic() + timeout
    _ask(domain, action)
    if not _reached(domain, action, deadline):
        still = power_of(domain).value
        hint = "; the guest may be ignoring the request" if action is PowerAction.SHUTDOWN else ""
        raise TimedOut(f"VM {domain.name()!r} is still {still} {timeout} seconds after {action.value} was asked{hint}")


@deciding()
def refuse(domain: libvirt.virDomain, now: PowerState, action: PowerAction) -> None:
    if is_between(domain):
        raise Busy(f"VM {domain.name()!r} is being started or ended by somebody else right now")
    if now not in POWER_FROM[action]:
        raise InvalidTransition(refusal(domain.name(), now, action))


def stop(domain: libvirt.virDomain) -> None:
    """Afterwards nothing of the domain runs, whatever state it was in."""
    if domain.isActive():
        _ask(domain, PowerAction.OFF)


def _on(domain: libvirt.virDomain) -> None:
    # A domain that crashed, and is kept for a look at it, has to go before it can start again.
    if domain.state(0)[0] == libvirt.VIR_DOMAIN_CRASHED and domain.isActive():
        domain.destroy()
    domain.create()


def _resume(domain: libvirt.virDomain) -> None:
    if domain.state(0)[0] == libvirt.VIR_DOMAIN_PMSUSPENDED:
        domain.pMWakeup(0)
        return
    if not domain.isActive():
        domain.create()
    if power_of(domain) is PowerState.PAUSED:
        domain.resume()


def _off(domain: libvirt.virDomain) -> None:
    if is_saved(domain):
        domain.managedSaveRemove(0)
    else:
        domain.destroy()


_CALLS: dict[PowerAction, Callable[[libvirt.virDomain], object]] = {
    PowerAction.ON: _on,
    PowerAction.OFF: _off,
    PowerAction.SHUTDOWN: lambda domain: domain.shutdown(),
    PowerAction.PAUSE: lambda domain: domain.suspend(),
    PowerAction.RESUME: _resume,
    PowerAction.RESET: lambda domain: domain.reset(0),
}


def _ask(domain: libvirt.virDomain, action: PowerAction) -> None:
    """If the domain got there by itself meanwhile, libvirt's refusal does not count."""
    try:
        _CALLS[action](domain)
    except libvirt.libvirtError:
        if action is PowerAction.RESET or settled(domain) is not POWER_GOAL[action]:
            raise


def _reached(domain: libvirt.virDomain, action: PowerAction, deadline: float) -> bool:
    pause, asked = FIRST_LOOK, time.monotonic()
    while power_of(domain) is not POWER_GOAL[action]:
        now = time.monotonic()
        if now >= deadline:
            return False
        if action is PowerAction.SHUTDOWN and now - asked >= ASK_AGAIN:
            _ask(domain, action)
            asked = now
        time.sleep(min(pause, deadline - now))
        pause = min(pause * 2, LONGEST_LOOK)
    return True
