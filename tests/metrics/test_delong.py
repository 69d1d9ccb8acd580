"""DeLong's variance is what its definition says, and its test keeps what it promises of independent units."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.metrics import auc_covariance, delong, roc_auc


def by_definition(targets: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Areas and covariance with a loop over all pairs (DeLong et al. 1988, equations 3 to 6)."""
    positive, negative = scores[:, targets == 1], scores[:, targets == 0]
    m, n = positive.shape[1], negative.shape[1]
    psi = np.array(
        [
            [[1.0 if x > y else 0.5 if x == y else 0.0 for y in ys] for x in xs]
            for xs, ys in zip(positive, negative, strict=True)
        ]
    )
    areas, v10, v01 = psi.mean(axis=(1, 2)), psi.mean(axis=2), psi.mean(axis=1)
    s10 = (v10 - areas[:, None]) @ (v10 - areas[:, None]).T / (m - 1)
    s01 = (v01 - areas[:, None]) @ (v01 - areas[:, None]).T / (n - 1)
    return areas, s10 / m + s01 / n


def sample(seed: int, n: int = 40, signal: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Targets with two scores that have noise in common, and ties."""
    generator = np.random.default_rng(seed)
    targets = (generator.random(n) < 0.4).astype(np.int64)
    targets[:4] = 0, 0, 1, 1
    shared = generator.normal(size=n)
    return targets, np.round(signal * targets + shared + generator.normal(size=(2, n)), 1)


@pytest.mark.parametrize("seed", range(5))
def test_areas_and_covariance_are_those_of_the_definition(seed: int) -> None:
    targets, scores = sample(seed)
    areas, covariance = auc_covariance(targets, scores)
    expected_areas, expected = by_definition(targets, scores)
    np.testing.assert_allclose(areas, expected_areas, rtol=1e-12)
    np.testing.assert_allclose(covariance, expected, rtol=1e-9)
    assert areas[0] == pytest.approx(roc_auc(targets, scores[0]))


def test_a_difference_has_the_variance_of_the_covariance() -> None:
    targets, (first, second) = sample(3)
    found = delong(targets, first[None], second[None], [np.zeros(len(targets), np.int64)])
    areas, covariance = by_definition(targets, np.stack([first, second]))
    assert found.difference == pytest.approx(areas[0] - areas[1])
    assert found.variance == pytest.approx(covariance[0, 0] + covariance[1, 1] - 2 * covariance[0, 1])
    back = delong(targets, second[None], first[None], [np.zeros(len(targets), np.int64)])
    assert (back.difference, back.p) == (pytest.approx(-found.difference), pytest.approx(found.p))


def test_p_is_that_of_the_normal_distribution() -> None:
    from scipy.stats import norm

    targets, (first, second) = sample(8)
    found = delong(targets, first[None], second[None], [np.zeros(len(targets), np.int64)])
    assert found.p == pytest.approx(2 * norm.sf(abs(found.difference) / np.sqrt(found.variance)))


def test_scores_that_rank_alike_do_not_differ() -> None:
    targets, (first, _) = sample(2)
    found = delong(targets, first[None], np.exp(first)[None], [np.zeros(len(targets), np.int64)])
    assert (found.difference, found.variance, found.p) == (0, 0, 1)


def test_folds_are_compared_one_by_one() -> None:
    """Another head's scores in one fold, all higher, change nothing."""
    targets, (first, second) = sample(4, n=60)
    folds = np.arange(60) % 2
    moved = first + 100 * folds
    found, same = (delong(targets, scores[None], second[None], [folds]) for scores in (first, moved))
    assert found == same
    parts = [by_definition(targets[folds == k], np.stack([first, second])[:, folds == k]) for k in (0, 1)]
    weights = [float((targets[folds == k] == 1).sum() * (targets[folds == k] == 0).sum()) for k in (0, 1)]
    variance = (
        sum(w**2 * (c[0, 0] + c[1, 1] - 2 * c[0, 1]) for w, (_, c) in zip(weights, parts, strict=True))
        / sum(weights) ** 2
    )
    assert found.variance == pytest.approx(variance)


def test_repeats_are_taken_to_move_together() -> None:
    targets, (first, second) = sample(5)
    fold = np.zeros(len(targets), np.int64)
    once = delong(targets, first[None], second[None], [fold])
    thrice = delong(targets, np.stack([first] * 3), np.stack([second] * 3), [fold] * 3)
    assert (thrice.difference, thrice.p) == (pytest.approx(once.difference), pytest.approx(once.p))


def test_a_fold_with_one_unit_of_an_answer_is_left_out_and_of_nothing_nothing_is_said() -> None:
    targets = np.array([0, 0, 1, 1, 0, 0, 1])
    scores = np.arange(7.0)[None]
    folds = np.array([0, 0, 0, 0, 1, 1, 1])
    whole = delong(targets[:4], scores[:, :4], -scores[:, :4], [folds[:4]])
    assert delong(targets, scores, -scores, [folds]) == whole
    nothing = delong(targets[4:], scores[:, 4:], -scores[:, 4:], [folds[4:]])
    assert np.isnan([nothing.difference, nothing.p]).all()
    assert np.isnan(delong(targets, scores[:0], scores[:0], []).p)
    with pytest.raises(ValueError, match="two units"):
        auc_covariance(targets[4:], scores[:, 4:])


def test_of_independent_units_one_in_twenty_true_nulls_is_below_0_05() -> None:
    n_below = 0
    for seed in range(400):
        targets, (first, second) = sample(1000 + seed, n=120)
        n_below += delong(targets, first[None], second[None], [np.zeros(120, np.int64)]).p < 0.05
    assert 8 <= n_below <= 34
