"""Transparent pixels of decoded frames are black; FFmpeg leaves in them whatever colour lies below, white as a rule."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import numpy as np

from lusfx.types import GreyImage

if TYPE_CHECKING:
    import av

CODECS: Final = frozenset({"gif", "png", "apng", "qtrle"})
"""Codecs whose frames may be transparent. What other codecs have beside the colours is often not filled."""
ALPHA_BYTE: Final[Mapping[str, int]] = MappingProxyType({"bgra": 3, "rgba": 3, "argb": 0, "abgr": 0})
"""Which byte of a pixel says how opaque it is."""


def on_black(grey: GreyImage, frame: av.VideoFrame, codec: str) -> GreyImage:
    """A frame laid on black.

    :param grey: the frame's luma ``(height, width)``.
    :param codec: FFmpeg's name of it.
    """
    place = ALPHA_BYTE.get(frame.format.name)
    if place is None:
        return grey
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(frame.height, plane.line_size)
    alpha = rows[:, place : 4 * frame.width : 4]
    if codec != "gif" and not alpha.any():  # not filled, or there would be nothing to see
        return grey
    return (grey.astype(np.uint16) * alpha // 255).astype(np.uint8)
