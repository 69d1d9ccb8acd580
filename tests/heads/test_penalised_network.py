"""Training by a penalty: the gradient, and the search in the span of few rows."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.heads import penalised_network
from lusfx.heads.penalised_network import Prior, fit_network


def _table(n_rows: int, n_features: int) -> tuple[np.ndarray, np.ndarray]:
    rows = np.random.default_rng(0).normal(size=(n_rows, n_features))
    return rows, (rows[:, 0] + np.abs(rows[:, 1]) > 0.7).astype(np.int64)


@pytest.mark.parametrize("block_rows", [7, 4096])
def test_the_gradient_is_that_of_the_objective(block_rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(penalised_network, "BLOCK_ROWS", block_rows)
    rows, targets = _table(20, 5)
    generator = np.random.default_rng(1)
    row_weights = generator.uniform(0.5, 1.5, 20)
    precisions = Prior(2.0, 0.1).precisions(5)
    first = penalised_network._first_weights(5, precisions, 2, 3, targets, row_weights, generator)
    objective = penalised_network._Objective(rows, targets, row_weights, precisions, first)
    at = generator.normal(scale=0.5, size=first.flat().shape)
    _, gradient = objective(at)
    step = 1e-6
    for number in range(len(at)):
        moved = np.zeros_like(at)
        moved[number] = step
        slope = (objective(at + moved)[0] - objective(at - moved)[0]) / (2 * step)
        assert slope == pytest.approx(gradient[number], abs=1e-6)


def test_in_the_span_of_few_rows_the_same_weights_are_found() -> None:
    """With as many features as rows nothing is turned; a feature that is always 0 makes it be turned, and changes nothing."""
    rows, targets = _table(30, 30)
    with_zero = np.concatenate([rows, np.zeros((30, 1))], axis=1)
    found = [
        fit_network(table, targets, np.ones(30), Prior(2.0 * share, 1e-9), 1, 1, 1000, np.random.default_rng(0)).linear
        for table, share in ((rows, 1), (with_zero, 31 / 30))
    ]
    np.testing.assert_allclose(found[1][:-1], found[0], atol=2e-3)
    assert abs(found[1][-1, 0]) < 1e-9


def test_members_are_averaged() -> None:
    rows, targets = _table(60, 5)
    together = fit_network(rows, targets, np.ones(60), Prior(2.0, 0.1), 3, 4, 50, np.random.default_rng(0))
    assert together.hidden.shape == (5, 1, 12)
    assert together.linear.shape == (5, 1)
    assert together.bias.shape == (1,)
