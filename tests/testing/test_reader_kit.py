"""For every check of a reader there is a reader that fails it, and nothing else."""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
import pytest

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.readers.files import open_source
from lusfx.site_key import SiteKey
from lusfx.testing import ReaderConformance
from lusfx.types import Clip, ClipInfo, Frame, TimeSource

MAGIC = b"RAW8"
HEADER = struct.Struct("<4sHHH")


class RawClip:
    """Frames that follow their header as they are."""

    notes = frozenset[Any]()

    def __init__(self, info: ClipInfo, pixels: bytes) -> None:
        self.info, self.pixels = info, pixels

    def frames(self) -> Iterator[Frame]:
        shape = (-1, self.info.height, self.info.width)
        for index, pixels in enumerate(np.frombuffer(self.pixels, np.uint8).reshape(shape)):
            yield Frame(index, index * 0.04, pixels)


class Raw(Reader):
    """A sound reader that no plugin provides."""

    name = "raw"
    suffixes = (".raw8",)
    clip: type[RawClip] = RawClip

    def claims_content(self, leading_bytes: bytes) -> bool:
        return leading_bytes.startswith(MAGIC)

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        with open_source(path) as stream:
            yield self.clip_of(stream, path)

    def clip_of(self, stream: IO[bytes], path: Path) -> Clip:
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size or not header.startswith(MAGIC):
            raise UnreadableClipError("damaged", "the header is damaged")
        _, n, height, width = HEADER.unpack(header)
        pixels = stream.read()
        if n * height * width != len(pixels) or not pixels:
            raise UnreadableClipError("damaged", "the file has another length than its header says")
        return self.clip(ClipInfo("raw", height, width, n, TimeSource.CONTAINER), pixels)


class Capital(Raw):
    suffixes = (".RAW8",)


class ClaimsAll(Raw):
    def claims_content(self, leading_bytes: bytes) -> bool:
        return True


class NamedPatient(Raw):
    def clip_of(self, stream: IO[bytes], path: Path) -> Clip:
        clip: Any = super().clip_of(stream, path)
        clip.info = replace(clip.info, patient_key="patient-7")
        return clip


class FloatClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        return (replace(frame, pixels=frame.pixels / np.float32(255)) for frame in super().frames())


class Floats(Raw):
    clip = FloatClip


class FromOneClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        return (replace(frame, index=frame.index + 1) for frame in super().frames())


class FromOne(Raw):
    clip = FromOneClip


class StandingClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        return (replace(frame, time_s=0.0) for frame in super().frames())


class Standing(Raw):
    clip = StandingClip


class LateClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        return (replace(frame, time_s=frame.time_s + 7) for frame in super().frames())


class Late(Raw):
    clip = LateClip


class TimelessClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        return (replace(frame, time_s=math.nan) for frame in super().frames())


class Timeless(Raw):
    clip = TimelessClip


class DitheredClip(RawClip):
    n_read: ClassVar[list[int]] = []

    def frames(self) -> Iterator[Frame]:
        self.n_read.append(1)
        return (replace(frame, pixels=frame.pixels ^ np.uint8(len(self.n_read) % 2)) for frame in super().frames())


class Dithered(Raw):
    clip = DitheredClip


class OneBufferClip(RawClip):
    def frames(self) -> Iterator[Frame]:
        buffer = np.empty((self.info.height, self.info.width), np.uint8)
        for frame in super().frames():
            buffer[:] = frame.pixels
            yield replace(frame, pixels=buffer)


class OneBuffer(Raw):
    clip = OneBufferClip


class KeepsOpen(Raw):
    kept: ClassVar[list[IO[bytes]]] = []

    def clip_of(self, stream: IO[bytes], path: Path) -> Clip:
        self.kept.append(path.open("rb"))
        return super().clip_of(stream, path)


class ShortHeader(Raw):
    def clip_of(self, stream: IO[bytes], path: Path) -> Clip:
        if path.stat().st_size < HEADER.size:
            HEADER.unpack(stream.read())
        return super().clip_of(stream, path)


class OtherMagic(Raw):
    def clip_of(self, stream: IO[bytes], path: Path) -> Clip:
        magic = stream.read(4)
        stream.seek(0)
        if len(magic) == 4:
            {MAGIC: True}[magic]
        return super().clip_of(stream, path)


class NothingIsFine(Raw):
    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        if path.is_file() and not path.stat().st_size:
            yield RawClip(ClipInfo("raw", 1, 1, None, TimeSource.UNKNOWN), b"")
        else:
            with super().open(path, site_key) as clip:
                yield clip


class Talkative(Raw):
    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        try:
            with super().open(path, site_key) as clip:
                yield clip
        except UnreadableClipError as error:
            raise UnreadableClipError(error.code, f"{path}: {error.detail}") from None


class TalkativeCause(Raw):
    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        try:
            path.open("rb").close()
        except OSError as error:
            raise UnreadableClipError("cannot-open", "the file cannot be read") from error
        with super().open(path, site_key) as clip:
            yield clip


class Kit(ReaderConformance):
    """The checks of this file's readers."""

    n_frames = 3

    def example(self, folder: Path) -> Path:
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (self.n_frames, 6, 8), dtype=np.uint8).tobytes()
        (folder / "clip.raw8").write_bytes(HEADER.pack(MAGIC, self.n_frames, 6, 8) + pixels)
        return folder / "clip.raw8"


BAD: dict[str, tuple[Reader, str]] = {
    "attributes": (Capital(), "'suffixes' must be lower-case"),
    "is_registered": (Raw(), "unknown reader for '.raw8'"),
    "claims_its_own": (ClaimsAll(), "the reader claims a file that begins with"),
    "info": (NamedPatient(), "an identifier leaves the reader as it stands in the file"),
    "frames_are_grey_images": (Floats(), "float32"),
    "frames_are_counted_from_0": (FromOne(), "[1, 2, 3]"),
    "times_rise": (Standing(), "times are [0.0, 0.0, 0.0]"),
    "reads_the_same_twice": (Dithered(), "Arrays are not equal"),
    "frames_are_the_callers_own": (OneBuffer(), "Arrays are not equal"),
    "closing_frees_the_file": (KeepsOpen(), "a file is still open"),
    "survives_cut_files": (ShortHeader(), "cut after 1 of 154 bytes: error is raised; a ClipError is wanted"),
    "survives_noise": (OtherMagic(), "filled with noise: KeyError is raised; a ClipError is wanted"),
    "refuses_empty_and_missing_files": (NothingIsFine(), "empty: AssertionError is raised"),
    "messages_name_no_file": (Talkative(), "a message names the file"),
}
MORE = {
    "times_rise": (Late(), "the first frame is at 7.0 s"),
    "messages_name_no_file": (TalkativeCause(), "(its name)"),
}


def test_there_is_a_bad_reader_for_every_check() -> None:
    assert sorted(BAD) == ReaderConformance.checks()


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize(("check", "case"), [*BAD.items(), *MORE.items()])
def test_a_bad_reader_fails_its_check_and_no_other(
    judge: Callable[..., Any], check: str, case: tuple[Reader, str]
) -> None:
    reader, says = case
    verdict = judge(type("BadKit", (Kit,), {"reader": reader}), without={"is_registered"} - {check})
    for stream in KeepsOpen.kept:
        stream.close()
    assert verdict.not_set_up is None
    assert set(verdict.failed) == {check}, verdict.failed
    assert says in verdict.failed[check]
    assert "DOE" not in says


@pytest.mark.parametrize(("reader", "n_frames"), [(Raw(), 3), (Raw(), 1), (Timeless(), 3)])
def test_a_sound_reader_passes(judge: Callable[..., Any], reader: Reader, n_frames: int) -> None:
    verdict = judge(type("GoodKit", (Kit,), {"reader": reader, "n_frames": n_frames}), without={"is_registered"})
    assert (verdict.failed, verdict.skipped, verdict.not_set_up) == ({}, {}, None)


def test_an_example_that_nobody_wrote_is_asked_for(judge: Callable[..., Any]) -> None:
    verdict = judge(type("NoKit", (ReaderConformance,), {"reader": Raw()}), without={"is_registered"})
    assert str(verdict.not_set_up) == "NoKit needs a method 'example' that writes a file for the reader"
