"""Positions of frames that are evenly spaced over a clip."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def evenly_spaced(n: int, wanted: int) -> NDArray[np.intp]:
    """Positions of at most ``wanted`` of ``n`` frames, evenly spaced, in order: all of them where there are no more.

    :param wanted: at least 1; of two or more the first and the last frame are among them.
    :returns: ``(min(n, wanted),)``, all different.
    """
    if n <= wanted:
        return np.arange(n)
    return np.unique(np.linspace(0, n - 1, wanted).round().astype(np.intp))
