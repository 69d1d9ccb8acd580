"""Which fragments are a frame, whatever NumberOfFrames and offset tables say."""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lusfx.readers.dicom_fragments import EncodedFrames, split_codestreams
from tests.readers import make

Frames = NDArray[np.uint8]


@pytest.fixture
def frames() -> list[bytes]:
    found = []
    for pixels in make.make_cine(6):
        stream = io.BytesIO()
        Image.fromarray(pixels).save(stream, "JPEG")
        found.append(stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2))
    return found


def item(content: bytes) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(content)) + content


def parts(frames: Sequence[bytes], n_bytes: int) -> list[list[bytes]]:
    return [[frame[place : place + n_bytes] for place in range(0, len(frame), n_bytes)] for frame in frames]


def value(fragments: Sequence[bytes], table: Sequence[int] = ()) -> io.BytesIO:
    encoded = item(struct.pack(f"<{len(table)}L", *table)) + b"".join(map(item, fragments))
    return io.BytesIO(b"before" + encoded + struct.pack("<HHL", 0xFFFE, 0xE0DD, 0) + b"behind")


def find(stream: io.BytesIO, n_declared: int, extended: bytes | None = None) -> list[bytes]:
    found = EncodedFrames.find(stream, 6, n_declared, extended)
    assert len(found) == len(list(found))
    return list(found)


def offsets_of(frames: Sequence[Sequence[bytes]]) -> list[int]:
    sizes = [sum(len(part) + 8 for part in frame) for frame in frames]
    return [sum(sizes[:k]) for k in range(len(sizes))]


@pytest.mark.parametrize("n_declared", [1, 5, 6, 7, 10_000])
@pytest.mark.parametrize("n_bytes", [100_000, 400])
@pytest.mark.parametrize("has_table", [False, True])
def test_the_fragments_tell_the_number_of_frames(
    frames: list[bytes], n_declared: int, n_bytes: int, has_table: bool
) -> None:
    cut = parts(frames, n_bytes)
    stream = value([part for frame in cut for part in frame], offsets_of(cut) if has_table else ())
    assert find(stream, n_declared) == frames


@pytest.mark.parametrize("wrong", ["zeros", "moved", "without-heads", "swapped", "short", "beyond"])
@pytest.mark.parametrize("is_extended", [False, True])
def test_a_wrong_table_is_not_believed(frames: list[bytes], wrong: str, is_extended: bool) -> None:
    right = offsets_of([[frame] for frame in frames])
    table = {
        "zeros": [0] * 6,
        "moved": [*right[:3], *(offset + 2 for offset in right[3:])],
        "without-heads": [offset - 8 * k for k, offset in enumerate(right)],
        "swapped": [*right[:4], right[5], right[4]],
        "short": right[::2],
        "beyond": [*right[:5], 10**8],
    }[wrong]
    if is_extended:
        assert find(value(frames), 6, struct.pack("<6Q", *(table * 2)[:6])) == frames
    else:
        assert find(value(frames, table), 6) == frames


def test_a_frame_that_is_zeros_keeps_its_place(frames: list[bytes]) -> None:
    frames[2] = bytes(len(frames[2]))
    assert find(value(frames), 6) == frames
    frames[3] = bytes(len(frames[3]))
    assert find(value(frames), 6) == frames


def test_a_frame_without_its_end_does_not_take_the_next_one_with_it(frames: list[bytes]) -> None:
    frames[2] = frames[2].rstrip(b"\0")[:-2]
    frames[2] += b"\0" * (len(frames[2]) % 2)
    assert find(value(frames), 5) == frames


@pytest.mark.parametrize("n_declared", [1, 6])
def test_frames_that_share_a_fragment_are_parted(frames: list[bytes], n_declared: int) -> None:
    found = find(value([b"".join(frames)]), n_declared)
    assert [frame.rstrip(b"\0") for frame in found] == [frame.rstrip(b"\0") for frame in frames]


def test_of_a_file_that_was_cut_the_last_fragment_is_what_is_there(frames: list[bytes]) -> None:
    content = value(frames).getvalue()
    place = content.index(frames[4]) + 50
    assert find(io.BytesIO(content[:place]), 6) == [*frames[:4], frames[4][:50]]


def test_no_fragments_are_no_frames() -> None:
    assert find(io.BytesIO(b"before"), 6) == []
    assert find(value([]), 6) == []


def test_what_has_no_end_is_one_codestream(frames: list[bytes]) -> None:
    assert list(split_codestreams(frames[0][:100])) == [frames[0][:100]]


@pytest.mark.parametrize("where", ["first", "before", "behind"])
def test_fragments_of_no_bytes_are_no_frames_where_the_others_are_all(frames: list[bytes], where: str) -> None:
    fragments = {
        "first": [b"", *frames],
        "before": [part for frame in frames for part in (b"", frame)],
        "behind": [part for frame in frames for part in (frame, b"")],
    }[where]
    assert find(value(fragments), len(frames)) == frames
    beginnings = offsets_of([[part] for part in fragments])
    assert find(value(fragments, beginnings), len(frames)) == frames


def test_a_fragment_of_no_bytes_keeps_the_place_of_a_frame_that_is_missing(frames: list[bytes]) -> None:
    frames[3] = b""
    assert find(value(frames), len(frames)) == frames
