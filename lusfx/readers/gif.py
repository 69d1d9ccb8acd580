"""GIF as players show it: on black ground, and no picture for too short a time.

Viewers leave the ground of a GIF clear, whatever colour its header names for it (GIF89a, 18); FFmpeg paints that colour where
no picture is transparent.
"""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import av

HEADER_BYTES, FLAGS, BACKGROUND = 13, 10, 11
"""The header's length, and where it says how long the palette is and which of its colours is the ground's."""
HAS_PALETTE = 0x80
SHORTEST_S, UNSTATED_S = 0.015, 0.1
"""Pictures that are to be shown for less than 20 ms are shown for 100 ms, as players do."""


class OnBlackGround:
    """A GIF that names the darkest colour of its palette as its ground."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        stream.seek(0)
        header = stream.read(HEADER_BYTES)
        self._ground: bytes | None = None
        if len(header) == HEADER_BYTES and header[FLAGS] & HAS_PALETTE:
            content = stream.read(3 * (2 << (header[FLAGS] & 7)))
            colours = [content[start : start + 3] for start in range(0, len(content) - 2, 3)]
            if colours:
                self._ground = bytes([min(range(len(colours)), key=lambda index: sum(colours[index]))])
        stream.seek(0)

    def read(self, n_bytes: int) -> bytes:
        place = self._stream.tell()
        content = self._stream.read(n_bytes)
        at = BACKGROUND - place
        if self._ground is None or not 0 <= at < len(content):
            return content
        return content[:at] + self._ground + content[at + 1 :]

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


def waited_s(frame: av.VideoFrame) -> float:
    """How much longer than it says a frame is shown."""
    stated_s = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else UNSTATED_S
    return UNSTATED_S - stated_s if stated_s < SHORTEST_S else 0.0
