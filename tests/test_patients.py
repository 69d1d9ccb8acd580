"""What is drawn at random follows the table, and not the patients' pseudonyms."""

from __future__ import annotations

import numpy as np

from lusfx.metrics import patient_bootstrap, roc_auc
from lusfx.patients import dealt, dealt_jointly, numbered
from lusfx.splits import patient_folds


def test_patients_are_numbered_as_they_appear() -> None:
    groups = np.array(["p-b", "p-c", "p-b", "p-a", "p-c"])
    np.testing.assert_array_equal(numbered(groups), [0, 1, 0, 2, 1])
    assert len(numbered(groups[:0])) == 0


def test_another_sites_pseudonyms_change_no_fold_and_no_interval() -> None:
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(30), 4)
    targets, probabilities = generator.integers(0, 2, 120), generator.random(120)
    here = np.array([f"p-{number:03}" for number in patient])
    there = np.array([f"p-{number:03}" for number in generator.permutation(1000)[patient]])
    for one, other in zip(patient_folds(targets, here, 5, 7), patient_folds(targets, there, 5, 7), strict=True):
        np.testing.assert_array_equal(one.test, other.test)
    of_here, of_there = (
        patient_bootstrap(roc_auc, targets, probabilities, groups, seed=1, n_resamples=50) for groups in (here, there)
    )
    assert of_here == of_there


def test_dealt_folds_each_have_both_answers() -> None:
    generator = np.random.default_rng(0)
    for n_folds in (2, 3, 5):
        patient = np.repeat(np.arange(12), 3)
        groups = np.array([f"p-{number}" for number in patient])
        targets = np.where(patient < 5, 1, 0)  # five patients with yes alone
        folds = dealt(targets, groups, n_folds, generator)
        for fold in range(n_folds):
            assert set(targets[folds == fold]) == {0, 1}
        for number in range(12):
            assert len(set(folds[patient == number])) == 1


def test_patients_dealt_jointly_stay_whole_and_spread_each_answer() -> None:
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(30), 2)
    groups = np.array([f"p-{number}" for number in patient])
    targets = np.stack([patient < 6, patient % 2], axis=1).astype(np.int64)
    targets[patient > 25, 1] = -1
    folds = dealt_jointly(targets, groups, 3, generator)
    for number in range(30):
        assert len(set(folds[patient == number].tolist())) == 1
    for fold in range(3):
        of_fold = np.unique(patient[folds == fold])
        assert len(of_fold) == 10
        assert (of_fold < 6).sum() == 2
