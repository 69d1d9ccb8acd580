"""Messages: whole ones arrive as they were sent, and nothing else arrives at all."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.engine.extraction.decoding import wire
from lusfx.engine.extraction.decoding.clip import Ending, Event, Picture, Portion, Refusal, StageSeconds
from lusfx.engine.extraction.decoding.wire import WireError
from lusfx.preprocess import BeamShape
from lusfx.preprocess.inspection import SHEET_SHAPE
from lusfx.types import Box, ClipInfo, TimeSource

SIZE = 16
SECONDS = StageSeconds(0.5, 0.25, 0.125)


def sent(event: Event) -> Event:
    message = memoryview(wire.pack_event(event))
    kind, head, body = wire.unpack_header(bytearray(message[: wire.HEADER.size]))
    rest = message[wire.HEADER.size :]
    assert len(rest) == head + body
    return wire.unpack_event(kind, rest[:head], rest[head:], SIZE)


@given(st.lists(st.booleans(), min_size=1, max_size=8), st.integers(0, 1 << 40))
def test_a_portion_arrives_as_it_was_sent(readable: list[bool], first: int) -> None:
    n = len(readable)
    status = np.array([0 if ok else 1 for ok in readable], np.uint8)
    images = np.random.default_rng(n).integers(0, 256, (sum(readable), SIZE, SIZE), np.uint8)
    times_s = np.where(status == 0, np.arange(n) / 25, np.nan)
    portion = Portion(np.arange(first, first + n), times_s, status, images)
    arrived = sent(portion)
    assert isinstance(arrived, Portion)
    for name in ("source_frame", "times_s", "status", "images"):
        np.testing.assert_array_equal(getattr(arrived, name), getattr(portion, name))


@pytest.mark.parametrize(
    "event",
    [
        Ending("p-1", None, ("a", "b"), {"reader": "x", "height": 3, "confidence": 0.5, "flag": True}, 1 / 3, SECONDS),
        Refusal("failed", "damaged", "it is damaged", "p-1", "e-1", SECONDS),
        Refusal("skipped", "no-b-mode-region", "nothing to encode"),
    ],
)
def test_an_end_arrives_as_it_was_sent(event: Event) -> None:
    assert sent(event) == event


def picture(**changed: object) -> Picture:
    pixels = np.random.default_rng(1).integers(0, 256, SHEET_SHAPE, np.uint8)
    info = ClipInfo("x", 480, 640, 7, TimeSource.CONTAINER, Box(1, 2, 30, 40), "p-1", None)
    facts = {"info": info, "beam_shape": BeamShape.SECTOR, "beam_confidence": 1 / 3, "notes": ("a",), "pixels": pixels}
    return Picture(**(facts | changed))


@pytest.mark.parametrize("info", [picture().info, ClipInfo("x", 1, 1, None, TimeSource.UNKNOWN)])
def test_a_picture_arrives_as_it_was_sent(info: ClipInfo) -> None:
    sent_out = picture(info=info)
    arrived = sent(sent_out)
    assert isinstance(arrived, Picture)
    np.testing.assert_array_equal(arrived.pixels, sent_out.pixels)
    for name in ("info", "beam_shape", "beam_confidence", "notes"):
        assert getattr(arrived, name) == getattr(sent_out, name)
        assert type(getattr(arrived, name)) is type(getattr(sent_out, name))


def test_a_detail_that_is_too_long_is_cut() -> None:
    arrived = sent(Refusal("failed", "damaged", "x" * 10_000))
    assert isinstance(arrived, Refusal)
    assert len(arrived.detail) == wire.MAX_TEXT


@pytest.mark.parametrize(("head", "body"), [(wire.MAX_HEAD + 1, 0), (0, wire.MAX_BODY + 1), (2**32 - 1, 2**32 - 1)])
def test_a_message_that_would_fill_the_memory_is_refused_by_its_header(head: int, body: int) -> None:
    with pytest.raises(WireError):
        wire.unpack_header(wire.HEADER.pack(wire.PORTION, head, body))


ENDING = json.loads(json.dumps({
    "patient_key": None, "exam_key": None, "notes": [], "provenance": {}, "beam_confidence": 0.5,
    "seconds": {"decoding": 0.0, "beam": 0.0, "preparing": 0.0},
}))  # fmt: skip
INFO = {"reader": "x", "height": 1, "width": 1, "n_frames_declared": None, "time_source": "still", "region": None} | {
    "patient_key": None,
    "exam_key": None,
}
PICTURE = {"info": INFO, "beam_shape": "sector", "beam_confidence": 0.5, "notes": []}
PIXELS = bytes(math.prod(SHEET_SHAPE))
REFUSAL = {"status": "failed", "code": "c", "detail": "d", "patient_key": None, "exam_key": None} | {
    "seconds": ENDING["seconds"]
}


@pytest.mark.parametrize(
    ("kind", "head", "body"),
    [
        (wire.PORTION, {"n": 1}, b""),
        (wire.PORTION, {"n": 0}, b""),
        (wire.PORTION, {"n": 10**9}, b""),
        (wire.PORTION, {"n": True}, bytes(17 + 256)),
        (wire.PORTION, {"n": 1, "m": 1}, bytes(17 + 256)),
        (wire.PORTION, {"n": 1}, bytes(17 + 255)),
        (wire.PORTION, {"n": 1}, bytes(17 + 512)),
        (wire.PORTION, {"n": 1}, bytes(16) + b"\x02"),
        (wire.ENDING, ENDING | {"patient_key": "x" * 65}, b""),
        (wire.ENDING, ENDING | {"provenance": {"a": None}}, b""),
        (wire.ENDING, ENDING | {"provenance": {"a": "x" * 501}}, b""),
        (wire.ENDING, ENDING | {"provenance": {str(n): 0 for n in range(65)}}, b""),
        (wire.ENDING, ENDING | {"notes": ["x"] * 65}, b""),
        (wire.ENDING, ENDING | {"seconds": {"decoding": -1.0, "beam": 0.0, "preparing": 0.0}}, b""),
        (wire.ENDING, {}, b""),
        (wire.ENDING, ENDING | {"beam_confidence": 1.5}, b""),
        (wire.PICTURE, PICTURE, PIXELS[1:]),
        (wire.PICTURE, PICTURE, PIXELS + b"x"),
        (wire.PICTURE, PICTURE | {"beam_shape": "star"}, PIXELS),
        (wire.PICTURE, PICTURE | {"beam_confidence": float("nan")}, PIXELS),
        (wire.PICTURE, PICTURE | {"info": INFO | {"height": 0}}, PIXELS),
        (wire.PICTURE, PICTURE | {"info": INFO | {"time_source": "tea"}}, PIXELS),
        (wire.PICTURE, PICTURE | {"info": INFO | {"region": [1, 2, 3, 4]}}, PIXELS),
        (wire.PICTURE, {}, PIXELS),
        (wire.REFUSAL, REFUSAL | {"status": "encoded"}, b""),
        (wire.REFUSAL, REFUSAL | {"code": 7}, b""),
        (wire.JOB, {}, b""),
        (99, {}, b""),
    ],
)
def test_what_no_decoder_sends_is_refused(kind: int, head: dict[str, object], body: bytes) -> None:
    with pytest.raises(WireError):
        wire.unpack_event(kind, memoryview(json.dumps(head).encode()), memoryview(body), SIZE)


@given(st.integers(0, 255), st.binary(max_size=200), st.binary(max_size=600))
def test_noise_is_refused_and_nothing_else_happens(kind: int, head: bytes, body: bytes) -> None:
    with pytest.raises(WireError):
        wire.unpack_event(kind, memoryview(head), memoryview(body), SIZE)


def test_a_deep_head_is_refused() -> None:
    with pytest.raises(WireError):
        wire.unpack_head(b"[" * wire.MAX_HEAD)
