"""Splits are by patient, and what cannot be trusted is refused by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lusfx.contracts import UNKNOWN
from lusfx.errors import LeakError, TrainingRefusedError
from lusfx.splits import (
    Fold,
    check_split,
    check_trainable,
    has_both_answers,
    held_out_fold,
    inner_folds,
    joint_folds,
    patient_folds,
    training_warnings,
)

N = 60
GROUPS = np.array([f"p-{i // 3:02}" for i in range(N)])
TARGETS = np.array([(i // 3) % 2 for i in range(N)])
KEYS = np.array([f"{i:064x}" for i in range(N)])
QUESTION = "b-lines: at least 2"


def check(**changes: object) -> None:
    facts: dict[str, object] = {
        "targets": TARGETS,
        "groups": GROUPS,
        "contents": KEYS,
        "features_finite": np.ones(N, np.bool_),
        "n_folds": 5,
        "question": QUESTION,
    }
    check_trainable(**(facts | changes))


def require_both_classes(folds: list[Fold], targets: np.ndarray, groups: np.ndarray, n_folds: int) -> None:
    """Each row is tested once, by a head that saw neither its patient nor one class alone."""
    assert len(folds) == n_folds
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(targets)))
    for fold in folds:
        assert sorted([*fold.train, *fold.test]) == list(range(len(targets)))
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert set(targets[fold.test]) == set(targets[fold.train]) == {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_each_patient_is_tested_once_and_never_trained_on_there(seed: int) -> None:
    folds = patient_folds(TARGETS, GROUPS, 5, seed)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(N))
    for fold in folds:
        check_split(fold, GROUPS, KEYS)
        assert not set(GROUPS[fold.train]) & set(GROUPS[fold.test])
        assert set(TARGETS[fold.test]) == {0, 1}


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("uneven", [False, True])
def test_as_many_positive_patients_as_folds_are_one_a_fold(seed: int, uneven: bool) -> None:
    """Whether patients have three clips each or from 1 to 30."""
    sizes = np.random.default_rng(seed).integers(1, 31, 40) if uneven else np.full(40, 3)
    groups = np.repeat([f"p-{i:02}" for i in range(40)], sizes)
    targets = np.isin(groups, ["p-03", "p-08", "p-21", "p-22", "p-39"]).astype(np.int64)
    folds = patient_folds(targets, groups, 5, seed)
    require_both_classes(folds, targets, groups, 5)
    assert all(len(set(groups[fold.test][targets[fold.test] == 1])) == 1 for fold in folds)


def test_folds_have_both_classes_where_stratifying_rows_finds_none() -> None:
    """Three patients have yes and three have no, one of them both: only that one can fill the third fold by itself."""
    groups = np.array(list("aabbbcccddee"))
    targets = np.array([1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0])
    for seed in range(20):
        require_both_classes(patient_folds(targets, groups, 3, seed), targets, groups, 3)
    one, other = (patient_folds(targets, groups, 3, 4) for _ in range(2))
    assert all((a.test == b.test).all() for a, b in zip(one, other, strict=True))


units = st.lists(
    st.tuples(st.integers(0, 12), st.integers(0, 1), st.sampled_from([1, 1, 1, 2, 30])), min_size=4, max_size=40
)


@given(units, st.integers(2, 5), st.integers(0, 5))
def test_folds_have_both_classes_whenever_they_can(rows: list[tuple[int, int, int]], n_folds: int, seed: int) -> None:
    sizes = [row[2] for row in rows]
    groups = np.repeat([f"p-{row[0]:02}" for row in rows], sizes)
    targets = np.repeat([row[1] for row in rows], sizes)
    available = min(len(set(groups[targets == target])) for target in (0, 1))
    if available >= n_folds:
        require_both_classes(patient_folds(targets, groups, n_folds, seed), targets, groups, n_folds)
    if available >= 2:
        lowered = min(n_folds, available)
        require_both_classes(inner_folds(targets, groups, n_folds, seed), targets, groups, lowered)
    else:
        with pytest.raises(TrainingRefusedError, match=f"one class has {available} "):
            inner_folds(targets, groups, n_folds, seed)


def test_inner_folds_are_patient_folds_where_patients_are_enough() -> None:
    for one, other in zip(inner_folds(TARGETS, GROUPS, 5, 3), patient_folds(TARGETS, GROUPS, 5, 3), strict=True):
        assert one.test.tolist() == other.test.tolist()


def test_the_same_seed_gives_the_same_folds() -> None:
    one, other, third = (patient_folds(TARGETS, GROUPS, 5, seed) for seed in (1, 1, 2))
    assert all((a.test == b.test).all() for a, b in zip(one, other, strict=True))
    assert any(a.test.tolist() != b.test.tolist() for a, b in zip(one, third, strict=True))


def test_a_patient_on_both_sides_is_a_leak() -> None:
    with pytest.raises(LeakError, match=r"1 patient .* p-00"):
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
    with pytest.raises(TrainingRefusedError, match=r"2 units have no patient \(000000000000, .*patient_id"):
        check(groups=groups)


@pytest.mark.parametrize(("target", "answer"), [(0, "no"), (1, "yes")])
def test_one_answer_is_refused(target: int, answer: str) -> None:
    with pytest.raises(
        TrainingRefusedError, match=f"all 60 labelled units are '{answer}' to '{QUESTION}': nothing to learn"
    ):
        check(targets=np.full(N, target))


def test_no_label_at_all_is_refused() -> None:
    none = np.array([], np.int64)
    with pytest.raises(TrainingRefusedError, match=f"no unit has a label that answers '{QUESTION}': nothing to learn"):
        check(targets=none, groups=none.astype(str), contents=none.astype(str), features_finite=none.astype(bool))


@pytest.mark.parametrize("answer", ["no", "yes"])
def test_an_answer_with_fewer_patients_than_folds_is_refused(answer: str) -> None:
    targets = (np.arange(N) < 9).astype(np.int64)
    with pytest.raises(
        TrainingRefusedError, match=f"'{QUESTION}' has 3 patients with {answer}, fewer than the 5 folds"
    ):
        check(targets=targets if answer == "yes" else 1 - targets)


def test_features_that_are_not_finite_are_refused() -> None:
    finite = np.ones(N, np.bool_)
    finite[[7, 20, 30, 40]] = False
    with pytest.raises(TrainingRefusedError, match=r"4 units are not finite: (000000000000, ){3}\.\.\."):
        check(features_finite=finite)


def test_a_unit_that_stands_twice_is_refused() -> None:
    contents = KEYS.copy()
    contents[1] = contents[0]
    with pytest.raises(TrainingRefusedError, match="1 unit stands more than once: 000000000000"):
        check(contents=contents)


def test_a_target_that_is_not_known_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="0 or 1"):
        check(targets=np.where(np.arange(N) == 5, UNKNOWN, TARGETS))


def test_few_events_are_warned_of() -> None:
    assert training_warnings(np.repeat([0, 1], [150, 100]), QUESTION) == []
    (rare_yes,) = training_warnings(np.repeat([0, 1], [150, 20]), QUESTION)
    (rare_no,) = training_warnings(np.repeat([0, 1], [99, 150]), QUESTION)
    assert f"only 20 units are 'yes' to '{QUESTION}': below 100" in rare_yes
    assert f"only 99 units are 'no' to '{QUESTION}': below 100" in rare_no


# ---- folds that several questions share ---------------------------------------------------------------------------


def three_questions(seed: int, n_patients: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """Answers of patients with one to four clips: one common, one rare (five patients), one often unknown."""
    generator = np.random.default_rng(seed)
    patient = np.repeat(np.arange(n_patients), generator.integers(1, 5, n_patients))
    rare = np.isin(patient, generator.choice(n_patients, 5, replace=False)).astype(np.int64)
    often_unknown = np.where(patient % 3 == 0, UNKNOWN, generator.integers(0, 2, n_patients)[patient])
    targets = np.stack([generator.integers(0, 2, n_patients)[patient], rare, often_unknown], axis=1)
    return targets, np.array([f"p-{number:03}" for number in patient])


@pytest.mark.parametrize("seed", range(10))
def test_joint_folds_have_both_answers_to_every_question_on_both_sides(seed: int) -> None:
    targets, groups = three_questions(seed)
    folds = joint_folds(targets, groups, 5, seed)
    assert sorted(np.concatenate([fold.test for fold in folds]).tolist()) == list(range(len(targets)))
    for fold in folds:
        assert not set(groups[fold.train]) & set(groups[fold.test])
        assert has_both_answers(targets[fold.train])
        assert has_both_answers(targets[fold.test])
    sizes = [len(set(groups[fold.test])) for fold in folds]
    assert max(sizes) - min(sizes) <= 3


def test_joint_folds_are_the_same_for_a_seed_and_other_for_another() -> None:
    targets, groups = three_questions(0)
    one, same, other = ([fold.test.tolist() for fold in joint_folds(targets, groups, 5, seed)] for seed in (0, 0, 1))
    assert one == same
    assert one != other


def test_an_answer_of_two_patients_is_on_each_training_side_where_it_cannot_be_on_each_other() -> None:
    targets, groups = three_questions(0)
    targets[:, 1] = np.isin(groups, ["p-004", "p-017"])
    folds = joint_folds(targets, groups, 5, 0)
    assert all(has_both_answers(targets[fold.train]) for fold in folds)
    assert sum(not has_both_answers(targets[fold.test]) for fold in folds) == 3


def test_joint_folds_that_would_leave_nothing_to_learn_are_refused() -> None:
    targets, groups = three_questions(0)
    targets[:, 1] = groups == "p-004"
    with pytest.raises(TrainingRefusedError, match="no 5 folds by patient were found"):
        joint_folds(targets, groups, 5, 0)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_held_out_has_both_answers_and_no_patient_of_the_rest(seed: int) -> None:
    targets, groups = three_questions(seed)
    fold = held_out_fold(targets, groups, 5, seed)
    check_split(fold, groups, np.array([f"{row:064x}" for row in range(len(targets))]))
    assert has_both_answers(targets[fold.train])
    assert has_both_answers(targets[fold.test])
    assert 5 <= len(set(groups[fold.test])) <= 11


def test_one_patient_of_an_answer_cannot_be_held_out() -> None:
    targets, groups = three_questions(0)
    targets[:, 1] = groups == "p-004"
    with pytest.raises(TrainingRefusedError, match="one answer has 1 on a training side"):
        held_out_fold(targets, groups, 5, 0)
