"""Videos come as a player shows them: the right stream, turned, with square pixels, after their edit list."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from lusfx.errors import UnreadableClipError
from lusfx.readers.video import VideoReader, open_stream
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, Note
from tests.readers import make

KEY = SiteKey(bytes(32))
TURN, HALF, BACK, MIRROR, ODD = (0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (-1, 0, 0, 1), (0.7, 0.7, -0.7, 0.7)


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with VideoReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(frames: list[Frame]) -> np.ndarray:
    return np.stack([frame.pixels for frame in frames if frame.pixels is not None])


def write(
    path: Path,
    cines: Sequence[np.ndarray],
    container: str,
    codec: str = "mpeg4",
    change: Callable[[int, av.VideoStream], None] = lambda number, stream: None,
) -> Path:
    """Grey cines as streams of one file, each changed before it is written."""
    with av.open(str(path), "w", format=container) as output:
        streams = []
        for number, cine in enumerate(cines):
            stream = output.add_stream(codec, rate=25)
            stream.height, stream.width, stream.pix_fmt = *cine.shape[1:], "yuv420p"
            stream.codec_context.qmin = stream.codec_context.qmax = 2
            stream.codec_context.bit_rate = 20_000_000
            change(number, stream)
            streams.append(stream)
        for stream, cine in zip(streams, cines, strict=True):
            for grey in cine:
                picture = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
                output.mux(stream.encode(picture))
            output.mux(stream.encode())
    return path


def with_matrix(*terms: float) -> Callable[[int, av.VideoStream], None]:
    a, b, c, d = (round(term * 65536) for term in terms)
    return lambda _, stream: stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])


@pytest.mark.parametrize(
    ("terms", "turns", "mirrored"), [(TURN, 3, False), (HALF, 2, False), (BACK, 1, False), (MIRROR, 0, True)]
)
@pytest.mark.parametrize("container", ["mp4", "mov"])
def test_a_film_is_turned_as_its_matrix_says(
    tmp_path: Path, terms: tuple[int, int, int, int], turns: int, mirrored: bool, container: str
) -> None:
    cine = make.make_cine(3)
    path = write(tmp_path / f"clip.{container}", [cine], container, change=with_matrix(*terms))
    expected = np.rot90(cine, turns, axes=(1, 2))
    expected = expected[:, :, ::-1] if mirrored else expected
    info, frames, notes = read(path)
    assert (info.height, info.width) == expected.shape[1:]
    assert np.abs(pixels(frames).astype(int) - expected).mean() < 4
    assert notes == frozenset()


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_matroska_turns_by_its_projection(tmp_path: Path, turns: int) -> None:
    cine = make.make_cine(3)
    terms = {1: BACK, 2: HALF, 3: TURN}[turns]
    path = write(tmp_path / "clip.mkv", [cine], "matroska", change=with_matrix(*terms))
    assert np.abs(pixels(read(path)[1]).astype(int) - np.rot90(cine, turns, axes=(1, 2))).mean() < 4


def test_matroska_turns_by_a_tag(tmp_path: Path) -> None:
    def tag(_: int, stream: av.VideoStream) -> None:
        stream.metadata["ROTATE"] = "90"

    cine = make.make_cine(3)
    path = write(tmp_path / "clip.mkv", [cine], "matroska", change=tag)
    assert np.abs(pixels(read(path)[1]).astype(int) - np.rot90(cine, 3, axes=(1, 2))).mean() < 4


def test_an_odd_turn_is_noted_and_left(tmp_path: Path) -> None:
    cine = make.make_cine(3)
    _, frames, notes = read(write(tmp_path / "clip.mp4", [cine], "mp4", change=with_matrix(*ODD)))
    assert notes == {Note.ORIENTATION_NOT_APPLIED}
    assert np.abs(pixels(frames).astype(int) - cine).mean() < 4


@pytest.mark.parametrize(
    ("ending", "container", "codec", "ratio", "shape"),
    [
        ("mp4", "mp4", "mpeg4", Fraction(2), (48, 128)),
        ("mov", "mov", "mpeg4", Fraction(1, 2), (96, 64)),
        ("mkv", "matroska", "mpeg4", Fraction(3, 2), (48, 96)),
        ("mkv", "matroska", "libx264", Fraction(2), (48, 128)),
        ("avi", "avi", "mpeg4", Fraction(2), (48, 128)),  # by the codec alone
        ("mpg", "mpeg", "mpeg2video", Fraction(4, 3), (48, 85)),  # 16:9 of 64 x 48
        ("m2v", "mpeg2video", "mpeg2video", Fraction(4, 3), (48, 85)),
        ("ts", "mpegts", "mpeg2video", Fraction(4, 3), (48, 85)),
        ("h264", "h264", "libx264", Fraction(2), (48, 128)),
        ("mp4", "mp4", "mpeg4", Fraction(1), (48, 64)),
        ("mp4", "mp4", "mpeg4", Fraction(0, 1), (48, 64)),
    ],
)
def test_oblong_pixels_become_square(
    tmp_path: Path, ending: str, container: str, codec: str, ratio: Fraction, shape: tuple[int, int]
) -> None:
    def set_ratio(_: int, stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = ratio

    cine = make.make_cine(3)
    info, frames, _ = read(write(tmp_path / f"clip.{ending}", [cine], container, codec, set_ratio))
    assert (info.height, info.width) == shape
    expected = np.asarray(Image.fromarray(cine[0]).resize(shape[::-1], Image.Resampling.BILINEAR))
    assert np.abs(pixels(frames)[0].astype(int) - expected).mean() < 6


def test_a_turned_film_is_stretched_before_it_is_turned(tmp_path: Path) -> None:
    def change(number: int, stream: av.VideoStream) -> None:
        stream.codec_context.sample_aspect_ratio = Fraction(2)
        with_matrix(*TURN)(number, stream)

    info, _, _ = read(write(tmp_path / "clip.mp4", [make.make_cine(3)], "mp4", change=change))
    assert (info.height, info.width) == (128, 48)


def test_a_video_in_another_file_comes_as_it_is_stored(tmp_path: Path) -> None:
    path = write(tmp_path / "clip.mp4", [make.make_cine(3)], "mp4", change=with_matrix(*TURN))
    with path.open("rb") as stream, open_stream(stream, "mov") as clip:
        assert (clip.info.height, clip.info.width) == (48, 64)


# ---- which stream -----------------------------------------------------------------------------------------------------


def with_cover(container: str, picture_first: bool) -> bytes:
    """A video with a JPEG attached to it."""
    cine = make.make_cine(5)
    jpeg = io.BytesIO()
    Image.new("RGB", (32, 32), (200, 200, 200)).save(jpeg, "JPEG")
    out = io.BytesIO()
    with av.open(out, "w", format=container) as output:

        def add_video() -> av.VideoStream:
            stream = output.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            stream.codec_context.qmin = stream.codec_context.qmax = 2
            return stream

        def add_cover() -> av.VideoStream:
            stream = output.add_stream("mjpeg", rate=25)
            stream.height, stream.width, stream.pix_fmt = 32, 32, "yuvj420p"
            stream.disposition = Disposition.attached_pic
            return stream

        cover, video = (add_cover(), add_video()) if picture_first else (None, add_video())
        cover = cover or add_cover()
        output.start_encoding()
        packet = av.Packet(jpeg.getvalue())
        packet.stream, packet.pts, packet.dts = cover, 0, 0
        packet.is_keyframe = True
        output.mux(packet)
        for grey in cine:
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
            output.mux(video.encode(frame))
        output.mux(video.encode())
    return out.getvalue()


@pytest.mark.parametrize("picture_first", [False, True])
def test_an_attached_picture_is_not_the_clip(tmp_path: Path, picture_first: bool) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(with_cover("mp4", picture_first))
    info, frames, notes = read(path)
    assert (info.height, info.width, len(frames)) == (48, 64, 5)
    assert notes == frozenset()


def test_a_cover_in_matroska_is_not_the_clip(tmp_path: Path) -> None:
    jpeg = io.BytesIO()
    Image.new("RGB", (32, 32)).save(jpeg, "JPEG")
    cine = make.make_cine(5)
    with av.open(str(tmp_path / "clip.mkv"), "w", format="matroska") as output:
        output.add_attachment("cover.jpg", "image/jpeg", jpeg.getvalue())
        stream = output.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for grey in cine:
            frame = av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    info, frames, _ = read(tmp_path / "clip.mkv")
    assert (info.height, info.width, len(frames)) == (48, 64, 5)


def test_a_short_stream_before_the_clip_is_not_the_clip(tmp_path: Path) -> None:
    poster, cine = make.make_cine(1, 96, 128), make.make_cine(12)
    info, frames, notes = read(write(tmp_path / "clip.mp4", [poster, cine], "mp4"))
    assert (info.height, info.width, len(frames)) == (48, 64, 12)
    assert notes == frozenset()


def test_of_two_clips_the_default_one_is_taken_and_the_other_noted(tmp_path: Path) -> None:
    def mark(number: int, stream: av.VideoStream) -> None:
        stream.disposition = Disposition.default if number == 1 else Disposition(0)

    cines = [make.make_cine(8, 96, 128), make.make_cine(8)]
    info, frames, notes = read(write(tmp_path / "clip.mkv", cines, "matroska", change=mark))
    assert (info.height, info.width, len(frames)) == (48, 64, 8)
    assert notes == {Note.OTHER_PICTURES_LEFT_OUT}


# ---- how many frames --------------------------------------------------------------------------------------------------


def with_edit(path: Path, media_time: int, duration_ms: int) -> None:
    """Let the edit list of an MP4 begin at a time, in ticks of the media (ISO 14496-12, 8.6.6)."""
    content = bytearray(path.read_bytes())
    place = content.index(b"elst") + 12
    struct.pack_into(">Ll", content, place, duration_ms, media_time)
    path.write_bytes(content)


@pytest.mark.parametrize("n_before", [1, 4, 12, 13])
@pytest.mark.parametrize("n_shown", [3, 7])
def test_frames_before_a_cut_are_not_missing(tmp_path: Path, n_before: int, n_shown: int) -> None:
    def groups_of_six(_: int, stream: av.VideoStream) -> None:
        stream.codec_context.gop_size = 6

    cine = make.make_cine(20)
    path = write(tmp_path / "clip.mp4", [cine], "mp4", change=groups_of_six)
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    with_edit(path, int(n_before / 25 / tick), n_shown * 40)
    info, frames, notes = read(path)
    assert info.n_frames_declared == len(frames) == n_shown
    assert notes == frozenset()
    assert np.abs(pixels(frames).astype(int) - cine[n_before : n_before + n_shown]).mean() < 5
    np.testing.assert_allclose([frame.time_s for frame in frames], np.arange(n_shown) / 25, atol=0.001)


def test_a_cut_mp4_whose_end_is_missing_still_says_so(tmp_path: Path) -> None:
    """The index before the data, so that what is left of the file can be read."""
    cine = make.make_cine(20)
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="mp4", options={"movflags": "faststart"}) as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for grey in cine:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(np.repeat(grey[..., None], 3, axis=2), format="rgb24")))
        output.mux(stream.encode())
    with av.open(str(path)) as container:
        tick = container.streams.video[0].time_base
    with_edit(path, int(4 / 25 / tick), 640)
    path.write_bytes(path.read_bytes()[: -path.stat().st_size // 3])
    info, frames, notes = read(path)
    assert info.n_frames_declared == 16
    assert len(frames) < 16
    assert Note.FEWER_FRAMES_THAN_DECLARED in notes


def chunk(kind: bytes, value: bytes) -> bytes:
    return kind + struct.pack("<L", len(value)) + value + b"\0" * (len(value) % 2)


def motion_jpeg_avi(frames: Sequence[bytes], *, index: bool = True) -> bytes:
    """An AVI whose frames are JPEGs, or nothing where the recorder dropped one."""
    n, size = len(frames), max(map(len, frames))
    avih = struct.pack("<14L", 40000, size * 25, 0, 0x10, n, 0, 1, size, 64, 48, 0, 0, 0, 0)
    strh = b"vidsMJPG" + struct.pack("<LHHLLLLLLLL4H", 0, 0, 0, 0, 1, 25, 0, n, size, 0xFFFFFFFF, 0, 0, 0, 64, 48)
    strf = struct.pack("<LllHH4sLLLLL", 40, 64, 48, 1, 24, b"MJPG", size, 0, 0, 0, 0)
    header = chunk(
        b"LIST", b"hdrl" + chunk(b"avih", avih) + chunk(b"LIST", b"strl" + chunk(b"strh", strh) + chunk(b"strf", strf))
    )
    movi, entries = b"movi", b""
    for frame in frames:
        entries += b"00dc" + struct.pack("<LLL", 0x10, len(movi), len(frame))
        movi += chunk(b"00dc", frame)
    return chunk(b"RIFF", b"AVI " + header + chunk(b"LIST", movi) + (chunk(b"idx1", entries) if index else b""))


@pytest.mark.parametrize("dropped", [(), (3,), (2, 5, 6), (9,), (8, 9)])
def test_dropped_frames_of_an_avi_are_not_missing(tmp_path: Path, dropped: tuple[int, ...]) -> None:
    frames = []
    for number, grey in enumerate(make.make_cine(10)):
        stream = io.BytesIO()
        Image.fromarray(grey).save(stream, "JPEG", quality=95)
        frames.append(b"" if number in dropped else stream.getvalue())
    path = tmp_path / "clip.avi"
    path.write_bytes(motion_jpeg_avi(frames))
    info, found, notes = read(path)
    assert info.n_frames_declared == len(found) == 10 - len(dropped)
    assert notes == frozenset()
    shown = [number / 25 for number in range(10) if number not in dropped]
    np.testing.assert_allclose([frame.time_s for frame in found], shown, atol=0.001)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w", format="mp4") as output:
        stream = output.add_stream("aac", rate=48000)
        sound = av.AudioFrame(format="fltp", layout="mono", samples=1024)
        for plane in sound.planes:
            plane.update(bytes(plane.buffer_size))
        sound.sample_rate = 48000
        output.mux(stream.encode(sound))
        output.mux(stream.encode())
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code == "not-a-video"


# ---- what lies beside the frames --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("codec", "pixel_format"), [("png", "rgba"), ("qtrle", "argb")])
@pytest.mark.parametrize("opaque", [0, 128, 255])
def test_transparent_ground_is_black(tmp_path: Path, codec: str, pixel_format: str, opaque: int) -> None:
    """White below, opaque in the middle; a film whose every pixel is clear has opacity that was never filled."""
    rgba = np.full((48, 64, 4), 255, np.uint8)
    rgba[..., 3] = 0
    rgba[10:30, 10:30] = (100, 100, 100, opaque)
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w", format="mov") as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, pixel_format
        for _ in range(2):
            output.mux(stream.encode(av.VideoFrame.from_ndarray(rgba, format="rgba").reformat(format=pixel_format)))
        output.mux(stream.encode())
    expected = np.zeros((48, 64)) if opaque else np.full((48, 64), 255.0)
    expected[10:30, 10:30] = 100 * opaque / 255 if opaque else 100
    np.testing.assert_allclose(pixels(read(path)[1])[1], expected, atol=1)


def test_a_sequence_of_jpegs_is_read_whole(tmp_path: Path) -> None:
    content = b""
    for grey in make.make_cine(5):
        stream = io.BytesIO()
        Image.fromarray(grey).save(stream, "JPEG", quality=95)
        content += stream.getvalue()
    path = tmp_path / "clip.mjpeg"
    path.write_bytes(content)
    assert np.abs(pixels(read(path)[1]).astype(int) - make.make_cine(5)).mean() < 3


def test_an_avi_that_goes_on_in_zeros_is_searched_for_a_while_only(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(make.make_cine(1)[0]).save(stream, "JPEG")
    path = tmp_path / "clip.avi"
    path.write_bytes(motion_jpeg_avi([stream.getvalue()] * 4, index=False) + bytes(4_000_000))
    assert len(read(path)[1]) == 4
