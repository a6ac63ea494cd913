# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""``make bench``: how long Millwright takes for what others take long for, on one machine and in one run.

``cases`` says who competes in what; ``targets`` what is to be reached. Contestants alternate within each round, so that
whatever else the machine does strikes all of them.
"""

import sys
from pathlib import Path

# What is installed knows the definition of a VM only; its hypervisors are the collection's.
sys.path.append(str(Path(__file__).parents[2] / ".collections"))
