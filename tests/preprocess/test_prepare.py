"""Prepared frames: cropped without squashing, blank outside, streamed."""

from __future__ import annotations

from collections.abc import Iterator
from weakref import WeakSet

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.errors import UnreadableClipError
from lusfx.preprocess import Beam, BeamShape, FrameTransform, inspection_picture, prepare
from lusfx.types import Box, ClipInfo, Frame, FrameStatus, Note, TimeSource


class Pixels(np.ndarray):  # type: ignore[type-arg]
    """An array that can be watched: plain arrays take no weak references in sets."""

    __hash__ = object.__hash__  # type: ignore[assignment]


class FakeClip:
    """A clip of noise in a rectangle, counting the frames that are alive."""

    def __init__(self, n_frames: int, unreadable: frozenset[int] = frozenset(), region: Box | None = None) -> None:
        self.n_frames = n_frames
        self.unreadable = unreadable
        self.info = ClipInfo("fake", 90, 120, n_frames, TimeSource.CONTAINER, region)
        self.notes: frozenset[Note] = frozenset()
        self.alive: WeakSet[Pixels] = WeakSet()
        self.most_alive = 0

    def frames(self) -> Iterator[Frame]:
        generator = np.random.default_rng(0)
        for index in range(self.n_frames):
            if index in self.unreadable:
                yield Frame(index, index / 25, None, FrameStatus.UNREADABLE)
                continue
            pixels = np.zeros((90, 120), np.uint8).view(Pixels)
            pixels[10:80, 20:110] = generator.integers(20, 255, (70, 90))
            self.alive.add(pixels)
            self.most_alive = max(self.most_alive, len(self.alive))
            yield Frame(index, index / 25, pixels)


def disc_beam() -> tuple[NDArray[np.uint8], Beam]:
    """A bright disc of radius 30 in a wide frame, and a beam around it."""
    y, x = np.mgrid[:100, :200]
    disc = np.hypot(x - 110, y - 50) < 30
    box = Box(60, 10, 160, 90)
    mask = np.zeros((100, 200), np.bool_)
    mask[box.y0 : box.y1, box.x0 : box.x1] = True
    return np.where(disc, 250, 0).astype(np.uint8), Beam(mask, box, BeamShape.LINEAR, 1.0)


def test_a_circle_stays_a_circle() -> None:
    frame, beam = disc_beam()
    image = FrameTransform(beam, PreprocessSpec(size=128))(frame)
    ys, xs = np.nonzero(image > 125)
    assert image.shape == (128, 128)
    assert image.dtype == np.uint8
    assert abs(np.ptp(xs) - np.ptp(ys)) <= 1
    assert np.ptp(xs) == pytest.approx(60 / 100 * 128, abs=3)


def test_padding_is_black_and_centred() -> None:
    _, beam = disc_beam()
    white = np.full((100, 200), 255, np.uint8)
    crop = FrameTransform(beam, PreprocessSpec()).crop(white)
    assert crop.shape == (100, 100)
    assert (crop[:10] == 0).all()
    assert (crop[-10:] == 0).all()
    assert (crop[10:90] == 255).all()


def test_outside_the_mask_is_blank() -> None:
    _, beam = disc_beam()
    mask = beam.mask.copy()
    mask[:, :100] = False
    crop = FrameTransform(Beam(mask, beam.box, beam.shape, 1.0), PreprocessSpec()).crop(
        np.full((100, 200), 255, np.uint8)
    )
    assert (crop[:, :40] == 0).all()


def test_without_a_crop_the_frame_is_kept() -> None:
    _, beam = disc_beam()
    assert FrameTransform(beam, PreprocessSpec(crop="none")).crop(np.zeros((100, 200), np.uint8)).shape == (200, 200)


def test_the_beam_is_used_and_every_frame_prepared() -> None:
    prepared = prepare(FakeClip(40), PreprocessSpec(size=64))
    frames = list(prepared.frames())
    assert [frame.index for frame in frames] == list(range(40))
    assert prepared.beam.box.width == pytest.approx(90, abs=2)
    assert prepared.notes == frozenset()


def test_stride_counts_source_frames() -> None:
    frames = list(prepare(FakeClip(10, frozenset({3})), PreprocessSpec(size=32, stride=3)).frames())
    assert [(frame.index, frame.status) for frame in frames] == [(0, 0), (3, 1), (6, 0), (9, 0)]


def test_a_clip_of_one_frame() -> None:
    assert len(list(prepare(FakeClip(1), PreprocessSpec(size=32)).frames())) == 1


def test_a_clip_that_begins_with_damage_keeps_a_status_for_each_frame() -> None:
    frames = list(prepare(FakeClip(60, frozenset(range(50))), PreprocessSpec(size=32)).frames())
    assert [frame.status for frame in frames] == [FrameStatus.UNREADABLE] * 50 + [FrameStatus.OK] * 10


def test_a_clip_of_damage_only_is_refused() -> None:
    with pytest.raises(UnreadableClipError):
        prepare(FakeClip(60, frozenset(range(60))), PreprocessSpec())


def test_a_black_clip_is_noted() -> None:
    clip = FakeClip(3)
    clip.frames = lambda: iter([Frame(0, 0.0, np.zeros((90, 120), np.uint8))])  # type: ignore[method-assign]
    assert prepare(clip, PreprocessSpec()).notes == {Note.BEAM_NOT_FOUND}


def test_beam_off_keeps_the_declared_region() -> None:
    prepared = prepare(FakeClip(3, region=Box(5, 6, 50, 60)), PreprocessSpec(beam="off"))
    assert prepared.beam.box == Box(5, 6, 50, 60)
    assert prepared.notes == frozenset()


def test_a_long_clip_is_never_held() -> None:
    clip = FakeClip(2000)
    for _ in prepare(clip, PreprocessSpec(size=16, beam_frames=8)).frames():
        pass
    assert clip.most_alive <= 12


def test_the_inspection_picture_has_four_panels() -> None:
    frame, beam = disc_beam()
    picture = inspection_picture(frame, beam, FrameTransform(beam, PreprocessSpec()))
    assert picture.width == 4 * 360
    assert picture.mode == "RGB"
    colours = np.asarray(picture)[30:, 360:720].reshape(-1, 3)
    assert ((colours[:, 0] > 180) & (colours[:, 1] > 140) & (colours[:, 2] < 60)).any()  # the yellow box
