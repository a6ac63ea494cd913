# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tables, one noun a file. Importing this package makes all of them known."""

from __future__ import annotations

from .apitokens import ApiToken
from .datacenters import Datacenter
from .deadletters import DeadLetter
from .events import Event, Severity
from .hypervisors import Hypervisor, HypervisorState
from .relays import Relay
from .requests import Request
from .runners import Runner
from .sessionlimits import SessionLimit
from .tasks import Job, Task, TaskType
from .templates import Template
from .virtualappliances import VirtualAppliance
from .virtualdatacenters import VirtualDatacenter
from .vms import VirtualMachine

__all__ = [
    "ApiToken",
    "Datacenter",
    "DeadLetter",
    "Event",
    "Hypervisor",
    "HypervisorState",
    "Job",
    "Relay",
    "Request",
    "Runner",
    "SessionLimit",
    "Severity",
    "Task",
    "TaskType",
    "Template",
    "VirtualAppliance",
    "VirtualDatacenter",
    "VirtualMachine",
]
