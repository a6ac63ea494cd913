# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The chaos test: VMs are deployed and undeployed while processes are killed; then one looks what has become of it.

``plan`` makes everything that is random from the seed, ``audit`` judges what was seen; both are pure.
"""

import sys
from pathlib import Path

# What is installed knows the definition of a VM only; its hypervisors are the collection's.
sys.path.append(str(Path(__file__).parents[2] / ".collections"))
