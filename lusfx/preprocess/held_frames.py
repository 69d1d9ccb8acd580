"""The frames of a clip, held until its beam is known: it is found on frames of the whole clip."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager

from lusfx.types import Clip, Frame, GreyImage

BUDGET_BYTES = 192 << 20
"""Of pixels: 250 frames of 1024 x 768, 97 of 1920 x 1080. What does not fit is decoded a second time."""

Reopen = Callable[[], AbstractContextManager[Clip]]
"""Opens the same clip once more."""


class HeldFrames:
    """All frames of a clip, to look at some and then to take each once.

    A clip that fits into the budget is decoded once and held. A larger one is decoded to its end, of which only the frames to
    look at are kept, and decoded again when its frames are taken. If it cannot be opened again, the frames that fit are looked
    at, and the others stream.

    :param n_looked_at: of a clip that does not fit, at most so many frames are looked at, and at least half as many, evenly
        spread.
    """

    def __init__(self, clip: Clip, n_looked_at: int, reopen: Reopen | None) -> None:
        self.times_s: list[float] = []
        """Of each frame that was decoded so far, in order: of all, unless some fit and the clip cannot be opened again."""
        self._frames = self._timed(clip.frames())
        self._held: deque[Frame] = deque()
        held_bytes = 0
        for frame in self._frames:
            self._held.append(frame)
            held_bytes += 0 if frame.pixels is None else frame.pixels.nbytes
            if held_bytes > BUDGET_BYTES:
                break
        else:
            reopen = None
        self._reopen = reopen
        self.looked_at = (
            [frame.pixels for frame in self._held if frame.pixels is not None]
            if reopen is None
            else _spread(self._readable(), n_looked_at)
        )
        """Readable frames ``(height, width)`` of the whole clip; none where none can be read."""

    def taken(self) -> Generator[Frame]:
        """Every frame, once; what was given away is no longer held."""
        self.looked_at.clear()
        if self._reopen is not None:
            with self._reopen() as again:
                yield from again.frames()
            return
        while self._held:
            yield self._held.popleft()
        yield from self._frames

    def _timed(self, frames: Iterator[Frame]) -> Iterator[Frame]:
        for frame in frames:
            self.times_s.append(frame.time_s)
            yield frame

    def _readable(self) -> Iterator[GreyImage]:
        """Readable frames, none of them held any longer: first those that were, then the others."""
        while self._held:
            if (pixels := self._held.popleft().pixels) is not None:
                yield pixels
        yield from (frame.pixels for frame in self._frames if frame.pixels is not None)


def _spread(images: Iterator[GreyImage], n: int) -> list[GreyImage]:
    """Evenly spread images of a sequence whose length shows at its end: ``n / 2`` to ``n`` of more than that."""
    kept: list[GreyImage] = []
    step = 1
    for number, image in enumerate(images):
        if number % step:
            continue
        kept.append(image)
        if len(kept) > n:
            kept, step = kept[::2], 2 * step
    return kept
