# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Power of a domain, on libvirt's mock."""

from __future__ import annotations

from collections.abc import Iterator

import libvirt
import pytest

from ansible_collections.millwright.virt.plugins.module_utils.drivers.errors import InvalidTransition
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
    with pytest.raises(InvalidTransition, match=r"is off and cannot pause; it allows: on$"):
        power.carry_out(domain, PowerAction.PAUSE, 5)


def test_stopping_what_does_not_run_is_harmless(domain: libvirt.virDomain):
    power.stop(domain)
    power.stop(domain)
    assert power.power_of(domain) is PowerState.OFF
