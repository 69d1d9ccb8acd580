"""What a container says of its video streams: which one is the clip, how many frames it has, how they are shown."""

from __future__ import annotations

from dataclasses import replace
from typing import IO, TYPE_CHECKING

from lusfx.readers.display import Display
from lusfx.readers.orientation import orientation_of_matrix, orientation_of_tag

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

COUNTING_FORMATS = frozenset({"mov", "avi"})
"""Containers whose header states the number of frames; others leave FFmpeg to estimate it."""
MAX_CHUNKS = 1000
"""An AVI has a handful at its top; a file of zeros has endless empty ones."""
LONG_SHARE = 0.5
"""A stream that lasts a smaller share of the longest one is a preview or a title."""


def clip_streams(container: av.container.InputContainer) -> list[VideoStream]:
    """The streams that may be the clip, best first: no attached pictures, no chapters' thumbnails, none that is short.

    Of streams of equal length players show the one that is marked as default, or the first.
    """
    from av.stream import Disposition

    pictures = Disposition.attached_pic | Disposition.timed_thumbnails
    streams = [stream for stream in container.streams.video if not stream.disposition & pictures]
    lengths = [float(stream.duration * stream.time_base) if stream.duration else None for stream in streams]
    longest = max((length for length in lengths if length is not None), default=0.0)
    long = [
        stream
        for stream, length in zip(streams, lengths, strict=True)
        if length is None or length >= LONG_SHARE * longest
    ]
    return sorted(long, key=lambda stream: (not stream.disposition & Disposition.default, stream.index))


def declared_frames(stream: VideoStream, source: IO[bytes], format_name: str) -> int | None:
    """How many frames there are to come by what the header says; None where it does not say.

    Of an MP4 that is a part of a longer one, its edit list leaves out what lies before the cut. In an AVI a frame of no bytes
    stands for the one before it.
    """
    if format_name not in COUNTING_FORMATS or not stream.frames:
        return None
    if format_name == "avi":
        return max(stream.frames - _n_dropped(source, stream.index), 0) or None
    shown = sum(not entry.is_discard and entry.size > 0 for entry in stream.index_entries)
    return shown or int(stream.frames)


def _n_dropped(source: IO[bytes], stream_index: int) -> int:
    """Frames of no bytes in the index at the end of an AVI; 0 where there is none. Leaves the source where it was."""
    place = source.tell()
    try:
        source.seek(12)
        for _ in range(MAX_CHUNKS):
            head = source.read(8)
            size = int.from_bytes(head[4:], "little")
            if head[:4] == b"idx1":
                entries = source.read(min(size, 1 << 26))
                kinds = {b"%02ddc" % stream_index, b"%02ddb" % stream_index}
                heads = (entries[start : start + 16] for start in range(0, len(entries) - 15, 16))
                return sum(entry[:4] in kinds and entry[12:] == b"\0\0\0\0" for entry in heads)
            source.seek(size + size % 2, 1)
        return 0
    finally:
        source.seek(place)


def display_of(stream: VideoStream, first: av.VideoFrame) -> tuple[Display, bool]:
    """How frames are shown, and whether the container asks for a turn that is not made: one by other than quarter turns.

    :param first: the first frame that could be decoded.
    """
    ratio = stream.sample_aspect_ratio or stream.codec_context.sample_aspect_ratio
    aspect = float(ratio) if ratio else 1.0
    turned = _turned(stream, first)
    if turned is None:
        return Display(aspect), True
    return replace(turned, pixel_aspect=aspect), False


def _turned(stream: VideoStream, first: av.VideoFrame) -> Display | None:
    matrix = _display_matrix(first)
    if matrix is not None:
        return orientation_of_matrix(matrix)
    tag = next((value for name, value in stream.metadata.items() if name.lower() == "rotate"), None)
    return Display() if tag is None else orientation_of_tag(tag)


def _display_matrix(frame: av.VideoFrame) -> bytes | None:
    from av.sidedata.sidedata import Type

    try:
        matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    except ValueError:  # side data of a kind that PyAV has no name for
        return None
    return None if matrix is None else bytes(matrix)
