"""A few frames of a clip, evenly spaced over it, however long it turns out to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.spacing import evenly_spaced

Images = NDArray[np.uint8]


class SpreadFrames:
    """Takes the frames of a clip one after another, and keeps some.

    How long a clip is shows at its end only. So every frame is kept at first, every second one once there are four times too
    many, and so on: memory does not grow with the clip.

    :param most: frames that will be chosen at most.
    """

    def __init__(self, most: int) -> None:
        self.n_added = 0
        self._most = most
        self._stride = 1
        self._kept: list[tuple[float, Images]] = []

    def add(self, time_s: float, image: Images) -> None:
        """Take the next frame.

        :param image: ``(size, size)``; copied, since it may be a part of something larger.
        """
        if self.n_added % self._stride == 0:
            self._kept.append((time_s, image.copy()))
            if len(self._kept) == 4 * self._most:
                self._kept, self._stride = self._kept[::2], 2 * self._stride
        self.n_added += 1

    def chosen(self, most: int) -> tuple[Images, NDArray[np.float64]]:
        """At most so many frames, those that :class:`SpreadFrames` of so many would have chosen; at least one must be added.

        :param most: from 1 to what was given at first.
        :returns: frames ``(n, size, size)`` and their times ``(n,)``.
        """
        kept = self._kept
        while len(kept) >= 4 * most:  # a stride is a power of two, so the coarser one's frames are among these
            kept = kept[::2]
        chosen = evenly_spaced(len(kept), most)
        return np.stack([kept[i][1] for i in chosen]), np.array([kept[i][0] for i in chosen], np.float64)
