"""Many weightings at once give what one by one gives."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lusfx.metrics import aucs_of_weightings, pairs, roc_auc, within_folds


@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 4))
def test_it_is_the_auc_within_folds_of_each_weighting(seed: int, n: int, n_folds: int) -> None:
    generator = np.random.default_rng(seed)
    targets, folds = generator.integers(0, 2, n), generator.integers(0, n_folds, n)
    scores = generator.integers(0, 6, n) / 5  # with ties
    weights = generator.integers(0, 4, (7, n)).astype(np.float64)
    one_by_one = within_folds(roc_auc, folds, pairs).prepare(targets, scores)
    expected = [one_by_one(row) for row in weights]
    np.testing.assert_allclose(aucs_of_weightings(targets, scores, folds, weights), expected, rtol=0, atol=1e-12)
