"""What every built-in head must do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from lusfx.contracts import Bags, Features, HeadSpec, TrainingSet
from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.heads import LUSFX_API_VERSION, lusfx_register_heads

SPECS = {spec.name: spec for spec in lusfx_register_heads()}


def taken(features: Features, units: np.ndarray) -> Features:
    return features.take(units) if isinstance(features, Bags) else features[units]


def read_only(features: Features) -> Features:
    arrays = (features.rows, features.starts) if isinstance(features, Bags) else (features,)
    for array in arrays:
        array.flags.writeable = False
    return features


def test_names_are_those_of_the_documentation() -> None:
    assert sorted(SPECS) == ["attention", "lightgbm", "logistic", "mlp"]
    assert all(spec.summary for spec in SPECS.values())
    assert [name for name, spec in SPECS.items() if spec.takes == "bags"] == ["attention"]
    assert LUSFX_API_VERSION == 2


def test_learns_what_can_be_learnt(spec, fitted, make_training_for, ranked_above) -> None:
    unseen = make_training_for(spec, seed=1)
    probabilities = fitted[spec.name].predict_proba(unseen.features)
    assert ranked_above(probabilities[:, 1], unseen.targets) > 0.9


def test_finds_nothing_where_there_is_nothing(spec, make_training_for, ranked_above) -> None:
    head = spec.fit(make_training_for(spec, separation=0.0), spec.settings(), seed=0)
    unseen = make_training_for(spec, separation=0.0, seed=1, n_rows=600)
    assert 0.4 < ranked_above(head.predict_proba(unseen.features)[:, 1], unseen.targets) < 0.6


def test_gives_probabilities(spec, fitted, make_training, as_taken) -> None:
    features = make_training(seed=2).features
    extreme = np.concatenate([features, features * 1e6, -features * 1e6, np.zeros_like(features[:1])])
    probabilities = fitted[spec.name].predict_proba(as_taken(spec, extreme))
    assert probabilities.shape == (len(extreme), 2)
    assert probabilities.dtype == np.float64
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


def test_probabilities_follow_the_base_rate(spec, make_training_for) -> None:
    training = make_training_for(spec, n_rows=1200, positives=0.2)
    head = spec.fit(training, spec.settings(), seed=0)
    mean = head.predict_proba(make_training_for(spec, n_rows=1200, positives=0.2, seed=1).features)[:, 1].mean()
    assert 0.12 < mean < 0.28


def test_a_unit_does_not_depend_on_the_others(spec, fitted, make_training_for) -> None:
    features = make_training_for(spec, seed=4, n_rows=50).features
    predict = fitted[spec.name].predict_proba
    together = predict(features)
    alone = np.concatenate([predict(taken(features, np.array([unit]))) for unit in range(50)])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)
    turned = predict(taken(features, np.arange(50)[::-1]))[::-1]
    np.testing.assert_allclose(turned, together, rtol=0, atol=1e-12)


def test_how_rows_lie_in_memory_changes_nothing(spec, fitted, make_training_for) -> None:
    features = make_training_for(spec, seed=4, n_rows=50).features
    if isinstance(features, Bags):
        other: Features = Bags(np.asfortranarray(features.rows), features.starts)
    else:
        other = np.asfortranarray(features)
    predict = fitted[spec.name].predict_proba
    np.testing.assert_allclose(predict(other), predict(features), rtol=0, atol=1e-12)


def test_scores_more_units_than_a_block_and_none(spec, fitted, make_training_for) -> None:
    features = make_training_for(spec, seed=5, n_rows=60).features
    predict = fitted[spec.name].predict_proba
    many = predict(taken(features, np.tile(np.arange(60), 100)))
    np.testing.assert_allclose(many, np.tile(predict(features), (100, 1)), atol=1e-12)
    assert predict(taken(features, np.arange(0))).shape == (0, 2)


def test_neither_training_nor_scoring_changes_its_input(spec, make_training_for) -> None:
    training = make_training_for(spec, n_rows=60)
    weights = np.random.default_rng(0).uniform(0.5, 2, size=60)
    for array in (training.targets, training.groups, weights):
        array.flags.writeable = False
    training = replace(training, features=read_only(training.features), weights=weights)
    settings = spec.settings(class_weight="balanced")
    assert spec.fit(training, settings, seed=0).predict_proba(training.features).shape == (60, 2)


def test_refuses_to_score_features_of_another_length_or_kind(spec, fitted, make_training, as_taken) -> None:
    features = make_training().features
    predict = fitted[spec.name].predict_proba
    with pytest.raises(TaskModelError, match=r"\(n, 40\)"):
        predict(as_taken(spec, features[:, :39]))
    with pytest.raises(TaskModelError):
        predict(features[0])
    for other in SPECS.values():
        if other.takes != spec.takes:
            with pytest.raises(TaskModelError, match=r"the head takes .*, and was given"):
                predict(as_taken(other, features))


def test_refuses_to_learn_from_features_of_another_kind(spec, make_training_for) -> None:
    for other in SPECS.values():
        if other.takes != spec.takes:
            with pytest.raises(
                TrainingRefusedError, match=r"the head learns from .*, and was given .*[Cc]hoose a head"
            ):
                spec.fit(make_training_for(other, n_rows=60), spec.settings(), seed=0)


@pytest.mark.slow
def test_the_seed_reaches_what_is_random(make_training_for) -> None:
    for name in ("mlp", "lightgbm", "attention"):
        training = make_training_for(SPECS[name], separation=0.5)
        scores = [SPECS[name].fit(training, SPECS[name].settings(), s).predict_proba(training.features) for s in (0, 1)]
        assert not np.array_equal(*scores), name


def test_training_leaves_the_callers_random_state_alone(spec, make_training_for) -> None:
    import torch

    np.random.seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    spec.fit(make_training_for(spec, n_rows=60), spec.settings(), seed=11)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


def test_constant_features_say_nothing(spec, make_training, as_taken) -> None:
    training = make_training()
    constant = np.full((len(training.targets), 2), [7.25, 0.0], dtype=np.float32)
    vectors = np.concatenate([training.features, constant], axis=1)
    head = spec.fit(replace(training, features=as_taken(spec, vectors)), spec.settings(), seed=0)
    changed = vectors.copy()
    changed[:, -2:] = 1e4
    assert np.array_equal(head.predict_proba(as_taken(spec, changed)), head.predict_proba(as_taken(spec, vectors)))


def test_all_features_constant_gives_the_base_rate(spec, make_training, as_taken) -> None:
    training = make_training(n_rows=120, positives=0.3)
    training = replace(training, features=as_taken(spec, np.full((120, 5), 0.1, dtype=np.float32)))
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)
    assert np.ptp(probabilities[:, 1]) < 1e-12
    assert probabilities[0, 1] == pytest.approx(training.targets.mean(), abs=0.15)


@pytest.mark.parametrize("n_features", [1, 1280])
def test_twenty_units_are_enough(spec, n_features: int, make_training, as_taken, ranked_above) -> None:
    training = make_training(n_rows=20, n_features=max(n_features, 3), rows_a_patient=2, seed=8)
    training = replace(training, features=as_taken(spec, training.features[:, :n_features]))
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)[:, 1]
    assert ranked_above(probabilities, training.targets) >= 0.5  # so few may teach nothing, but nothing wrong
    assert probabilities.mean() == pytest.approx(training.targets.mean(), abs=0.2)


def test_a_rare_class_is_still_ranked(spec, make_training_for, ranked_above) -> None:
    training = make_training_for(spec, n_rows=1000, positives=0.03)
    unseen = make_training_for(spec, n_rows=1000, positives=0.03, seed=1)
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(unseen.features)
    assert ranked_above(probabilities[:, 1], unseen.targets) > 0.85


def test_wide_and_few_is_quick_and_silent(spec, make_training_for, ranked_above) -> None:
    """The usual case, 236 clips and two statistics of 1,280 features; warnings are errors here."""
    training = make_training_for(spec, n_rows=236, n_features=2560)
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)
    assert ranked_above(probabilities[:, 1], training.targets) > 0.8


@pytest.mark.parametrize(
    "broken",
    [
        lambda t: replace(t, groups=t.groups[:-1]),
        lambda t: replace(t, targets=np.zeros_like(t.targets)),
        lambda t: replace(t, targets=t.targets + 1),
        lambda t: replace(t, targets=t.targets[:0], groups=t.groups[:0]),
        lambda t: replace(t, features=taken(t.features, np.arange(59))),
        lambda t: TrainingSet(taken(t.features, np.arange(0)), t.targets[:0], t.groups[:0]),
        lambda t: replace(t, weights=np.zeros(60)),
    ],
)
def test_refuses_what_cannot_be_learnt_from(spec, broken, make_training_for) -> None:
    with pytest.raises(TrainingRefusedError):
        spec.fit(broken(make_training_for(spec, n_rows=60)), spec.settings(), seed=0)


NONSENSE = {
    "logistic": [{"logit_variance": 0}, {"logit_variance": float("inf")}, {"class_weight": "heavy"}],
    "mlp": [{"members": 0}, {"hidden": "64,32"}, {"unit_variance": -1}, {"class_weight": "heavy"}],
    "lightgbm": [{"rounds": 0}, {"num_leaves": 1}, {"feature_fraction": 0}, {"learning_rate": float("nan")}],
    "attention": [{"hidden": 0}, {"attention": 0}, {"hidden": 1 << 20}, {"hidden": "64,32"}, {"members": 0}],
}


def test_refuses_settings_that_make_no_sense(spec) -> None:
    for values in [{"no_such_setting": 1}, *NONSENSE[spec.name]]:
        with pytest.raises(ValidationError):
            spec.settings(**values)


def test_settings_of_another_head_are_refused(spec, make_training_for) -> None:
    for other in SPECS.values():
        if other.name != spec.name:
            with pytest.raises(ValidationError):
                spec.fit(make_training_for(spec, n_rows=60), other.settings(), seed=0)


def test_settings_come_back_from_a_task_model_and_from_text(spec: HeadSpec) -> None:
    """As JSON each is one word or number, which is also how it is written after ``--set``."""
    for values in [{}, *spec.search]:
        settings = spec.settings(**values)
        recorded = settings.model_dump(mode="json")
        assert all(isinstance(value, str | int | float) for value in recorded.values())
        assert spec.settings.model_validate(recorded) == settings
        assert spec.settings.model_validate({name: str(value) for name, value in recorded.items()}) == settings


def test_the_search_tries_a_few_settings_beside_the_defaults(spec: HeadSpec) -> None:
    assert 1 <= len(spec.search) <= 3
    tried = [spec.settings.model_validate(values) for values in spec.search]
    assert all(one != other for number, one in enumerate(tried) for other in [spec.settings(), *tried[:number]])


def test_every_head_trains_without_torch(tmp_path: Path, run_without_torch: Callable[[str, Path], str]) -> None:
    said = run_without_torch(
        """
import numpy as np
from lusfx.contracts import Bags, TrainingSet
from lusfx.heads import lusfx_register_heads

rows = np.random.default_rng(0).normal(size=(30, 4)).astype(np.float32)
targets = (rows[:, 0] > 0).astype(np.int64)
patients = np.array([f"p{number}" for number in range(30)])
for spec in lusfx_register_heads():
    features = Bags(rows, np.arange(31)) if spec.takes == "bags" else rows
    head = spec.fit(TrainingSet(features, targets, patients), spec.settings(), 0)
    print(spec.name, head.predict_proba(features).shape)
""",
        tmp_path,
    )
    assert said.split("\n")[:-1] == [f"{name} (30, 2)" for name in ("logistic", "mlp", "lightgbm", "attention")]
