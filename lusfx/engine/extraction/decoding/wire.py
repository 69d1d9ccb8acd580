"""What a run and its decoding processes say to each other.

A process that parsed a hostile file may send anything. So there is no pickle: a message is a kind, a head of JSON and a
body of raw numbers, each of a stated and limited length, and every value is checked before it is used.
"""

from __future__ import annotations

import json
import math
import struct
from dataclasses import asdict, replace
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lusfx.engine.extraction.decoding.clip import (
    PORTION_BYTES,
    PORTION_FRAMES,
    Ending,
    Event,
    Picture,
    Portion,
    Refusal,
    StageSeconds,
)
from lusfx.preprocess import BeamShape
from lusfx.preprocess.inspection import SHEET_SHAPE
from lusfx.types import Box, ClipInfo, FrameStatus, TimeSource

SETUP, JOB, READY, ALIVE, PORTION, ENDING, REFUSAL, PICTURE = range(1, 9)
"""Kinds of messages. A run sends the first two, a decoding process the others."""
HEADER = struct.Struct("<BII")
"""Kind, bytes of the head, bytes of the body; little-endian."""
MAX_HEAD = 1 << 16
MAX_BODY = max(PORTION_FRAMES * (8 + 8 + 1) + max(PORTION_BYTES, 1024 * 1024), math.prod(SHEET_SHAPE))
"""A full portion: an index, a time and a status each frame; one image may be as large as an encoder's input can be. Or the
pixels of a picture."""
MAX_TEXT = 500


class WireError(Exception):
    """The other side sent what nobody may send."""


def pack(kind: int, head: dict[str, Any], body: bytes = b"") -> bytes:
    """A message as bytes."""
    text = json.dumps(head).encode("ascii")
    return HEADER.pack(kind, len(text), len(body)) + text + body


def unpack_header(header: bytes | bytearray) -> tuple[int, int, int]:
    """Kind, bytes of the head and bytes of the body.

    :raises WireError: if they are longer than any message is.
    """
    kind, head, body = HEADER.unpack(header)
    if head > MAX_HEAD or body > MAX_BODY:
        raise WireError("a message is too long")
    return kind, head, body


def unpack_head(head: bytes | bytearray | memoryview) -> dict[str, Any]:
    """The head of a message.

    :raises WireError: if it is no JSON object.
    """
    try:
        value = json.loads(bytes(head))
    except (ValueError, RecursionError):
        raise WireError("a head is no JSON") from None
    if not isinstance(value, dict):
        raise WireError("a head is no object")
    return value


def pack_event(event: Event) -> bytes:
    """What became of a clip, as a message."""
    if isinstance(event, Portion):
        arrays = (event.source_frame, event.times_s, event.status, event.images)
        return pack(PORTION, {"n": len(event.status)}, b"".join(array.tobytes() for array in arrays))
    if isinstance(event, Picture):
        facts = asdict(replace(event, pixels=np.empty(0, np.uint8)))
        del facts["pixels"]
        return pack(PICTURE, facts, event.pixels.tobytes())
    if isinstance(event, Refusal):  # a plugin's reader may say more than is passed on
        event = replace(event, code=event.code[:MAX_TEXT], detail=event.detail[:MAX_TEXT])
    return pack(ENDING if isinstance(event, Ending) else REFUSAL, asdict(event))


def unpack_event(kind: int, head: memoryview, body: memoryview, size: int) -> Event:
    """A message as what became of a clip.

    :param size: side of a prepared image in pixels.
    :raises WireError: if it is not what a decoding process sends.
    """
    facts = unpack_head(head)
    try:
        if kind == PORTION:
            return _portion(_PortionHead.model_validate(facts).n, body, size)
        if kind == ENDING:
            return _Ending.model_validate(facts).event()
        if kind == PICTURE:
            return _Picture.model_validate(facts).event(body)
        if kind == REFUSAL:
            return _Refusal.model_validate(facts).event()
    except ValidationError:
        raise WireError("a head has other fields than it should") from None
    raise WireError("a message of an unknown kind")


def _portion(n: int, body: memoryview, size: int) -> Portion:
    if len(body) < n * (8 + 8 + 1):
        raise WireError("a portion is too short")
    source_frame = np.frombuffer(body, np.int64, n)
    times_s = np.frombuffer(body, np.float64, n, n * 8)
    status = np.frombuffer(body, np.uint8, n, n * 16)
    n_readable = int((status == FrameStatus.OK).sum())
    if source_frame[0] < 0 or (source_frame[1:] <= source_frame[:-1]).any():
        raise WireError("a portion has frames out of their order")
    pixels = np.frombuffer(body, np.uint8, offset=n * 17)
    if len(pixels) != n_readable * size * size or (status > FrameStatus.UNREADABLE).any():
        raise WireError("a portion has other images than it says")
    return Portion(source_frame, times_s, status, pixels.reshape(n_readable, size, size))


class _Head(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Text = Annotated[str, Field(max_length=MAX_TEXT)]
Key = Annotated[str, Field(max_length=64)] | None
Confidence = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class _PortionHead(_Head):
    n: int = Field(ge=1, le=PORTION_FRAMES)


class _Seconds(_Head):
    model_config = ConfigDict(allow_inf_nan=False)
    decoding: float = Field(ge=0)
    beam: float = Field(ge=0)
    preparing: float = Field(ge=0)

    def value(self) -> StageSeconds:
        return StageSeconds(self.decoding, self.beam, self.preparing)


class _Ending(_Head):
    patient_key: Key
    exam_key: Key
    notes: tuple[Text, ...] = Field(max_length=64, strict=False)
    provenance: dict[Text, Text | int | float | bool] = Field(max_length=64)
    beam_confidence: Confidence
    seconds: _Seconds

    def event(self) -> Ending:
        return Ending(
            self.patient_key, self.exam_key, self.notes, self.provenance, self.beam_confidence, self.seconds.value()
        )


class _Region(_Head):
    x0: int
    y0: int
    x1: int
    y1: int


class _Info(_Head):
    reader: Text
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    n_frames_declared: int | None
    time_source: TimeSource = Field(strict=False)
    region: _Region | None
    patient_key: Key
    exam_key: Key

    def value(self) -> ClipInfo:
        facts = self.model_dump(exclude={"region"})
        return ClipInfo(**facts, region=None if self.region is None else Box(**self.region.model_dump()))


class _Picture(_Head):
    info: _Info
    beam_shape: BeamShape = Field(strict=False)
    beam_confidence: Confidence
    notes: tuple[Text, ...] = Field(max_length=64, strict=False)

    def event(self, body: memoryview) -> Picture:
        if len(body) != math.prod(SHEET_SHAPE):
            raise WireError("a picture has another size than it must")
        pixels = np.frombuffer(body, np.uint8).reshape(SHEET_SHAPE)
        return Picture(self.info.value(), self.beam_shape, self.beam_confidence, self.notes, pixels)


class _Refusal(_Head):
    status: Literal["failed", "skipped"]
    code: Text
    detail: Text
    patient_key: Key
    exam_key: Key
    seconds: _Seconds

    def event(self) -> Refusal:
        return Refusal(self.status, self.code, self.detail, self.patient_key, self.exam_key, self.seconds.value())
