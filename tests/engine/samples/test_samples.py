"""Labels and features become samples: weights, weak labels, and what is left out and why."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import UNKNOWN, Bags, LongestRun, Task
from lusfx.engine.samples.features import ClipFeatures, FeatureMaker
from lusfx.engine.samples.labels import LabelledUnits
from lusfx.engine.samples.samples import Samples, make_samples
from lusfx.errors import TrainingRefusedError
from lusfx.task_model import TaskCard
from lusfx.types import ClipEmbeddings, FrameStatus

DIM = 3


class Effusion(Task):
    """Effusion, one answer a clip."""

    name = "effusion"
    label_columns = ("effusion",)


class EffusionOfExam(Effusion):
    """Effusion, one answer an exam."""

    unit = "exam"


class EffusionOfFrame(Effusion):
    """Effusion, one answer a frame."""

    unit = "frame"
    frames_per_clip = 4


class EffusionByRun(Effusion):
    """Effusion, by the longest run of frames."""

    aggregate = LongestRun()


def key_of(clip: str) -> str:
    return clip * 64


def a_clip(first: float, n_frames: int = 10, unreadable: Sequence[int] = (), timed: bool = True) -> ClipEmbeddings:
    """Embeddings that count up from ``first``, a step a frame."""
    embeddings = np.repeat(first + np.arange(n_frames, dtype=np.float32)[:, None], DIM, axis=1)
    status = np.zeros(n_frames, np.uint8)
    status[list(unreadable)] = FrameStatus.UNREADABLE
    embeddings[list(unreadable)] = np.nan
    times_s = np.arange(n_frames) * 0.1 if timed else np.full(n_frames, np.nan)
    return ClipEmbeddings(embeddings, times_s, np.arange(n_frames), status, {"beam_confidence": 1.0})


def labelled_of(
    clips: Sequence[Sequence[str]], targets: Sequence[int], *, unit: Any = "clip", frames: Sequence[int] | None = None
) -> LabelledUnits:
    """Units of the clips with these letters, each of another patient unless their clips are the same."""
    keys = [
        key_of(own[0]) + (f"#{frames[number]}" if frames else "") if unit != "exam" else f"e-{number}"
        for number, own in enumerate(clips)
    ]
    return LabelledUnits(
        unit=unit,
        keys=np.array(keys),
        clips=[tuple(map(key_of, own)) for own in clips],
        frames=np.array(frames or [UNKNOWN] * len(clips)),
        targets=np.array(targets)[:, None],
        classes=np.array(targets),
        groups=np.array([f"p-{own[0]}" for own in clips]),
        n_not_known=0,
        rows_not_cached=(),
    )


def samples_of(task: Task, labelled: LabelledUnits, **clips: ClipEmbeddings) -> Samples:
    maker = FeatureMaker(TaskCard.of(task), task)
    features: dict[str, ClipFeatures] = {key_of(letter): maker.of_clip(clip) for letter, clip in clips.items()}
    return make_samples(labelled, features, maker)


def test_each_clip_has_its_label_and_its_vector() -> None:
    samples = samples_of(Effusion(), labelled_of("ab", [0, 1]), a=a_clip(0), b=a_clip(100, 4))
    assert samples.keys.tolist() == [key_of("a"), key_of("b")]
    assert samples.targets.tolist() == [[0], [1]]
    assert samples.classes.tolist() == [0, 1]
    assert samples.weights.tolist() == [1, 1]
    assert samples.groups.tolist() == ["p-a", "p-b"]
    assert samples.clips == [key_of("a"), key_of("b")]
    assert isinstance(samples.units.features, np.ndarray)
    assert samples.units.features[:, 0].tolist() == [4.5, 101.5]
    assert samples.n_patients == 2
    assert samples.warnings() == []


def test_units_that_cannot_be_assessed_are_left_out_and_counted_by_reason() -> None:
    class Careful(EffusionByRun):
        """Abstains from clips without frames, and without times."""

    labelled = labelled_of("abcd", [0, 1, 0, 1])
    samples = samples_of(
        Careful(),
        labelled,
        a=a_clip(0),
        b=a_clip(100, timed=False),
        c=a_clip(200, 3, unreadable=(0, 1, 2)),
        d=a_clip(300, timed=False),
    )
    assert samples.keys.tolist() == [key_of("a")]
    assert samples.clips == [key_of("a")]
    assert samples.reasons == {"frame-times-unknown": 2, "too-few-frames": 1}
    assert samples.warnings() == [
        "2 labelled units are not assessable: frame-times-unknown",
        "1 labelled unit is not assessable: too-few-frames",
    ]
    assert isinstance(samples.units.features, Bags)


def test_nothing_left_is_refused_with_the_reason() -> None:
    with pytest.raises(TrainingRefusedError, match="none of the 2 labelled units is assessable: frame-times-unknown"):
        samples_of(EffusionByRun(), labelled_of("ab", [0, 1]), a=a_clip(0, timed=False), b=a_clip(9, timed=False))


def test_an_exam_is_made_of_its_clips_that_can_be_assessed() -> None:
    labelled = labelled_of(["ab", "c"], [0, 1], unit="exam")
    samples = samples_of(EffusionOfExam(), labelled, a=a_clip(0), b=a_clip(50, 2, unreadable=(0, 1)), c=a_clip(100, 3))
    assert samples.keys.tolist() == ["e-0", "e-1"]
    assert isinstance(samples.units.features, np.ndarray)
    assert samples.units.features[:, 0].tolist() == [4.5, 101]
    assert samples.reasons == {}
    assert samples.clips == [key_of("a"), key_of("b"), key_of("c")]


def test_weak_labels_are_those_of_some_frames_and_say_so() -> None:
    """Four of ten frames, evenly spaced, and all of a clip that has two; the frames of either weigh one together."""
    samples = samples_of(EffusionOfFrame(), labelled_of("ab", [0, 1]), a=a_clip(0), b=a_clip(100, 2))
    assert samples.weak_labels
    assert samples.keys.tolist() == [f"{key_of('a')}#{frame}" for frame in (0, 3, 6, 9)] + [
        f"{key_of('b')}#{frame}" for frame in (0, 1)
    ]
    assert samples.targets[:, 0].tolist() == [0] * 4 + [1] * 2
    assert samples.groups.tolist() == ["p-a"] * 4 + ["p-b"] * 2
    assert samples.weights.tolist() == [0.25] * 4 + [0.5] * 2
    assert isinstance(samples.units.features, np.ndarray)
    assert samples.units.features[:, 0].tolist() == [0, 3, 6, 9, 100, 101]
    assert samples.n_patients == 2
    (warning,) = samples.warnings()
    assert "weak labels" in warning


def test_frames_with_labels_of_their_own_are_not_weak_and_share_their_clip_s_weight() -> None:
    labelled = labelled_of("aab", [0, 1, 1], unit="frame", frames=[1, 5, 3])
    samples = samples_of(EffusionOfFrame(), labelled, a=a_clip(0), b=a_clip(100))
    assert not samples.weak_labels
    assert samples.keys.tolist() == [f"{key_of('a')}#1", f"{key_of('a')}#5", f"{key_of('b')}#3"]
    assert samples.weights.tolist() == [0.5, 0.5, 1]
    assert isinstance(samples.units.features, np.ndarray)
    assert samples.units.features[:, 0].tolist() == [1, 5, 103]
    assert samples.targets[:, 0].tolist() == [0, 1, 1]


@pytest.mark.parametrize("frame", [2, 10])
def test_a_labelled_frame_without_an_embedding_is_refused(frame: int) -> None:
    """One that could not be read, and one beyond the end."""
    labelled = labelled_of("a", [1], unit="frame", frames=[frame])
    with pytest.raises(TrainingRefusedError, match=f"frame {frame} of clip aaaaaaaaaaaa has a label and no embedding"):
        samples_of(EffusionOfFrame(), labelled, a=a_clip(0, unreadable=(2,)))


def test_frames_of_a_clip_that_cannot_be_assessed_are_counted() -> None:
    labelled = labelled_of("aab", [0, 1, 1], unit="frame", frames=[1, 5, 3])
    samples = samples_of(EffusionOfFrame(), labelled, a=a_clip(0, 10, unreadable=range(10)), b=a_clip(100))
    assert samples.reasons == {"too-few-frames": 2}
    assert len(samples) == 1


def test_samples_taken_keep_what_belongs_together() -> None:
    samples = samples_of(EffusionOfFrame(), labelled_of("ab", [0, 1]), a=a_clip(0), b=a_clip(100, 2))
    taken = samples.take(np.array([5, 0]))
    assert taken.keys.tolist() == [samples.keys[5], samples.keys[0]]
    assert taken.targets[:, 0].tolist() == [1, 0]
    assert taken.weights.tolist() == [0.5, 0.25]
    assert isinstance(taken.units.features, np.ndarray)
    assert taken.units.features[:, 0].tolist() == [101, 0]
    assert taken.weak_labels


def test_units_whose_answer_is_not_known_are_told_by_outcome() -> None:
    samples = samples_of(Effusion(), labelled_of("abc", [0, 1, UNKNOWN]), a=a_clip(0), b=a_clip(1), c=a_clip(2))
    assert samples.known(0).tolist() == [0, 1]
