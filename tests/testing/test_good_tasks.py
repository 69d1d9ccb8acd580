"""Sound tasks of every kind, unit and way of making one answer of many frames pass all checks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.contracts import (
    Abstention,
    Aggregation,
    BestWindow,
    Gate,
    LongestRun,
    Mean,
    MinSensitivity,
    MinSpecificity,
    NoisyOr,
    Target,
    Task,
    Youden,
    ZoneSummary,
)
from lusfx.testing import TaskConformance

pytestmark = pytest.mark.usefixtures("few_resamples")


class Seen(Task):
    """Seen or not, one answer a clip, of two columns."""

    name = "good-binary"
    classes = ("not seen", "seen")
    label_columns = ("here", "there")
    not_known = ("indeterminate", "?")
    operating_points = MappingProxyType({"a": MinSensitivity(0.8), "b": MinSpecificity(0.8), "c": Youden()})

    def target(self, cells: Mapping[str, str]) -> Target:
        stated = [self.known(cells[column]) for column in self.label_columns]
        return 1 if 1 in stated else 0 if stated == [0, 0] else None


class Probe(Task):
    """Which probe, one answer a clip, by the largest embedding."""

    name, kind = "good-multi-class", "multi-class"
    classes = ("linear", "convex", "phased")
    label_columns = ("probe",)
    pooling = "max"


class Grade(Task):
    """How much, from 0 to 2, where the view is right."""

    name, kind = "good-ordinal", "ordinal"
    classes = ("none", "some", "much")
    label_columns = ("grade",)
    requires = Gate(task="view", is_="pleural")
    exam_summary = ZoneSummary(("L1", "R1"))


class Signs(Task):
    """Each sign present or not, by mean and spread."""

    name, kind = "good-multi-label", "multi-label"
    classes = ("A", "B")
    label_columns = ("a", "b")
    pooling = "mean+std"


class FrameByFrame(Task):
    """Seen or not, one answer a frame."""

    name, unit = "good-frame", "frame"
    label_columns = ("seen",)
    frames_per_clip = 4


class Exam(Task):
    """Seen or not, one answer an exam."""

    name, unit = "good-exam", "exam"
    label_columns = ("seen",)


class Careful(Task):
    """Seen or not, and nothing said of poor or strange clips."""

    name = "good-abstaining"
    label_columns = ("seen",)
    abstain = Abstention(min_beam_confidence=0.5, min_frames=20, familiar=0.9)


class Attentive(Task):
    """Seen or not, by a head that weighs the frames."""

    name, pooling = "good-attention", "attention"
    label_columns = ("seen",)
    frames_per_clip = 5


class Moving(Task):
    """Moving or not, by how embeddings change over time."""

    name, pooling = "good-temporal", "custom"
    label_columns = ("moving",)

    def pool(self, embeddings: NDArray[np.float32], times_s: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.concatenate([embeddings.mean(axis=0), embeddings.std(axis=0)])


class OnAverage(Task):
    """Seen or not, by the mean of the frames' probabilities."""

    name = "good-mean"
    label_columns = ("seen",)
    aggregate: Aggregation = Mean()


class ForAWhile(OnAverage):
    """Seen for a while or not."""

    name = "good-longest-run"
    aggregate = LongestRun(above=0.4, seconds=0.3)


class AtItsBest(OnAverage):
    """Seen in some stretch or not."""

    name = "good-best-window"
    aggregate = BestWindow(0.2)


class InAnyLook(OnAverage):
    """Seen in any look or not."""

    name = "good-noisy-or"
    aggregate = NoisyOr(1.0)


class UpperHalf(Aggregation):
    """The mean over the half of the clip's time that scores highest."""

    def __call__(self, probabilities: NDArray[np.float64], durations_s: NDArray[np.float64]) -> float:
        order = np.argsort(-probabilities, kind="stable")
        before = np.cumsum(durations_s[order]) - durations_s[order]
        counted = np.clip(durations_s.sum() / 2 - before, 0, durations_s[order])
        return float(np.clip(np.average(probabilities[order], weights=counted), 0, 1))


class InHalf(OnAverage):
    """Seen in half of the clip or not, by an aggregation of its own."""

    name = "good-custom-aggregation"
    aggregate = UpperHalf()


@pytest.mark.fast
class TestBinary(TaskConformance):
    task = Seen()
    is_plugin = False


class TestMultiClass(TaskConformance):
    task = Probe()
    is_plugin = False


class TestOrdinal(TaskConformance):
    task = Grade()
    is_plugin = False


class TestMultiLabel(TaskConformance):
    task = Signs()
    is_plugin = False


@pytest.mark.fast
class TestFrame(TaskConformance):
    task = FrameByFrame()
    is_plugin = False


class TestExam(TaskConformance):
    task = Exam()
    is_plugin = False


class TestAbstaining(TaskConformance):
    task = Careful()
    is_plugin = False


class TestAttention(TaskConformance):
    task = Attentive()
    is_plugin = False


class TestCustomPooling(TaskConformance):
    task = Moving()
    is_plugin = False


class TestMean(TaskConformance):
    task = OnAverage()
    is_plugin = False


class TestLongestRun(TaskConformance):
    task = ForAWhile()
    is_plugin = False


class TestBestWindow(TaskConformance):
    task = AtItsBest()
    is_plugin = False


class TestNoisyOr(TaskConformance):
    task = InAnyLook()
    is_plugin = False


@pytest.mark.fast
class TestCustomAggregation(TaskConformance):
    task = InHalf()
    is_plugin = False
