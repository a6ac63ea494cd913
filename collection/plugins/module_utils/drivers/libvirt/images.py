# Copyright: (c) 2026, the Millwright developers
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images that are files of this host: what they say themselves of what they are."""

from __future__ import annotations

import os
from difflib import get_close_matches
from pathlib import Path

from .volume_xml import HEADER_BYTES, Image, image_of_header

#: Where an image of a disc says what it is (ECMA-119 and ECMA-167), and how.
DISC_MARK, DISC_MARKS = 16 * 2048 + 1, (b"CD001", b"BEA01")

#: How many images an error lists, the likeliest first.
MOST_NAMED = 10


def is_readable_file(path: str) -> bool:
    return os.access(path, os.R_OK) and Path(path).is_file()


def is_disc(path: str) -> bool:
    """Whether a file of this host is an image of a disc, as ISO 9660 and UDF mark theirs."""
    with Path(path).open("rb") as file:
        file.seek(DISC_MARK)
        return file.read(5) in DISC_MARKS


def image_of_file(path: Path) -> Image:
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES)
    return image_of_header(str(path), header, path.stat().st_size)


def likely(name: str, images: set[str]) -> str:
    """The images that there are where one of this name is not, for an error."""
    close = get_close_matches(name, images, MOST_NAMED)
    shown = [*close, *sorted(images - set(close))]
    more = f" and {len(shown) - MOST_NAMED} more" if len(shown) > MOST_NAMED else ""
    return f"there are: {', '.join(shown[:MOST_NAMED]) or 'none'}{more}"
