"""Videos are known by their first bytes; what is none of them is not claimed."""

from __future__ import annotations

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from lusfx.contracts import HEAD_BYTES
from lusfx.readers.containers import container_format, is_video
from lusfx.readers.dicom import DicomReader
from lusfx.readers.image import ImageReader
from lusfx.readers.video import VideoReader
from lusfx.site_key import SiteKey
from tests.readers import make

READERS = (VideoReader(), ImageReader(), DicomReader())
VIDEOS = [
    ("libx264", "mp4", "mov"),
    ("mpeg4", "mov", "mov"),
    ("mpeg4", "3gp", "mov"),
    ("mpeg4", "avi", "avi"),
    ("mpeg4", "matroska", "matroska"),
    ("libvpx", "webm", "matroska"),
    ("wmv2", "asf", "asf"),
    ("flv", "flv", "flv"),
    ("libvpx", "ogg", "ogg"),
    ("mpeg2video", "mpeg", "mpeg"),
    ("mpeg2video", "vob", "mpeg"),
    ("mpeg2video", "mpeg2video", "mpegvideo"),
    ("mpeg2video", "mpegts", "mpegts"),
    ("libx264", "mpegts", "mpegts"),
    ("libx264", "h264", "h264"),
    ("libx265", "hevc", "hevc"),
    ("mpeg4", "m4v", "m4v"),
]
STILLS = [("PNG", "L"), ("JPEG", "L"), ("TIFF", "L"), ("BMP", "L"), ("BMP", "RGB"), ("WEBP", "RGB")]


def video(codec: str, container: str, *, m2ts: bool = False) -> bytes:
    stream = io.BytesIO()
    options = {"mpegts_m2ts_mode": "1"} if m2ts else {}
    with av.open(stream, "w", format=container, options=options) as output:
        track = output.add_stream(codec, rate=25)
        height, width = (144, 176)  # of the sizes that 3GP and FLV know
        track.height, track.width, track.pix_fmt = height, width, "yuv420p"
        if codec == "libx265":
            track.options = {"x265-params": "pools=none:frame-threads=1:log-level=none", "preset": "ultrafast"}
        for frame in make.make_cine(3, height, width):
            output.mux(track.encode(av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")))
        output.mux(track.encode())
    return stream.getvalue()


def claims(content: bytes) -> list[str]:
    return [reader.name for reader in READERS if reader.claims_content(content[:HEAD_BYTES])]


@pytest.mark.parametrize(("codec", "container", "name"), VIDEOS)
def test_a_video_of_any_name_is_claimed_and_read(tmp_path: Path, codec: str, container: str, name: str) -> None:
    content = video(codec, container)
    assert container_format(content) == name
    assert claims(content) == ["video"]
    path = tmp_path / "IM0001"
    path.write_bytes(content)
    with VideoReader().open(path, SiteKey(bytes(32))) as clip:
        frames = list(clip.frames())
    assert len(frames) == 3
    assert all(frame.pixels is not None and frame.pixels.shape == (144, 176) for frame in frames)


def test_a_camera_s_transport_stream_is_claimed_and_read(tmp_path: Path) -> None:
    path = tmp_path / "00001.MTS"
    path.write_bytes(video("libx264", "mpegts", m2ts=True))
    assert claims(path.read_bytes()) == ["video"]
    with VideoReader().open(path, SiteKey(bytes(32))) as clip:
        assert len(list(clip.frames())) == 3


def test_a_gif_of_any_name_is_claimed() -> None:
    assert claims(gif()) == ["video"]


def gif() -> bytes:
    stream = io.BytesIO()
    first, second = (Image.fromarray(frame) for frame in make.make_cine(2))
    first.save(stream, "GIF", save_all=True, append_images=[second])
    return stream.getvalue()


@pytest.mark.parametrize(("kind", "mode"), STILLS)
def test_a_still_of_any_name_is_claimed_and_read(tmp_path: Path, kind: str, mode: str) -> None:
    stream = io.BytesIO()
    Image.fromarray(make.make_cine(1)[0]).convert(mode).save(stream, kind)
    assert claims(stream.getvalue()) == ["image"]
    path = tmp_path / "IM0001"
    path.write_bytes(stream.getvalue())
    with ImageReader().open(path, SiteKey(bytes(32))) as clip:
        assert len(list(clip.frames())) == 1


def boxed(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + b"\0\0\0\0" + brand + b"mp42" + bytes(300)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"Dear Sir or Madam,\n" * 100,
        b"#EXTM3U\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        b"ffconcat version 1.0\nfile 'other.mp4'\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5000 RTP/AVP 96\n",
        b"<!DOCTYPE html><html></html>",
        b"<?xml version='1.0'?><svg></svg>",
        b"%PDF-1.7\n" + bytes(range(256)),
        b"PK\x03\x04" + bytes(100),
        b"GIF89a is a format of pictures",
        b"We moov all data to a new server",
        b"BM is short for B-mode, " * 20,
        b"RIFF\x24\0\0\0WAVEfmt " + bytes(100),
        b"\0\0\1\0\1\0\x10\x10" + bytes(100),  # an icon
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600),  # a database of thumbnails
        b"\x47" + bytes(4095),
        b"\x1a\x45\xdf\xa3\x84\x42\x82\x88other   " + bytes(100),
        boxed(b"heic"),
        boxed(b"mif1"),
        boxed(b"avif"),
        boxed(b"M4A "),
        b"OggS\0\2" + bytes(22) + b"\1vorbis" + bytes(100),
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9\x00\xaa\x00\x62\xce\x6c" + bytes(600),  # of sound alone
    ],
)
def test_what_is_no_picture_is_claimed_by_nobody(content: bytes) -> None:
    assert claims(content) == []
    assert not is_video(content)


@pytest.mark.parametrize("head", [b"II*\0", b"MM\0*", b"GIF89a", b"\0\0\0\x18ftypisom"])
def test_dicom_whose_preamble_is_another_format_is_dicom(head: bytes) -> None:
    assert claims(head + bytes(128 - len(head)) + b"DICM" + bytes(600)) == ["dicom"]


@pytest.mark.parametrize("ending", [".ts", ".mts"])
def test_programs_are_left_alone_by_their_ending(ending: str) -> None:
    assert ending not in VideoReader.suffixes
