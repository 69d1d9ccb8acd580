"""GIF and Matroska files and transport streams that were cut short are told from whole ones."""

from __future__ import annotations

import io

import av
import numpy as np
import pytest

from lusfx.readers.container_end import ends_early


def video(container: str, codec: str, pixel_format: str) -> bytes:
    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        track = output.add_stream(codec, rate=25)
        track.height, track.width, track.pix_fmt = 48, 64, pixel_format
        for number in range(4):
            frame = np.full((48, 64), 40 * number, np.uint8)
            output.mux(track.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        output.mux(track.encode())
    return stream.getvalue()


@pytest.fixture(scope="module", params=["gif", "matroska"])
def whole(request: pytest.FixtureRequest) -> tuple[str, bytes]:
    codec, pixel_format = {"gif": ("gif", "gray"), "matroska": ("mpeg4", "yuv420p")}[request.param]
    return request.param, video(request.param, codec, pixel_format)


def test_every_cut_shows(whole: tuple[str, bytes]) -> None:
    container, content = whole
    assert not ends_early(io.BytesIO(content), container)
    for length in range(40, len(content), max(1, len(content) // 300)):
        assert ends_early(io.BytesIO(content[:length]), container), length


def test_what_lies_behind_the_end_does_not_matter(whole: tuple[str, bytes]) -> None:
    container, content = whole
    stream = io.BytesIO(content + b"\0" * 7)
    stream.seek(3)
    assert not ends_early(stream, container)
    assert stream.tell() == 3


def test_a_live_recording_does_not_know_its_length() -> None:
    head = b"\x1a\x45\xdf\xa3\x80" + b"\x18\x53\x80\x67\x01" + b"\xff" * 7
    assert not ends_early(io.BytesIO(head + b"\0" * 10), "matroska")


@pytest.mark.parametrize("before", [b"", b"\0\0\0\1"])
def test_a_packet_of_a_transport_stream_that_was_cut_shows(before: bytes) -> None:
    packets = (before + b"\x47" + b"\x11" * 187) * 5
    assert not ends_early(io.BytesIO(packets), "mpegts")
    for n_lost in range(1, 187):
        assert ends_early(io.BytesIO(packets[:-n_lost]), "mpegts"), n_lost
    assert not ends_early(io.BytesIO(packets + b"\0" * 60), "mpegts")


def test_other_containers_are_left_to_ffmpeg() -> None:
    assert not ends_early(io.BytesIO(b"RIFF"), "avi")
