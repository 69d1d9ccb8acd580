"""What heads hold out, they hold out by patient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lusfx.contracts import Bags, HeadSpec, TrainingSet
from lusfx.errors import TrainingRefusedError
from lusfx.heads import mlp, torch_training
from lusfx.heads.patients import held_out_patients, patient_folds, patients_of_rarer_class
from lusfx.heads.torch_training import Part

rows = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 1)), min_size=4, max_size=60)


@settings(max_examples=200)
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


@pytest.mark.parametrize("spec", [mlp.MlpHeadSpec()])
def test_training_stops_early_on_patients_it_never_trains_on(
    spec: HeadSpec, make_training, as_taken, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Spy on the rows that reach the optimiser and those that decide when to stop."""
    training = make_training(n_rows=200, rows_a_patient=5)
    patient_number = np.unique(training.groups, return_inverse=True)[1].astype(np.float32)
    features = as_taken(spec, training.features)
    if isinstance(features, Bags):
        number_of_row = np.repeat(patient_number, features.sizes)
        features = Bags(np.concatenate([features.rows, number_of_row[:, None]], axis=1), features.starts)
    else:
        features = np.concatenate([features, patient_number[:, None]], axis=1)
    parts: list[Part] = []
    original = torch_training.train

    def spy(build, learn, stop, *others):
        parts.extend([learn, stop])
        return original(build, learn, stop, *others)

    monkeypatch.setattr(torch_training, "train", spy)
    head = spec.fit(replace(training, features=features), spec.settings(max_epochs=2), seed=0)
    scale = head._standardiser
    seen = []
    for part in parts:
        assert set(part.targets.tolist()) == {0.0, 1.0}
        standardised = part.inputs(torch.arange(len(part.targets)))[0][:, -1].numpy()
        seen.append(np.round(standardised / scale.inverse_std[-1] + scale.mean[-1]).astype(int))
    trained_on, stopped_on = (set(numbers.tolist()) for numbers in seen)
    assert trained_on.isdisjoint(stopped_on)
    assert trained_on | stopped_on == set(range(40))
    assert len(stopped_on) == 8
    # The scale, too, is measured without the patients that are held out, and each bag counts alike in it.
    assert scale.mean[-1] == pytest.approx(np.mean(list(trained_on)))


def test_one_patient_in_so_many_is_held_out_and_more_where_a_class_is_rare(make_training) -> None:
    training = make_training(n_rows=240, rows_a_patient=1)
    assert held_out_patients(training, 5, seed=0).sum() == 48
    assert held_out_patients(training, 2, seed=0).sum() == 120
    rare = replace(training, targets=np.isin(np.arange(240), [7, 90, 91]).astype(np.int64))
    held_out = held_out_patients(rare, 5, seed=0)
    assert held_out.sum() == 80
    assert rare.targets[held_out].sum() == 1


def test_a_patient_of_each_class_is_needed_to_hold_out(make_training_for) -> None:
    spec = mlp.MlpHeadSpec()
    one_patient = replace(make_training_for(spec, n_rows=20), groups=np.full(20, "p-1"))
    with pytest.raises(TrainingRefusedError, match=r"patients of each class.*has 1"):
        spec.fit(one_patient, spec.settings(), seed=0)
