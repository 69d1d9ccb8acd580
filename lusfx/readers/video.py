"""Video files, by PyAV.

FFmpeg is never let guess what a file is: some of its formats are scripts and playlists that open *other* files. The format
is given by us, from the file's first bytes, and the file is handed over as a stream, so that FFmpeg has no path to open.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.readers.container_end import ends_early
from lusfx.readers.containers import container_format, is_video
from lusfx.readers.display import Display
from lusfx.readers.files import is_dicom, open_source
from lusfx.readers.gif import OnBlackGround, waited_s
from lusfx.readers.luma import LumaScaler
from lusfx.readers.transparency import CODECS as TRANSPARENT_CODECS
from lusfx.readers.transparency import on_black
from lusfx.readers.video_streams import clip_streams, declared_frames, display_of
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, Note, TimeSource

if TYPE_CHECKING:
    import av
    from av.video.stream import VideoStream

MAX_PIXELS = 1 << 26
"""Largest frame: 67 million pixels, four times an 8K display's half. A header that claims more is damaged or hostile."""
SNIFFED_BYTES = 512
JPEG_SEQUENCES = (".mjpeg", ".mjpg")
"""Endings of JPEGs one behind the other; they begin as a still does."""

STRICT_CODECS = frozenset({"mjpeg", "mjpegb"})
"""Codecs whose frames stand alone, and of which FFmpeg makes up what is missing of a frame unless it is told to be strict."""

MOVIES = (".mp4", ".m4v", ".mov", ".qt", ".3gp", ".3g2", ".avi", ".divx", ".mkv", ".webm", ".ogv", ".flv", ".gif")
WINDOWS_MEDIA = (".wmv", ".asf")
MPEG_STREAMS = (".mpeg", ".mpg", ".mpe", ".m1v", ".m2v", ".vob", ".m2ts", ".dv")
ELEMENTARY_STREAMS = (".h264", ".264", ".h265", ".265", ".hevc")


class VideoReader(Reader):
    """Cine loops in the containers that ultrasound machines and picture archives export."""

    name = "video"
    suffixes = (*MOVIES, *WINDOWS_MEDIA, *MPEG_STREAMS, *ELEMENTARY_STREAMS, *JPEG_SEQUENCES)
    """Transport streams called ``.ts`` are known by their content only: programs in TypeScript have that ending too."""

    def claims_content(self, leading_bytes: bytes) -> bool:
        return is_video(leading_bytes) and not is_dicom(leading_bytes)

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        with open_source(path) as stream:
            head = stream.read(SNIFFED_BYTES)
            stream.seek(0)
            container = container_format(head)
            if path.suffix.lower() in JPEG_SEQUENCES and head.startswith(b"\xff\xd8\xff"):
                container = "mjpeg"
            if container is None:
                raise UnreadableClipError("not-a-video", "the file begins with no video container that is read here")
            with open_stream(stream, container, as_shown=True) as clip:
                yield clip


@contextmanager
def open_stream(stream: IO[bytes], container: str, *, as_shown: bool = False) -> Iterator[VideoClip]:
    """Open a video whose container format is known.

    :param stream: seekable.
    :param container: FFmpeg's name of the format.
    :param as_shown: whether frames are turned and stretched as the video says; else they come as they are stored.
    :raises UnreadableClipError: if it cannot be opened or holds no video (``damaged``, ``not-a-video``, ``too-large``).
    """
    import av

    is_gif = container == "gif"
    is_cut = ends_early(stream, container)
    av.logging.set_level(av.logging.PANIC)  # its messages quote metadata, and metadata may name a patient
    try:
        source = OnBlackGround(stream) if is_gif else stream
        opened = av.open(source, format=container, options={"protocol_whitelist": ""}, metadata_errors="ignore")
    except (av.FFmpegError, ValueError) as error:
        raise UnreadableClipError("damaged", f"the video cannot be opened ({type(error).__name__})") from None
    with opened:
        streams = clip_streams(opened)
        if not streams:
            raise UnreadableClipError("not-a-video", "the file holds no video stream")
        if streams[0].codec_context is None:  # of a file cut within its header
            raise UnreadableClipError("damaged", "the video states no codec that is read here")
        notes = {Note.FEWER_FRAMES_THAN_DECLARED} if is_cut else set()
        if len(streams) > 1:
            notes.add(Note.OTHER_PICTURES_LEFT_OUT)
        declared = declared_frames(streams[0], stream, container)
        yield VideoClip(opened, streams[0], declared, notes, is_gif=is_gif, as_shown=as_shown)


class VideoClip:
    """A clip in a video container. Its first frame is decoded at once: it knows how frames are to be shown.

    :param declared: frames that the container says it has; None where it does not say.
    :param notes: what is to be told before the first frame is decoded.
    :param is_gif: whether frames of no time are shown for a while, and the last one of a file that was cut short is made up.
    :param as_shown: whether frames are turned and stretched as the video says.
    :ivar stored_size: height and width of frames as they are stored; ``display`` is what is done to them.
    """

    def __init__(
        self,
        container: av.container.InputContainer,
        stream: VideoStream,
        declared: int | None,
        notes: set[Note],
        *,
        is_gif: bool,
        as_shown: bool,
    ) -> None:
        self._container = container
        self._stream = stream
        self._is_gif = is_gif
        self._notes = notes
        stream.codec_context.thread_count = 1
        if stream.codec_context.name in STRICT_CODECS:
            stream.codec_context.options = {"err_detect": "explode"}
        _check_size(stream.codec_context.height, stream.codec_context.width)  # before the decoder makes room for it
        ends_within_frame = is_gif and Note.FEWER_FRAMES_THAN_DECLARED in notes
        self._coming = self._trusted() if ends_within_frame else self._decoded()
        self._n_before = 0
        first = None
        for first in self._coming:
            if first is not None:
                break
            self._n_before += 1
        if first is None:
            raise UnreadableClipError("no-frames", "no frame of the video could be decoded")
        self._first = first
        _check_size(first.height, first.width)
        self.display, is_odd = display_of(stream, first) if as_shown else (Display(), False)
        if is_odd:
            self._notes.add(Note.ORIENTATION_NOT_APPLIED)
        self.stored_size = first.height, first.width
        height, width = self.display.shape(*self.stored_size)
        _check_size(height, width)
        self.info = ClipInfo(
            reader=VideoReader.name,
            height=height,
            width=width,
            n_frames_declared=declared,
            time_source=TimeSource.CONTAINER,
        )

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        scaler = LumaScaler()
        codec = self._stream.codec_context.name
        first_s: float | None = None
        last_s = -math.inf
        late_s = 0.0
        n_frames = 0
        for decoded in chain(repeat(None, self._n_before), (self._first,), self._coming):
            if decoded is None:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(n_frames, math.nan, None, FrameStatus.UNREADABLE)
            else:
                if (decoded.height, decoded.width) != self.stored_size:
                    raise UnreadableClipError("frame-size-changed", "the frames of the video differ in size")
                time_s = math.nan if decoded.time is None else float(decoded.time) + late_s
                first_s = time_s if first_s is None else first_s
                if not time_s > last_s:
                    time_s = math.nan
                    self._notes.add(Note.FRAME_TIMES_UNKNOWN)
                else:
                    last_s = time_s
                grey = scaler.grey(decoded)
                if codec in TRANSPARENT_CODECS:
                    grey = on_black(grey, decoded, codec)
                if self._is_gif:
                    late_s += waited_s(decoded)
                yield Frame(n_frames, time_s - first_s, self.display.frame(grey))
            n_frames += 1
        self._notes |= count_notes(n_frames, self.info.n_frames_declared)

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
                if (
                    packet.is_corrupt and not packet.is_discard
                ):  # its end is missing, say; decoders make up the rest of the frame
                    yield None
                    continue
                try:
                    frames: list[Any] = packet.decode()
                except av.FFmpegError:
                    if not packet.is_discard:  # what lies before the start of an edit list is no frame of the clip
                        yield None
                    continue
                for frame in frames:
                    yield None if frame.is_corrupt else frame
        except av.FFmpegError:
            # The container ends in the middle: what came before is sound, and the count tells of the rest.
            self._notes.add(Note.UNREADABLE_FRAMES)


def _check_size(height: int, width: int) -> None:
    if height == width == 0:
        raise UnreadableClipError("damaged", "the video states no size of its frames")
    if not 0 < height * width <= MAX_PIXELS:
        raise UnreadableClipError("too-large", f"the video declares frames of {width} x {height} pixels")


def count_notes(n_frames: int, n_declared: int | None) -> set[Note]:
    """What to say of a clip that has not as many frames as it declares."""
    if n_declared is None or n_frames == n_declared:
        return set()
    return {Note.FEWER_FRAMES_THAN_DECLARED if n_frames < n_declared else Note.MORE_FRAMES_THAN_DECLARED}
