"""Video: grey levels and times are right in every container, and no file can make FFmpeg open another one."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.errors import ClipError, UnreadableClipError
from lusfx.readers.video import VideoReader, container_format
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, FrameStatus, Note
from tests.readers import make

KEY = SiteKey(bytes(32))
CONTAINERS = [
    (".mp4", "libx264", "mp4", "yuv420p"),
    (".mp4", "libx264", "mp4", "yuvj420p"),
    (".m4v", "mpeg4", "mp4", "yuv420p"),
    (".mov", "mjpeg", "mov", "yuvj420p"),
    (".avi", "mpeg4", "avi", "yuv420p"),
    (".avi", "rawvideo", "avi", "bgr24"),
    (".mkv", "ffv1", "matroska", "yuv420p"),
    (".mpeg", "mpeg2video", "mpeg", "yuv420p"),
    (".mpg", "mpeg1video", "mpeg", "yuv420p"),
    (".wmv", "wmv2", "asf", "yuv420p"),
    (".webm", "libvpx", "webm", "yuv420p"),
    (".gif", "gif", "gif", "gray"),
]


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with VideoReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(frames: list[Frame]) -> NDArray[np.uint8]:
    return np.stack([frame.pixels for frame in frames if frame.pixels is not None])


@pytest.mark.parametrize(("ending", "codec", "container", "pixel_format"), CONTAINERS)
def test_every_container_gives_the_encoded_frames(
    tmp_path: Path, ending: str, codec: str, container: str, pixel_format: str
) -> None:
    cine = make.make_cine(10, 64, 96)
    path = tmp_path / f"clip{ending}"
    make.encode_video(path, cine, codec, container, pixel_format)
    info, frames, notes = read(path)
    assert (info.height, info.width) == (64, 96)
    assert info.n_frames_declared in (10, None)
    assert len(frames) == 10
    assert notes == frozenset()
    decoded = pixels(frames).astype(int)
    assert np.abs(decoded - cine).mean() < 4
    # Limited range that was not expanded, or expanded twice, moves black and white by 16 and 20 levels.
    assert decoded.min() <= 6
    assert decoded.max() >= 249
    times = np.array([frame.time_s for frame in frames])
    np.testing.assert_allclose(times, np.arange(10) / 25, atol=0.006)


def test_grey_is_luma_of_the_colours(tmp_path: Path) -> None:
    colours = np.zeros((1, 32, 96, 3), np.uint8)
    colours[:, :, :32], colours[:, :, 32:64], colours[:, :, 64:] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    path = tmp_path / "clip.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("rawvideo", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 96, "bgr24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(colours[0], format="rgb24")))
        container.mux(stream.encode())
    row = pixels(read(path)[1])[0, 16]
    np.testing.assert_allclose(row[[16, 48, 80]], [76, 150, 29], atol=2)


def test_an_avi_cut_short_says_so(tmp_path: Path) -> None:
    cine = make.make_cine(60, 64, 96)
    path = tmp_path / "clip.avi"
    make.encode_video(path, cine, "mpeg4", "avi")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    info, frames, notes = read(path)
    assert info.n_frames_declared == 60
    assert 5 < len(frames) < 60
    assert Note.FEWER_FRAMES_THAN_DECLARED in notes


@pytest.mark.parametrize(("n_bytes_lost", "is_readable"), [(400, False), (60, False), (2, True)])
def test_no_part_of_a_jpeg_that_was_cut_is_made_up(tmp_path: Path, n_bytes_lost: int, is_readable: bool) -> None:
    """A frame ends too early; or its end marker is missing, and nothing else."""
    path = tmp_path / "clip.avi"
    make.encode_video(path, make.make_cine(5, 64, 96), "mjpeg", "avi", "yuvj420p")
    _, sound, _ = read(path)
    content = bytearray(path.read_bytes())
    end = [place for place in range(len(content) - 1) if content[place : place + 2] == b"\xff\xd9"][2] + 2
    content[end - n_bytes_lost : end] = (b"\xff\xd9" if n_bytes_lost > 2 else b"").ljust(n_bytes_lost, b"\0")
    path.write_bytes(content)
    _, frames, notes = read(path)
    assert [frame.pixels is not None for frame in frames] == [True, True, is_readable, True, True]
    assert (Note.UNREADABLE_FRAMES in notes) == (not is_readable)
    np.testing.assert_array_equal(
        pixels(frames), pixels([f for f, g in zip(sound, frames, strict=True) if g.pixels is not None])
    )


@pytest.mark.parametrize(("codec", "container"), [("libx264", "mp4"), ("mpeg4", "avi"), ("mpeg2video", "mpeg")])
def test_damage_gives_typed_errors_or_statuses(tmp_path: Path, codec: str, container: str) -> None:
    cine = make.make_cine(20, 64, 96)
    path = tmp_path / "clip.mpeg"
    make.encode_video(path, cine, codec, container)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(40):
        altered = bytearray(content)
        start = int(generator.integers(0, len(content) - 64))
        altered[start : start + 64] = generator.integers(0, 256, 64).astype(np.uint8).tobytes()
        path.write_bytes(altered)
        try:
            _, frames, _ = read(path)
        except ClipError:
            continue
        for frame in frames:
            assert (frame.pixels is None) == (frame.status != FrameStatus.OK)


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3, 0.9])
def test_a_cut_mp4_gives_a_code_or_a_note(tmp_path: Path, share: float) -> None:
    path = tmp_path / "clip.mp4"
    make.encode_video(path, make.make_cine(20, 64, 96), "libx264", "mp4")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code in {"empty-file", "damaged", "not-a-video", "no-frames"}
    assert "clip" not in str(caught.value).replace("clips", "")


def test_a_file_that_is_a_script_opens_no_other_file(tmp_path: Path) -> None:
    """FFmpeg reads concat scripts and playlists by their content, whatever their name is."""
    other = tmp_path / "other.mp4"
    make.encode_video(other, make.make_cine(10, 64, 96), "libx264", "mp4")
    scripts = {
        "ffconcat version 1.0\nfile 'other.mp4'\n": "concat",
        f"ffconcat version 1.0\nfile '{other}'\n": "concat",
        f"#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{other}\n#EXT-X-ENDLIST\n": "hls",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n": "sdp",
    }
    for text in scripts:
        for ending in VideoReader.suffixes:
            path = tmp_path / f"script{ending}"
            path.write_text(text)
            with pytest.raises(UnreadableClipError) as caught:
                read(path)
            assert caught.value.code == "not-a-video"


def test_a_quicktime_file_that_refers_to_another_opens_no_other_file(tmp_path: Path) -> None:
    """A movie may keep its samples in another file, named in its data reference; the stream given to FFmpeg has no others."""
    secret = tmp_path / "secret.mov"
    make.encode_video(secret, make.make_cine(10, 64, 96), "mjpeg", "mov", "yuvj420p")
    content = secret.read_bytes()
    entry = content.index(b"url \x00\x00\x00\x01")
    reference = bytearray(content)
    reference[entry + 4 : entry + 8] = b"\x00\x00\x00\x00"  # no longer "in this file"
    path = tmp_path / "refers.mov"
    path.write_bytes(reference)
    try:
        read(path)
    except UnreadableClipError:
        return  # refused; or else what was decoded is the file's own content


def test_an_absurd_frame_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "clip.gif"
    path.write_bytes(b"GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02D\x01\x00;")
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code in {"too-large", "damaged"}


@pytest.mark.parametrize(("kind", "code"), [("missing", "cannot-open"), ("folder", "not-a-file")])
def test_what_cannot_be_opened_has_a_code_and_no_name(tmp_path: Path, kind: str, code: str) -> None:
    path = tmp_path / "SECRETNAME.mp4"
    if kind == "folder":
        path.mkdir()
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code == code
    assert "SECRET" not in str(caught.value)


def test_text_is_no_container() -> None:
    assert container_format(b"hello world, this is text" * 30) is None
    assert container_format(b"") is None


@pytest.mark.real_data
@pytest.mark.slow
def test_all_real_videos_are_read(shared_data: Path) -> None:
    paths = [path for path in shared_data.rglob("*") if path.suffix.lower() in VideoReader.suffixes]
    assert len(paths) == 298
    for path in paths:
        info, frames, notes = read(path)
        assert len(frames) >= 20
        assert all(frame.pixels is not None for frame in frames)
        assert notes <= {Note.FEWER_FRAMES_THAN_DECLARED}, info
