"""Which colours three samples are, told by the pixels where header and codestream do not tell or are not to be believed.

Full-range YCbCr (PS3.3 C.7.6.3.1.2) has combinations that no RGB gives. The black of an RGB picture read as YCbCr is one of
them, and black, or grey, is most of an ultrasound picture. Of YCbCr the chroma of such pixels is 128.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

MOST_PIXELS = 1 << 14
"""So many pixels are looked at."""
BEYOND = 24
"""Grey levels beyond black and white that lossy compression does not explain."""
IMPOSSIBLE_IN_RGB = 0.2
"""Share of pixels outside what RGB can show, from which on samples are no YCbCr."""
IMPOSSIBLE_IN_YBR = 0.02
"""Share up to which they may be."""
NEAR_GREY, DARK = 32, 24
MOSTLY, OFTEN = 0.5, 0.2


def colours_of(samples: NDArray[np.generic], bits: int) -> str | None:
    """``RGB`` or ``YBR_FULL``; None where the pixels leave it open.

    :param samples: ``(rows, columns, 3)``.
    :param bits: that the samples use.
    """
    step = math.ceil(math.sqrt(samples.shape[0] * samples.shape[1] / MOST_PIXELS))
    some = np.ascontiguousarray(samples[::step, ::step].reshape(-1, 3).T, np.float32)
    if bits > 8:
        some *= np.float32(2.0 ** (8 - bits))
    luma, blue, red = some[0], some[1] - 128, some[2] - 128
    as_rgb = np.stack([luma + 1.402 * red, luma - 0.344136 * blue - 0.714136 * red, luma + 1.772 * blue])
    impossible = float(((as_rgb < -BEYOND) | (as_rgb > 255 + BEYOND)).any(axis=0).mean())
    if impossible > IMPOSSIBLE_IN_RGB:
        is_black_rgb = float((some.max(axis=0) <= DARK).mean()) > OFTEN
        return "RGB" if is_black_rgb or _rise_together(some) else None
    is_grey = (np.abs(blue) <= NEAR_GREY) & (np.abs(red) <= NEAR_GREY)
    if impossible <= IMPOSSIBLE_IN_YBR and float(is_grey.mean()) > MOSTLY:
        return "YBR_FULL"
    return None


def _rise_together(some: NDArray[np.float32]) -> bool:
    """Whether the second and third samples are bright where the first is, as the colours of a grey or tinted picture are."""
    centred = some - some.mean(axis=1, keepdims=True)
    spread = np.sqrt((centred**2).sum(axis=1))
    if (spread == 0).any():
        return False
    with_first = (centred[:1] * centred[1:]).sum(axis=1) / (spread[0] * spread[1:])
    return bool((with_first > MOSTLY).all())
