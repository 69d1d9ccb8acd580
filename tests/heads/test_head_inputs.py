"""What a head is given is checked before it is used."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lusfx.contracts import Bags, TrainingSet
from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.heads.inputs import bags_of, training_bags, training_vectors, vectors_of

TARGETS = np.array([0, 1, 0, 1])
GROUPS = np.array(["a", "b", "c", "d"])
VECTORS = TrainingSet(np.arange(12, dtype=np.float32).reshape(4, 3), TARGETS, GROUPS)
BAGS = TrainingSet(Bags(np.ones((9, 3), np.float16), np.array([0, 1, 4, 6, 9])), TARGETS, GROUPS)


def test_sound_features_are_handed_through() -> None:
    assert training_vectors(VECTORS) is VECTORS.features
    assert vectors_of(VECTORS.features, 3) is VECTORS.features
    assert training_bags(BAGS) is BAGS.features
    assert bags_of(BAGS.features, 3) is BAGS.features
    assert len(bags_of(Bags(np.ones((0, 3), np.float32), np.array([0])), 3)) == 0


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"features": VECTORS.features[:-1]}, "features of 3 units, 4 targets and 4 patient keys"),
        ({"targets": TARGETS[:-1]}, "3 targets"),
        ({"groups": GROUPS[:-1]}, "3 patient keys"),
        ({"features": VECTORS.features[:, 0]}, "shape"),
        ({"features": VECTORS.features[:, :0]}, "shape"),
        ({"features": np.where(np.eye(4, 3) > 0, np.nan, VECTORS.features)}, "not finite"),
        ({"features": np.where(np.eye(4, 3) > 0, -np.inf, VECTORS.features)}, "not finite"),
        ({"targets": TARGETS * 0}, r"of classes \[0\]"),
        ({"targets": TARGETS + 1}, r"of classes \[1, 2\]"),
        ({"targets": np.arange(4)}, r"of classes \[0, 1, 2, 3\]"),
        ({"features": VECTORS.features[:0], "targets": TARGETS[:0], "groups": GROUPS[:0]}, r"of classes \[\]"),
        ({"weights": np.ones(3)}, "one for each of 4 targets"),
        ({"weights": np.ones((4, 1))}, "one for each of 4 targets"),
        ({"weights": np.array([1, 1, 1, 0.0])}, "above 0"),
        ({"weights": np.array([1, 1, 1, -1.0])}, "above 0"),
        ({"weights": np.array([1, 1, 1, np.nan])}, "above 0"),
        ({"weights": np.array([1, 1, 1, np.inf])}, "above 0"),
        ({"weights": np.array([1, 1, 1e-300, 1e300])}, "more than 1e[+]09 times"),
        ({"features": BAGS.features}, "one vector a unit, and was given bags"),
    ],
)
def test_refuses_vectors_that_cannot_be_learnt_from(change: dict[str, object], complaint: str) -> None:
    with pytest.raises(TrainingRefusedError, match=complaint):
        training_vectors(replace(VECTORS, **change))


def bags(starts: object, rows: np.ndarray = BAGS.features.rows) -> Bags:
    return Bags(rows, np.array(starts))


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (bags([0, 1, 4, 4, 9]), "one is empty"),
        (bags([0, 4, 1, 6, 9]), "do not follow each other"),
        (bags([1, 2, 4, 6, 9]), "do not follow each other"),
        (bags([0, 1, 4, 6, 8]), "do not follow each other"),
        (bags([0, 1, 4, 6, 10]), "do not follow each other"),
        (bags([0.0, 1, 4, 6, 9]), "do not follow each other"),
        (bags([[0, 1, 4, 6, 9]]), "do not follow each other"),
        (bags(np.array([], dtype=np.int64)), "do not follow each other"),
        (VECTORS.features, "was given one vector a unit"),
    ],
)
def test_refuses_bags_that_do_not_tile_their_rows(features: object, complaint: str) -> None:
    with pytest.raises(TrainingRefusedError, match=complaint):
        training_bags(replace(BAGS, features=features))
    with pytest.raises(TaskModelError, match=complaint):
        bags_of(features, 3)


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        (bags([0, 1, 4, 9]), "features of 3 units"),
        (bags([0, 1, 4, 6, 9], np.ones(9)), "shape"),
        (bags([0, 1, 4, 6, 9], np.ones((9, 0))), "shape"),
        (bags([0, 1, 4, 6, 9], np.where(np.eye(9, 3) > 0, np.nan, 1)), "not finite"),
    ],
)
def test_refuses_bags_that_cannot_be_learnt_from(features: Bags, complaint: str) -> None:
    with pytest.raises(TrainingRefusedError, match=complaint):
        training_bags(replace(BAGS, features=features))


def test_refuses_to_score_rows_of_another_length() -> None:
    for n_features in (2, 4):
        with pytest.raises(TaskModelError, match=rf"shape \(n, {n_features}\), and was given \(4, 3\)"):
            vectors_of(VECTORS.features, n_features)
        with pytest.raises(TaskModelError, match=rf"shape \(n, {n_features}\), and was given \(9, 3\)"):
            bags_of(BAGS.features, n_features)
    with pytest.raises(TaskModelError, match="was given bags"):
        vectors_of(BAGS.features, 3)
