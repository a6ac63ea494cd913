# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of a domain, on libvirt's mock."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import Busy, InvalidTransition
from ansible_collections.millwright.virt.plugins.module_utils.drivers.libvirt import power
from ansible_collections.millwright.virt.plugins.module_utils.vm.states import POWER_GOAL, PowerAction, PowerState


@pytest.fixture
def domain() -> Iterator[libvirt.virDomain]:
    """The guest that the mock has from the start; it runs."""
    connection = libvirt.open("test:///default")
    guest = connection.lookupByName("test")
    if not guest.isActive():
        guest.create()
    yield guest
    connection.close()


def test_every_state_of_libvirt_is_one_of_ours():
    assert set(power.STATES) == set(range(libvirt.VIR_DOMAIN_PMSUSPENDED + 1))


def test_a_guest_on_its_way_down_is_not_off_before_its_disks_are_free():
    assert power.STATES[libvirt.VIR_DOMAIN_SHUTDOWN] is PowerState.ON


@pytest.mark.parametrize("action", [PowerAction.OFF, PowerAction.SHUTDOWN])
def test_a_guest_that_went_down_by_itself_meanwhile_is_down(domain: libvirt.virDomain, action: PowerAction):
    domain.destroy()
    power._ask(domain, action)
    assert power.power_of(domain) is POWER_GOAL[action]


def test_a_start_of_a_guest_that_was_started_meanwhile_is_a_start(domain: libvirt.virDomain):
    power._ask(domain, PowerAction.ON)
    assert power.power_of(domain) is PowerState.ON


def test_a_refusal_that_leads_nowhere_is_raised(domain: libvirt.virDomain):
    domain.destroy()
    for action in (PowerAction.PAUSE, PowerAction.RESET):
        with pytest.raises(libvirt.libvirtError):
            power._ask(domain, action)


def test_what_the_state_does_not_allow_is_refused_with_what_it_does(domain: libvirt.virDomain):
    domain.destroy()
    with pytest.raises(InvalidTransition, match=r"is off and refuses state 'paused'; it allows: on$"):
        power.carry_out(domain, PowerAction.PAUSE, 5)


def test_what_is_allowed_is_said_in_the_words_that_people_ask_in(domain: libvirt.virDomain):
    domain.suspend()
    with pytest.raises(InvalidTransition, match=r"is paused and refuses state 'shutdown'; it allows: off, resumed$"):
        power.carry_out(domain, PowerAction.SHUTDOWN, 5)


class Coming:
    """A domain that somebody else is starting: libvirt calls it paused until the guest runs. The mock has no such
    moment. ``looks`` are the looks at its state until it runs."""

    def __init__(self, domain: libvirt.virDomain, looks: int):
        self._domain = domain
        self._looks = looks
        self.started = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._domain, name)

    def state(self, _flags: int) -> list[int]:
        self._looks -= 1
        if self._looks >= 0:
            return [libvirt.VIR_DOMAIN_PAUSED, libvirt.VIR_DOMAIN_PAUSED_STARTING_UP]
        return [libvirt.VIR_DOMAIN_RUNNING, 1]


def test_a_guest_that_somebody_else_is_starting_is_waited_for(domain: libvirt.virDomain):
    assert power.power_of(Coming(domain, 1)) is PowerState.UNKNOWN
    assert power.settled(Coming(domain, 3)) is PowerState.ON
    power.carry_out(Coming(domain, 3), PowerAction.ON, 5)
    power._ask(Coming(domain, 3), PowerAction.ON)


@pytest.mark.parametrize("action", PowerAction)
def test_a_guest_that_is_being_started_for_long_is_busy_whatever_is_asked_of_it(
    domain: libvirt.virDomain, action: PowerAction, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(power, "SETTLE_TIMEOUT", 0)
    with pytest.raises(Busy) as busy:
        power.carry_out(Coming(domain, 100), action, 5)
    assert (busy.value.retryable, busy.value.begun) == (True, False)
    assert domain.isActive()


def test_stopping_what_does_not_run_is_harmless(domain: libvirt.virDomain):
    power.stop(domain)
    power.stop(domain)
    assert power.power_of(domain) is PowerState.OFF
