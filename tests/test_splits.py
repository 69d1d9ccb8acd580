"""Splits are by patient, and what cannot be trusted is refused by name."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.errors import LeakError, TrainingRefusedError
from lusfx.splits import Fold, check_split, check_trainable, patient_folds, training_warnings

N = 60
GROUPS = np.array([f"p-{i // 3:02}" for i in range(N)])
TARGETS = np.array([(i // 3) % 2 for i in range(N)])
KEYS = np.array([f"{i:064x}" for i in range(N)])
FEATURES = np.ones((N, 4), np.float32)
CLASSES = ("no", "yes")


def check(**changes: object) -> None:
    facts: dict[str, object] = {
        "targets": TARGETS, "groups": GROUPS, "contents": KEYS, "features": FEATURES, "n_folds": 5, "classes": CLASSES,
    }  # fmt: skip
    check_trainable(**(facts | changes))  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_each_patient_is_tested_once_and_never_trained_on_there(seed: int) -> None:
    folds = patient_folds(TARGETS, GROUPS, 5, seed)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(N))
    for fold in folds:
        check_split(fold, GROUPS, KEYS)
        assert not set(GROUPS[fold.train]) & set(GROUPS[fold.test])
        assert set(TARGETS[fold.test]) == {0, 1}


def test_the_same_seed_gives_the_same_folds() -> None:
    one, other, third = (patient_folds(TARGETS, GROUPS, 5, seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(one, other, strict=True))
    assert any(a.test.tolist() != b.test.tolist() for a, b in zip(one, third, strict=True))


def test_a_patient_on_both_sides_is_a_leak() -> None:
    with pytest.raises(LeakError, match=r"1 patients .* p-00"):
        check_split(Fold(np.array([0, 3]), np.array([1, 6])), GROUPS, KEYS)


def test_the_same_content_on_both_sides_is_a_leak() -> None:
    contents = KEYS.copy()
    contents[9] = contents[0]
    with pytest.raises(LeakError, match="content"):
        check_split(Fold(np.array([0]), np.array([9])), GROUPS, contents)


def test_good_data_are_accepted() -> None:
    check()


def test_missing_patients_are_refused() -> None:
    groups = GROUPS.copy()
    groups[:2] = ""
    with pytest.raises(TrainingRefusedError, match=r"2 clips have no patient \(000000000000, .*patient_id"):
        check(groups=groups)


def test_one_class_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="all 60 labelled clips are 'yes'"):
        check(targets=np.ones(N, np.int64))


def test_a_class_with_fewer_patients_than_folds_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="class 'yes' has 2 patients, fewer than the 5 folds"):
        check(targets=(np.arange(N) < 6).astype(np.int64))


def test_features_that_are_not_finite_are_refused() -> None:
    features = FEATURES.copy()
    features[7, 1] = np.inf
    with pytest.raises(TrainingRefusedError, match="1 clips are not finite"):
        check(features=features)


def test_content_that_stands_twice_is_refused() -> None:
    contents = KEYS.copy()
    contents[1] = contents[0]
    with pytest.raises(TrainingRefusedError, match="more than once"):
        check(contents=contents)


def test_few_events_are_warned_of() -> None:
    assert training_warnings(np.repeat([0, 1], [150, 150]), CLASSES) == []
    assert "only 20 clips are 'yes'" in training_warnings(np.repeat([0, 1], [150, 20]), CLASSES)[0]
