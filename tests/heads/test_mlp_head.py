"""The MLP head: what it learns beside a linear head, how it is served, and its file."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError
from safetensors.numpy import load, save

from lusfx.contracts import TrainingSet
from lusfx.errors import TaskModelError
from lusfx.heads.head_file import TENSOR_FILE
from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.heads.mlp import LAYOUT, MlpHeadSpec, MlpSettings
from lusfx.tensors import METADATA_KEY

SPEC = MlpHeadSpec()


def _same_signs(n_rows: int, seed: int) -> TrainingSet:
    """Class 1 where two of six features have one sign: nothing in it is linear."""
    rows = np.random.default_rng(seed).normal(size=(n_rows, 6)).astype(np.float32)
    return TrainingSet(rows, (rows[:, 0] * rows[:, 1] > 0).astype(np.int64), np.arange(n_rows).astype(np.str_))


def test_learns_what_no_linear_head_can(ranked_above) -> None:
    training, unseen = _same_signs(400, 0), _same_signs(1000, 1)
    linear = LogisticHeadSpec().fit(training, LogisticSettings(), 0).predict_proba(unseen.features)[:, 1]
    nonlinear = SPEC.fit(training, MlpSettings(), 0).predict_proba(unseen.features)[:, 1]
    assert ranked_above(linear, unseen.targets) < 0.6
    assert ranked_above(nonlinear, unseen.targets) > 0.9


def test_with_few_linear_rows_it_is_the_logistic_head(make_training) -> None:
    """Hidden units cost more than they bring: the penalty leaves the linear part alone, and the same one."""
    training, unseen = make_training(n_rows=24, n_features=60), make_training(n_rows=60, n_features=60, seed=1)
    linear = LogisticHeadSpec().fit(training, LogisticSettings(), 0).predict_proba(unseen.features)
    nonlinear = SPEC.fit(training, MlpSettings(), 0).predict_proba(unseen.features)
    np.testing.assert_allclose(nonlinear, linear, atol=0.03)


def test_a_narrower_prior_keeps_nearer_to_the_logistic_head() -> None:
    training = _same_signs(400, 0)
    linear = LogisticHeadSpec().fit(training, LogisticSettings(), 0).predict_proba(training.features)[:, 1]
    distances = []
    for variance in (1e-5, 0.004, 0.06):
        head = SPEC.fit(training, MlpSettings(unit_variance=variance), 0)
        distances.append(np.abs(head.predict_proba(training.features)[:, 1] - linear).mean())
    assert distances[0] < 0.01 < distances[1] < distances[2]


def test_is_served_as_one_network_of_all_members_units(make_training) -> None:
    training = make_training(n_rows=120, n_features=9)
    head = SPEC.fit(training, MlpSettings(hidden=3, members=5), 0)
    arrays = load(head.files()[TENSOR_FILE])
    assert arrays["hidden_weight"].shape == (9, 15)
    rows = (training.features - arrays["mean"]) * arrays["inverse_std"]
    active = np.maximum(rows @ arrays["hidden_weight"] + arrays["hidden_bias"], 0)
    logits = rows @ arrays["linear_weight"] + active @ arrays["output_weight"] + arrays["bias"]
    np.testing.assert_allclose(head.predict_proba(training.features)[:, 1], 1 / (1 + np.exp(-logits)), atol=1e-5)


def test_far_from_zero_features_lose_no_digits(make_training) -> None:
    """Means that are large beside the spread must not cancel."""
    training = make_training(n_rows=80, n_features=6)
    near = SPEC.fit(training, MlpSettings(), 0).predict_proba(training.features)
    moved = TrainingSet(training.features + np.float32(4096), training.targets, training.groups)
    far = SPEC.fit(moved, MlpSettings(), 0).predict_proba(moved.features)
    np.testing.assert_allclose(far, near, atol=0.01)


@pytest.mark.parametrize(
    "given",
    [{"hidden": 0}, {"members": 0}, {"hidden": "64,32"}, {"unit_variance": 0}, {"max_steps": 0}, {"dropout": 0.5}],
)
def test_refuses_settings_that_make_no_sense(given: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MlpSettings.model_validate(given)


def test_arrays_of_the_file_must_fit_each_other() -> None:
    def image(**changed: np.ndarray) -> dict[str, bytes]:
        arrays = {"mean": np.zeros(4), "inverse_std": np.ones(4), "linear_weight": np.ones(4)}
        arrays |= {"hidden_weight": np.ones((4, 3)), "hidden_bias": np.zeros(3), "output_weight": np.ones(3)}
        return {TENSOR_FILE: save(arrays | {"bias": np.zeros(1)} | changed, metadata={METADATA_KEY: LAYOUT})}

    assert SPEC.load(image()).predict_proba(np.zeros((2, 4), np.float32))[:, 1].tolist() == [0.5, 0.5]
    for wrong in (
        {"hidden_weight": np.ones((3, 4))},
        {"output_weight": np.ones(4)},
        {"linear_weight": np.ones(3)},
        {"bias": np.zeros(2)},
        {"inverse_std": np.ones(5)},
    ):
        with pytest.raises(TaskModelError, match="has shape"):
            SPEC.load(image(**wrong))
    with pytest.raises(TaskModelError, match="no others"):
        SPEC.load(image(more=np.zeros(1)))
