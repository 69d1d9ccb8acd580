"""How a container says that its pictures are turned or mirrored."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from lusfx.readers.display import Display

MATRIX: Final = struct.Struct("=9i")
WITHIN: Final = 0.03
"""How far a matrix may be from a quarter turn, as a share of its scale; 0.03 is two degrees."""

EXIF: Final[Mapping[int, Display]] = MappingProxyType(
    {
        1: Display(),
        2: Display(mirrored=True),
        3: Display(quarter_turns=2),
        4: Display(quarter_turns=2, mirrored=True),
        5: Display(quarter_turns=3, mirrored=True),
        6: Display(quarter_turns=3),
        7: Display(quarter_turns=1, mirrored=True),
        8: Display(quarter_turns=1),
    }
)
"""The eight orientations of EXIF and TIFF (tag 274: TIFF 6.0, section 8; EXIF 2.32, 4.6.4)."""


def orientation_of_matrix(matrix: bytes) -> Display | None:
    """What a display matrix (ISO 14496-12, 8.3.2, as FFmpeg hands it over) does to a picture.

    :param matrix: nine 32-bit integers of this machine's byte order; of the first two columns 16 bits are a fraction.
    :returns: turns and mirror; None of a matrix that does anything else.
    """
    if len(matrix) < MATRIX.size:
        return None
    a, b, _, c, d, _, _, _, _ = MATRIX.unpack(matrix[: MATRIX.size])
    across, down = math.hypot(a, b), math.hypot(c, d)
    if not across or not down:
        return None
    # A point moves from (x, y) to (a x + c y, b x + d y), y downwards.
    a, b, c, d = a / across, b / across, c / down, d / down
    mirrored = a * d - b * c < 0
    if mirrored:
        a, c = -a, -c
    turns = round(-math.atan2(b, a) / (math.pi / 2)) % 4
    cosine, sine = ((1, 0), (0, -1), (-1, 0), (0, 1))[turns]
    if max(abs(a - cosine), abs(d - cosine), abs(b - sine), abs(c + sine)) > WITHIN:
        return None
    return Display(quarter_turns=turns, mirrored=mirrored)


def orientation_of_tag(degrees: str) -> Display | None:
    """What the tag ``rotate`` says, which older writers of Matroska left: degrees clockwise. None of anything else."""
    try:
        turns = float(degrees) / 90
    except ValueError:
        return Display()  # says nothing
    if not math.isfinite(turns) or abs(turns - round(turns)) > WITHIN:
        return None
    return Display(quarter_turns=-round(turns) % 4)
