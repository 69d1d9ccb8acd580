"""Prepared frames: cropped without squashing, blank outside, streamed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from weakref import WeakSet

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.errors import UnreadableClipError
from lusfx.preprocess import Beam, BeamShape, FrameTransform, held_frames, inspection_picture, prepare
from lusfx.types import Box, ClipInfo, Frame, FrameStatus, Note, TimeSource


class Pixels(np.ndarray):
    """An array that can be watched: plain arrays take no weak references in sets."""

    __hash__ = object.__hash__


class FakeClip:
    """A clip of moving waves in a rectangle, counting the frames that are alive."""

    def __init__(self, n_frames: int, unreadable: frozenset[int] = frozenset(), region: Box | None = None) -> None:
        self.n_frames = n_frames
        self.unreadable = unreadable
        self.info = ClipInfo("fake", 90, 120, n_frames, TimeSource.CONTAINER, region)
        self.notes: frozenset[Note] = frozenset()
        self.alive: WeakSet[Pixels] = WeakSet()
        self.most_alive = 0

    def frames(self) -> Iterator[Frame]:
        y, x = np.mgrid[:70, :90]
        for index in range(self.n_frames):
            if index in self.unreadable:
                yield Frame(index, index / 25, None, FrameStatus.UNREADABLE)
                continue
            pixels = np.zeros((90, 120), np.uint8).view(Pixels)
            pixels[10:80, 20:110] = 110 + 60 * np.sin(x / 9 + 0.7 * index) * np.cos(y / 7 - 0.4 * index)
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


@pytest.mark.parametrize("beam", ["detect", "off"])
@pytest.mark.parametrize("budget", [1 << 30, 1])
def test_a_rate_chooses_frames_by_their_times(monkeypatch: pytest.MonkeyPatch, beam: str, budget: int) -> None:
    """Also of a clip that is too large to be held, and is decoded twice."""
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", budget)
    clip, spec = FakeClip(26, frozenset({5})), PreprocessSpec.model_validate({"size": 32, "fps": 5, "beam": beam})
    frames = list(prepare(clip, spec, lambda: nullcontext(clip)).frames())
    assert [(frame.index, frame.time_s) for frame in frames] == [(n, n / 25) for n in (0, 5, 10, 15, 20, 25)]
    assert [frame.status for frame in frames] == [0, 1, 0, 0, 0, 0]
    every_frame = prepare(clip, spec.model_copy(update={"fps": None}), lambda: nullcontext(clip)).frames()
    whole = {frame.index: frame.image for frame in every_frame}
    for frame in frames:
        np.testing.assert_equal(frame.image, whole[frame.index])


def test_a_rate_is_of_the_frames_that_the_stride_leaves() -> None:
    frames = prepare(FakeClip(50), PreprocessSpec(size=32, stride=3, fps=25 / 6)).frames()
    assert [frame.index for frame in frames] == list(range(0, 50, 6))


def test_of_unknown_times_a_rate_chooses_all(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = FakeClip(12)
    timed = list(clip.frames())
    monkeypatch.setattr(clip, "frames", lambda: (replace(frame, time_s=math.nan) for frame in timed))
    assert len(list(prepare(clip, PreprocessSpec(size=32, fps=1)).frames())) == 12
    assert len(list(prepare(FakeClip(1), PreprocessSpec(size=32, fps=1)).frames())) == 1


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
    clip.frames = lambda: iter([Frame(0, 0.0, np.zeros((90, 120), np.uint8))])
    assert prepare(clip, PreprocessSpec()).notes == {Note.BEAM_NOT_FOUND}


def test_beam_off_keeps_the_declared_region() -> None:
    prepared = prepare(FakeClip(3, region=Box(5, 6, 50, 60)), PreprocessSpec(beam="off"))
    assert prepared.beam.box == Box(5, 6, 50, 60)
    assert prepared.notes == frozenset()


def test_beam_off_keeps_the_whole_frame_where_no_region_is_declared() -> None:
    prepared = prepare(FakeClip(3), PreprocessSpec(beam="off"))
    assert prepared.beam.box == Box(0, 0, 120, 90)
    assert prepared.beam.mask.all()


@pytest.mark.parametrize("min_confidence", [0.0, 1.0])
def test_a_beam_that_was_not_fitted_is_noted_whatever_confidence_is_asked(min_confidence: float) -> None:
    clip = FakeClip(3)
    black = [Frame(index, index / 25, np.zeros((90, 120), np.uint8)) for index in range(3)]
    clip.frames = lambda: iter(black)
    prepared = prepare(clip, PreprocessSpec(beam_min_confidence=min_confidence))
    assert prepared.notes == {Note.BEAM_NOT_FOUND}
    assert prepared.beam.mask.all()


def test_a_beam_of_low_confidence_is_noted() -> None:
    clip = FakeClip(1)
    cross = np.zeros((90, 120), np.uint8)
    cross[5:85, 50:70] = cross[35:55, 5:115] = 200
    cross[cross > 0] -= np.arange(np.count_nonzero(cross), dtype=np.uint8) % 32
    clip.frames = lambda: iter([Frame(0, 0.0, cross)])
    prepared = prepare(clip, PreprocessSpec(beam_min_confidence=1.0))
    assert prepared.notes == {Note.BEAM_NOT_FOUND}
    assert 0 < prepared.beam.confidence < 1
    assert prepared.beam.box.width == pytest.approx(110, abs=3)
    assert prepared.beam.box.height == pytest.approx(80, abs=3)


def test_readable_frames_among_damage_find_the_beam() -> None:
    prepared = prepare(FakeClip(12, frozenset(range(0, 12, 2))), PreprocessSpec(size=32))
    assert prepared.beam.shape is BeamShape.LINEAR
    frames = list(prepared.frames())
    assert [frame.image is None for frame in frames] == [index % 2 == 0 for index in range(12)]


def test_the_same_clip_gives_the_same_bytes_and_its_frames_are_left_alone() -> None:
    pixels = [frame.pixels for frame in FakeClip(6).frames()]
    before = [np.array(image) for image in pixels]
    clip = FakeClip(6)
    clip.frames = lambda: iter([Frame(i, i / 25, image) for i, image in enumerate(pixels)])
    one = [frame.image for frame in prepare(clip, PreprocessSpec(size=48)).frames()]
    other = [frame.image for frame in prepare(FakeClip(6), PreprocessSpec(size=48)).frames()]
    np.testing.assert_array_equal(np.stack(one), np.stack(other))
    np.testing.assert_array_equal(np.stack(before), np.stack(pixels))


@pytest.mark.parametrize("resample", ["bilinear", "box", "bicubic"])
@pytest.mark.parametrize("size", [16, 131, 512])
def test_each_filter_and_size_shrinks_and_enlarges(resample: str, size: int) -> None:
    frame, beam = disc_beam()
    spec = PreprocessSpec.model_validate({"size": size, "resample": resample})
    image = FrameTransform(beam, spec)(frame)
    assert image.shape == (size, size)
    assert image.dtype == np.uint8
    assert image.mean() == pytest.approx(250 * np.pi * 30**2 / 100**2, rel=0.04)


def test_shrinking_averages() -> None:
    """A board of single black and white pixels becomes grey: without antialiasing it would stay black and white."""
    board = (np.indices((200, 200)).sum(axis=0) % 2 * 255).astype(np.uint8)
    beam = Beam(np.ones((200, 200), np.bool_), Box(0, 0, 200, 200), BeamShape.LINEAR, 1.0)
    image = FrameTransform(beam, PreprocessSpec(size=50))(board)
    assert np.ptp(image.astype(int)) < 20
    assert image.mean() == pytest.approx(127, abs=3)


def test_odd_padding_differs_by_one_pixel_at_most() -> None:
    beam = Beam(np.ones((31, 60), np.bool_), Box(0, 0, 60, 31), BeamShape.LINEAR, 1.0)
    rows = np.nonzero(FrameTransform(beam, PreprocessSpec()).crop(np.full((31, 60), 9, np.uint8)).any(axis=1))[0]
    assert (rows[0], 59 - rows[-1]) == (14, 15)


def test_a_long_clip_is_never_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", 16 * 90 * 120)
    clip = FakeClip(500)
    prepared = prepare(clip, PreprocessSpec(size=16, beam_frames=4), lambda: nullcontext(clip))
    assert [frame.index for frame in prepared.frames()] == list(range(500))
    assert clip.most_alive <= 18  # what fits into the budget


def test_the_beam_is_found_on_the_whole_of_a_clip_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The image grows in the second half, when the budget is long used up."""
    monkeypatch.setattr(held_frames, "BUDGET_BYTES", 0)
    clip = FakeClip(60)
    frames = list(clip.frames())
    for frame in frames[:30]:
        assert frame.pixels is not None
        frame.pixels[:, 70:] = 0
    clip.frames = lambda: iter(frames)
    assert prepare(clip, PreprocessSpec(), lambda: nullcontext(clip)).beam.box.width == pytest.approx(90, abs=2)


def test_frames_are_not_held_where_no_beam_is_looked_for() -> None:
    clip = FakeClip(300)
    for _ in prepare(clip, PreprocessSpec(size=16, beam="off")).frames():
        pass
    assert clip.most_alive <= 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 2), (7, 5)])
def test_the_inspection_picture_survives_odd_sizes(shape: tuple[int, int]) -> None:
    beam = Beam(np.ones(shape, np.bool_), Box(0, 0, shape[1], shape[0]), BeamShape.UNKNOWN, 0.0)
    picture = inspection_picture(np.zeros(shape, np.uint8), beam, FrameTransform(beam, PreprocessSpec()))
    assert picture.size == (4 * 360, 386)


def test_the_inspection_picture_has_four_panels() -> None:
    frame, beam = disc_beam()
    picture = inspection_picture(frame, beam, FrameTransform(beam, PreprocessSpec()))
    assert picture.width == 4 * 360
    assert picture.mode == "RGB"
    colours = np.asarray(picture)[30:, 360:720].reshape(-1, 3)
    assert ((colours[:, 0] > 180) & (colours[:, 1] > 140) & (colours[:, 2] < 60)).any()  # the yellow box
