"""Units as frames: which of them a step draws, and which are watched."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from lusfx.fine_tuning.frame_units import FrameUnits

CLIPS = [[np.arange(0, 10)], [np.arange(10, 12), np.arange(12, 30)], [np.array([30])]]


@pytest.fixture
def units() -> FrameUnits:
    """A clip of ten frames, an exam of a clip of two and one of eighteen, and a still."""
    return FrameUnits(np.zeros((31, 4, 4), np.uint8), CLIPS)


def test_no_frame_is_drawn_twice_unless_its_clip_has_too_few(units: FrameUnits, generator: np.random.Generator) -> None:
    for _ in range(20):
        drawn = units.draw(0, 8, generator)
        assert len(set(drawn.tolist())) == 8
        assert set(drawn.tolist()) <= set(range(10))
    assert units.draw(2, 4, generator).tolist() == [30] * 4
    assert len(units.draw(0, 25, generator)) == 25


def test_each_clip_of_an_exam_gives_as_many_frames(units: FrameUnits, generator: np.random.Generator) -> None:
    """As the mean over the means of clips is served, however long one of them is."""
    for _ in range(20):
        assert (units.draw(1, 6, generator) < 12).sum() == 3
    odd = [int((units.draw(1, 3, generator) < 12).sum()) for _ in range(50)]
    assert set(odd) == {1, 2}


def test_units_are_taken_in_the_order_given_and_share_their_frames(units: FrameUnits) -> None:
    taken = units.take(np.array([2, 0]))
    assert [unit[0].tolist() for unit in taken.clips] == [[30], list(range(10))]
    assert taken.frames is units.frames
    assert units.finite.tolist() == [True] * 3


def test_thinned_units_keep_the_first_and_the_last_frame(units: FrameUnits) -> None:
    assert [rows.tolist() for rows in units.thinned(3).clips[1]] == [[10, 11], [12, 20, 29]]


def test_frames_of_a_file_are_mapped_again_in_another_process(tmp_path: Path, units: FrameUnits) -> None:
    frames = np.arange(31 * 16, dtype=np.uint8).reshape(31, 4, 4)
    (tmp_path / "frames").write_bytes(frames.tobytes())
    mapped = FrameUnits(np.memmap(tmp_path / "frames", np.uint8, "r", shape=frames.shape), CLIPS)
    travelled = pickle.dumps(mapped)
    assert frames[3].tobytes() not in travelled
    assert (pickle.loads(travelled).frames == frames).all()
    for own in (units, FrameUnits(mapped.frames[1:], CLIPS)):
        again = pickle.loads(pickle.dumps(own))
        assert (again.frames == own.frames).all()
        assert again.clips[1][1].tolist() == CLIPS[1][1].tolist()
