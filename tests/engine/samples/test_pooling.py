"""Which way of pooling goes with which task and head."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.contracts import LongestRun, Pooling, Task
from lusfx.engine.samples.pooling import resolve_pooling
from lusfx.errors import UsageError


class Effusion(Task):
    """Effusion, one answer a clip."""

    name = "effusion"
    label_columns = ("effusion",)


class EffusionOfFrame(Effusion):
    """Effusion, one answer a frame."""

    unit = "frame"


class EffusionByRun(Effusion):
    """Effusion, by the longest run of frames."""

    aggregate = LongestRun()


class ByLastFrame(Effusion):
    """Effusion, by the last frame."""

    pooling = "custom"

    def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
        return embeddings[-1]


def test_frames_are_pooled_as_the_user_the_task_or_the_head_says() -> None:
    assert resolve_pooling(Effusion(), None, "vectors", "logistic") == "mean+max"
    assert resolve_pooling(Effusion(), "max", "vectors", "logistic") == "max"
    assert resolve_pooling(Effusion(), None, "bags", "attention") == "attention"
    assert resolve_pooling(Effusion(), "attention", "bags", "attention") == "attention"
    assert resolve_pooling(ByLastFrame(), None, "vectors", "logistic") == "custom"
    assert resolve_pooling(ByLastFrame(), "mean", "vectors", "logistic") == "mean"
    assert resolve_pooling(EffusionByRun(), None, "vectors", "logistic") == "mean+max"
    assert resolve_pooling(EffusionOfFrame(), None, "vectors", "logistic") == "mean+max"


@pytest.mark.parametrize(
    ("task", "pooling", "takes", "message"),
    [
        (EffusionByRun(), None, "bags", "aggregates the probabilities of frames: nothing is pooled"),
        (EffusionByRun(), "max", "vectors", "aggregates the probabilities of frames: nothing is pooled"),
        (EffusionOfFrame(), None, "bags", "is asked of single frames: nothing is pooled"),
        (EffusionOfFrame(), "mean", "vectors", "is asked of single frames: nothing is pooled"),
        (Effusion(), "mean", "bags", "weighs frames by itself"),
        (Effusion(), "attention", "vectors", "takes pooled vectors. Choose --head attention"),
        (Effusion(), "custom", "vectors", "task 'effusion' has no pooling of its own"),
    ],
)
def test_what_does_not_go_together_is_refused(task: Task, pooling: Pooling | None, takes: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        resolve_pooling(task, pooling, takes, "some-head")
