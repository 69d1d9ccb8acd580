"""What heads hold out, they hold out by patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lusfx.contracts import TrainingSet
from lusfx.errors import TrainingRefusedError
from lusfx.heads import mlp
from lusfx.heads.patients import patient_folds, patients_of_rarer_class

rows = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=4, max_size=60)


@settings(max_examples=200, deadline=None)
@given(rows=rows, seed=st.integers(0, 1000))
def test_every_fold_has_both_classes_and_whole_patients(rows: list[tuple[int, int]], seed: int) -> None:
    patients, targets = np.array(rows).T
    training = TrainingSet(np.zeros((len(rows), 1), np.float32), targets, patients.astype(str))
    available = patients_of_rarer_class(training)
    if available < 2:
        with pytest.raises(TrainingRefusedError, match=f"one class has {available}"):
            patient_folds(training, 2, np.random.default_rng(seed))
        return
    for n_folds in range(2, available + 1):
        fold = patient_folds(training, n_folds, np.random.default_rng(seed))
        for number in range(n_folds):
            assert set(targets[fold == number]) == {0, 1}
        for patient in set(patients):
            assert len(set(fold[patients == patient])) == 1


def test_the_draw_depends_on_the_seed_alone(make_training) -> None:
    training = make_training()
    first, again, other = (patient_folds(training, 5, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_mlp_stops_early_on_patients_it_never_trains_on(make_training, monkeypatch: pytest.MonkeyPatch) -> None:
    """Spy on the rows that reach the optimiser and those that decide when to stop."""
    training = make_training(n_rows=200, rows_a_patient=5)
    patient_number = np.unique(training.groups, return_inverse=True)[1].astype(np.float32)
    training = replace(training, features=np.concatenate([training.features, patient_number[:, None]], axis=1))
    seen: list[np.ndarray] = []
    scales: list[tuple[float, float]] = []
    original = mlp._as_tensors

    def spy(standardiser, given_training, chosen):
        tensors = original(standardiser, given_training, chosen)
        scales.append((standardiser.mean[-1], standardiser.inverse_std[-1]))
        seen.append(np.unique(np.round(tensors[0][:, -1].numpy() / scales[-1][1] + scales[-1][0]).astype(int)))
        assert set(tensors[1].tolist()) == {0.0, 1.0}
        return tensors

    monkeypatch.setattr(mlp, "_as_tensors", spy)
    mlp.MlpHeadSpec().fit(training, mlp.MlpSettings(max_epochs=2), seed=0)
    trained_on, stopped_on = seen
    assert set(trained_on).isdisjoint(stopped_on)
    assert set(trained_on) | set(stopped_on) == set(range(40))
    assert len(stopped_on) == 8
    # The scale, too, is measured without the patients that are held out.
    assert scales[0][0] == pytest.approx(np.repeat(trained_on, 5).mean())


def test_the_mlp_keeps_the_best_epoch_and_not_the_last(make_training) -> None:
    """With noise for labels every step is for the worse: far more training must not change what is kept."""
    training = make_training(separation=0.0)
    brief, long = (
        mlp.MlpHeadSpec().fit(training, mlp.MlpSettings(max_epochs=epochs, patience=400, learning_rate=0.01), seed=0)
        for epochs in (60, 400)
    )
    assert np.array_equal(brief.predict_proba(training.features), long.predict_proba(training.features))


def test_an_mlp_needs_a_patient_of_each_class_to_hold_out(make_training) -> None:
    training = make_training(n_rows=20)
    one_patient = replace(training, groups=np.full(20, "p-1"))
    with pytest.raises(TrainingRefusedError, match=r"patients of each class.*has 1"):
        mlp.MlpHeadSpec().fit(one_patient, mlp.MlpSettings(), seed=0)
