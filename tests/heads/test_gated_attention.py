"""The loss that the attention networks are fitted by, and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.contracts import Bags
from lusfx.heads.gated_attention import Objective, Sizes, Variances, fitted

SIZES = Sizes(members=2, features=6, hidden=3, attention=2)
VARIANCES = Variances(linear=2.0, hidden=0.5, activation=3.0)


@pytest.fixture
def objective() -> Objective:
    generator = np.random.default_rng(0)
    bags = Bags.of([generator.normal(size=(size, 6)).astype(np.float32) for size in generator.integers(1, 5, 12)])
    targets = np.arange(12) % 2
    return Objective(bags, targets, generator.uniform(0.5, 1.5, 12), SIZES, VARIANCES.of_weights(SIZES))


def values_at(seed: int) -> np.ndarray:
    n_values = sum(int(np.prod(shape)) for shape in SIZES.shapes.values())
    return np.random.default_rng(seed).normal(size=n_values)


def test_the_gradient_is_that_of_the_loss(objective: Objective) -> None:
    """By central differences along random directions; the products of rows are in float32, hence the wide steps."""
    values = values_at(1)
    gradient = objective(values)[1]
    for seed in range(20):
        direction = values_at(2 + seed)
        direction /= np.linalg.norm(direction)
        above, below = (objective(values + step * direction)[0] for step in (1e-3, -1e-3))
        assert (above - below) / 2e-3 == pytest.approx(gradient @ direction, abs=2e-3)


def test_every_array_has_its_own_part_of_the_gradient(objective: Objective) -> None:
    values = values_at(1)
    gradients, start = SIZES.taken_apart(objective(values)[1]), 0
    for name, shape in SIZES.shapes.items():
        step = np.zeros_like(values)
        step[start : start + int(np.prod(shape))] = 1
        step /= np.linalg.norm(step)
        above, below = (objective(values + sign * 1e-3 * step)[0] for sign in (1, -1))
        expected = gradients[name].sum() / np.sqrt(np.prod(shape))
        assert (above - below) / 2e-3 == pytest.approx(expected, abs=2e-3), name
        start += int(np.prod(shape))


def test_a_unit_of_weight_two_is_as_good_as_two(objective: Objective) -> None:
    bags, targets = objective.bags, objective.targets
    doubled = Objective(bags, targets, np.where(np.arange(12) == 3, 2.0, 1.0), SIZES, objective.priors)
    rows = np.append(np.arange(12), 3)
    twice = Objective(bags.take(rows), targets[rows], np.ones(13), SIZES, objective.priors)
    values = values_at(1)
    assert 12 * doubled(values)[0] == pytest.approx(13 * twice(values)[0], rel=1e-6)


def test_networks_do_not_know_of_each_other(objective: Objective) -> None:
    """Each network's part of the loss and gradient is what it is alone."""
    tensors = SIZES.taken_apart(values_at(1))
    alone = Sizes(1, SIZES.features, SIZES.hidden, SIZES.attention)
    one = Objective(objective.bags, objective.targets, objective.weights, alone, VARIANCES.of_weights(alone))
    parts = [one(np.concatenate([tensors[name][member].ravel() for name in tensors])) for member in (0, 1)]
    loss, gradient = objective(values_at(1))
    assert loss == pytest.approx(sum(part[0] for part in parts), rel=1e-6)
    for member, (_, expected) in enumerate(parts):
        found = SIZES.taken_apart(gradient)
        together = np.concatenate([found[name][member].ravel() for name in found])
        np.testing.assert_allclose(together, expected, atol=1e-5)


def test_fitting_ends_where_the_loss_is_lowest(objective: Objective) -> None:
    tensors = fitted(objective.bags, objective.targets, objective.weights, SIZES, VARIANCES, seed=0)
    values = np.concatenate([tensors[name].ravel() for name in SIZES.shapes])
    assert np.abs(objective(values)[1]).max() < 1e-3
    assert objective(values)[0] < objective(np.zeros_like(values))[0]
