"""Training rows count as much as they are said to, whatever the unit of their weights."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.heads.row_weights import row_weights

TARGETS = np.array([0, 0, 0, 1])


def test_weights_have_mean_1() -> None:
    assert row_weights(TARGETS, None, "none").tolist() == [1, 1, 1, 1]
    assert row_weights(TARGETS, np.array([1.0, 2, 3, 2]), "none").tolist() == pytest.approx([0.5, 1, 1.5, 1])
    for scale in (1e-300, 1e307):
        assert row_weights(TARGETS, np.array([1.0, 2, 3, 2]) * scale, "none") == pytest.approx([0.5, 1, 1.5, 1])


def test_balanced_classes_count_alike_in_sum() -> None:
    assert row_weights(TARGETS, None, "balanced").tolist() == pytest.approx([2 / 3, 2 / 3, 2 / 3, 2])
    weights = row_weights(TARGETS, np.array([1.0, 2, 3, 100]), "balanced")
    assert weights[3] == pytest.approx(2)
    assert weights[:3].tolist() == pytest.approx([1 / 3, 2 / 3, 1])


def test_the_given_weights_are_not_changed() -> None:
    weights = np.array([1.0, 2, 3, 100])
    row_weights(TARGETS, weights, "balanced")
    assert weights.tolist() == [1, 2, 3, 100]


@pytest.mark.parametrize("class_weight", ["none", "balanced"])
def test_a_weight_of_two_is_as_good_as_two_rows(class_weight: str, make_training) -> None:
    """The penalty is for the number of rows, which repeating them raises: the prior is widened by as much here."""
    training = make_training(n_rows=60, n_features=6)
    times = np.random.default_rng(0).integers(1, 6, size=60)
    repeated = replace(
        training,
        features=np.repeat(training.features, times, axis=0),
        targets=np.repeat(training.targets, times),
        groups=np.repeat(training.groups, times),
    )
    spec = LogisticHeadSpec()
    weighted = spec.fit(
        replace(training, weights=times.astype(np.float64)), LogisticSettings(class_weight=class_weight), seed=0
    )
    narrower = LogisticSettings(logit_variance=2.0 * 60 / times.sum(), class_weight=class_weight)
    expected = spec.fit(repeated, narrower, seed=0).predict_proba(training.features)
    np.testing.assert_allclose(weighted.predict_proba(training.features), expected, atol=1e-6)
    plain = spec.fit(training, LogisticSettings(class_weight=class_weight), seed=0).predict_proba(training.features)
    assert np.abs(plain - expected).max() > 0.01


def test_the_scale_of_weights_changes_nothing(spec, make_training_for) -> None:
    training = make_training_for(spec, n_rows=120)
    weights = np.random.default_rng(0).uniform(0.2, 3, size=120)
    for class_weight in ("none", "balanced"):
        once, twice = (
            spec.fit(replace(training, weights=weights * scale), spec.settings(class_weight=class_weight), seed=0)
            for scale in (1.0, 2.0)
        )
        assert once.files() == twice.files()


def test_equal_weights_are_no_weights(spec, fitted, make_training_for) -> None:
    training = make_training_for(spec)
    for weight in (1.0, 4.0):
        weights = np.full(len(training.targets), weight)
        assert spec.fit(replace(training, weights=weights), spec.settings(), 3).files() == fitted[spec.name].files()


def test_rows_of_hardly_any_weight_hardly_count(spec, make_training_for, ranked_above) -> None:
    """Half the patients have every label turned round; what they weigh decides who is believed."""
    training = make_training_for(spec, n_rows=480)
    liars = np.arange(480) % 12 < 6
    training = replace(training, targets=np.where(liars, 1 - training.targets, training.targets))
    unseen = make_training_for(spec, seed=1)
    for believed, least, most in ((~liars, 0.85, 1.0), (liars, 0.0, 0.15)):
        weighted = replace(training, weights=np.where(believed, 1.0, 1e-6))
        probabilities = spec.fit(weighted, spec.settings(), seed=0).predict_proba(unseen.features)[:, 1]
        assert least <= ranked_above(probabilities, unseen.targets) <= most


def test_weights_of_a_class_move_the_base_rate(spec, make_training_for) -> None:
    training = make_training_for(spec, n_rows=480, separation=0.0, n_features=3)
    for weight in (1.0, 9.0):
        weights = np.where(training.targets == 1, weight, 1.0)
        expected = weights[training.targets == 1].sum() / weights.sum()
        head = spec.fit(replace(training, weights=weights), spec.settings(), seed=0)
        assert head.predict_proba(training.features)[:, 1].mean() == pytest.approx(expected, abs=0.06)


def test_balanced_weights_raise_a_rare_class(spec, make_training_for) -> None:
    training = make_training_for(spec, n_rows=600, positives=0.1, separation=0.7)  # too little to be sure
    plain, balanced = (
        spec.fit(training, spec.settings(class_weight=weight), 0).predict_proba(training.features)[:, 1]
        for weight in ("none", "balanced")
    )
    assert balanced.mean() > plain.mean() + 0.05
