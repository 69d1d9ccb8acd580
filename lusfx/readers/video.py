"""Video files, by PyAV.

FFmpeg is never let guess what a file is: some of its formats are scripts and playlists that open *other* files. The format
is given by us, from the file's first bytes, and the file is handed over as a stream, so that FFmpeg has no path to open.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.readers.container_end import ends_early
from lusfx.readers.files import open_source
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, GreyImage, Note, TimeSource

if TYPE_CHECKING:
    import av
    from av.video.reformatter import VideoReformatter

MAX_PIXELS = 1 << 26
"""Largest frame: 67 million pixels, four times an 8K display's half. A header that claims more is damaged or hostile."""
SNIFFED_BYTES = 512
COUNTING_FORMATS = frozenset({"mov", "avi"})
"""Containers whose header states the number of frames; others leave FFmpeg to estimate it."""


CONTAINERS = (
    (re.compile(rb".{4}(ftyp|moov|mdat|wide|free|skip)", re.DOTALL), "mov"),  # MP4 and QuickTime
    (re.compile(rb"RIFF.{4}AVI ", re.DOTALL), "avi"),
    (re.compile(rb"\x1a\x45\xdf\xa3"), "matroska"),  # WebM too
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c"), "asf"),  # WMV
    (re.compile(rb"\x00\x00\x01\xba"), "mpeg"),  # program stream
    (re.compile(rb"\x00\x00\x01\xb3"), "mpegvideo"),  # elementary stream
    (re.compile(rb"\x47.{187}\x47", re.DOTALL), "mpegts"),
)
"""How each container begins, and FFmpeg's name for it. Scripts and playlists begin otherwise."""


def container_format(leading_bytes: bytes) -> str | None:
    """FFmpeg's name for the container that a file begins with; None for anything but the containers read here."""
    for pattern, name in CONTAINERS:
        if pattern.match(leading_bytes):
            return name
    return None


class VideoReader(Reader):
    """Cine loops in the containers that ultrasound machines and picture archives export."""

    name = "video"
    suffixes = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".mpeg", ".mpg", ".wmv", ".webm", ".gif")

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        with open_source(path) as stream:
            container = container_format(stream.read(SNIFFED_BYTES))
            stream.seek(0)
            if container is None:
                raise UnreadableClipError("not-a-video", "the file begins with no video container that is read here")
            with open_stream(stream, container) as clip:
                yield clip


@contextmanager
def open_stream(stream: IO[bytes], container: str) -> Iterator[VideoClip]:
    """Open a video whose container format is known.

    :param stream: seekable.
    :param container: FFmpeg's name of the format.
    """
    import av

    is_cut = ends_early(stream, container)
    av.logging.set_level(av.logging.PANIC)  # its messages quote metadata, and metadata may name a patient
    try:
        opened = av.open(stream, format=container, options={"protocol_whitelist": ""}, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableClipError("damaged", f"the video cannot be opened ({type(error).__name__})") from None
    with opened:
        if not opened.streams.video:
            raise UnreadableClipError("not-a-video", "the file holds no video stream")
        yield VideoClip(opened, container, is_cut)


class VideoClip:
    """A clip in a video container.

    :param is_cut: whether the file was found to end before its container does.
    """

    def __init__(self, container: av.container.InputContainer, format_name: str, is_cut: bool) -> None:
        self._container = container
        self._ends_within_frame = is_cut and format_name == "gif"
        self._stream = container.streams.video[0]
        if self._stream.codec_context is None:  # of a file cut within its header
            raise UnreadableClipError("damaged", "the video states no codec that is read here")
        self._stream.codec_context.thread_count = 1
        self._notes: set[Note] = {Note.FEWER_FRAMES_THAN_DECLARED} if is_cut else set()
        width, height = self._stream.codec_context.width, self._stream.codec_context.height
        if not 0 < width * height <= MAX_PIXELS:
            raise UnreadableClipError("too-large", f"the video declares frames of {width} x {height} pixels")
        declared = self._stream.frames if format_name in COUNTING_FORMATS else 0
        self.info = ClipInfo(
            reader=VideoReader.name,
            height=height,
            width=width,
            n_frames_declared=declared or None,
            time_source=TimeSource.CONTAINER,
        )

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        from av.video.reformatter import VideoReformatter

        # One reformatter for all frames: the per-frame methods build a scaler each time, which takes twice as long.
        reformatter = VideoReformatter()
        first_s: float | None = None
        last_s = -math.inf
        n_frames = n_readable = 0
        for decoded in self._trusted() if self._ends_within_frame else self._decoded():
            if decoded is None:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(n_frames, math.nan, None, FrameStatus.UNREADABLE)
            else:
                if (decoded.height, decoded.width) != (self.info.height, self.info.width):
                    raise UnreadableClipError("frame-size-changed", "the frames of the video differ in size")
                time_s = math.nan if decoded.time is None else float(decoded.time)
                first_s = time_s if first_s is None else first_s
                if not time_s > last_s:
                    time_s = math.nan
                    self._notes.add(Note.FRAME_TIMES_UNKNOWN)
                else:
                    last_s = time_s
                yield Frame(n_frames, time_s - first_s, grey_image(decoded, reformatter))
                n_readable += 1
            n_frames += 1
        if n_readable == 0:
            raise UnreadableClipError("no-frames", "no frame of the video could be decoded")
        declared = self.info.n_frames_declared
        if declared is not None and n_frames != declared:
            fewer = n_frames < declared
            self._notes.add(Note.FEWER_FRAMES_THAN_DECLARED if fewer else Note.MORE_FRAMES_THAN_DECLARED)

    def _trusted(self) -> Iterator[av.VideoFrame | None]:
        """All decoded frames but the last, of which a part is made up."""
        previous = None
        for number, decoded in enumerate(self._decoded()):
            if number:
                yield previous
            previous = decoded
        yield None

    def _decoded(self) -> Iterator[av.VideoFrame | None]:
        """Frames in display order; None where a packet could not be decoded or a frame is marked corrupt."""
        import av

        try:
            for packet in self._container.demux(self._stream):
                if packet.is_corrupt:  # its end is missing, say; decoders make up the rest of the frame
                    yield None
                    continue
                try:
                    frames: list[Any] = packet.decode()
                except av.FFmpegError:
                    yield None
                    continue
                for frame in frames:
                    yield None if frame.is_corrupt else frame
        except av.FFmpegError:
            # The container ends in the middle: what came before is sound, and the count tells of the rest.
            self._notes.add(Note.UNREADABLE_FRAMES)


def grey_image(frame: av.VideoFrame, reformatter: VideoReformatter) -> GreyImage:
    """Full-range luma of a decoded frame, whatever its pixel format and range.

    Most video is limited range (16 to 235); the scaler expands it, once, by what the frame says of itself.
    """
    from av.video.reformatter import ColorRange

    grey = reformatter.reformat(frame, format="gray", dst_color_range=ColorRange.JPEG)
    plane = grey.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(grey.height, plane.line_size)
    return rows[:, : grey.width].copy()
