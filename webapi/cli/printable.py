# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, errors and guests' words come from others: none of them may steer the terminal that shows them."""

from __future__ import annotations

import unicodedata

#: Categories that move the cursor, reorder text or cannot be encoded: controls, formats, lone surrogates.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def printable(text: str) -> str:
    """The text with everything that a terminal could act on written as an escape; line ends and tabs stay."""
    return "".join(_shown(char) for char in text)


def one_line(text: str) -> str:
    """Printable, with every run of white space as one space."""
    return printable(" ".join(text.split()))


def _shown(char: str) -> str:
    if char in "\n\t" or unicodedata.category(char) not in _UNSAFE:
        return char
    return char.encode("unicode_escape").decode()
