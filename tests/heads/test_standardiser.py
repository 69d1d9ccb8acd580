"""Features on one scale, and log odds as probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.heads.standardiser import BLOCK_ROWS, SCORED_ROWS, Standardiser, in_blocks, two_class_probabilities


def test_constant_features_are_ignored_however_they_are_rounded() -> None:
    generator = np.random.default_rng(0)
    varies = generator.normal(1000, 1, 500)
    features = np.stack([varies, np.full(500, 1 / 3), np.zeros(500), np.full(500, 1e30)], axis=1).astype(np.float32)
    features[::2, 1] = np.nextafter(features[0, 1], np.float32(1))
    for weights in (None, generator.uniform(0.1, 3, size=500)):
        standardiser = Standardiser.of(features, weights)
        assert (standardiser.inverse_std > 0).tolist() == [True, False, False, False]
        assert not standardiser(features)[:, 1:].any()
    scaled = Standardiser.of(features)(features)
    assert scaled[:, 0].mean() == pytest.approx(0, abs=1e-9)
    assert scaled[:, 0].std() == pytest.approx(1)


def test_is_that_of_numpy_over_several_blocks() -> None:
    rows = np.random.default_rng(0).normal(100, 3, size=(2 * BLOCK_ROWS + 7, 3)).astype(np.float32)
    standardiser = Standardiser.of(rows)
    assert standardiser.n_features == 3
    np.testing.assert_allclose(standardiser.mean, rows.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(1 / standardiser.inverse_std, rows.std(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(standardiser.to_float32(rows), standardiser(rows), rtol=1e-6)


def test_a_weight_of_two_is_as_good_as_two_rows() -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(50, 4)).astype(np.float32)
    times = generator.integers(1, 5, size=50)
    repeated = Standardiser.of(np.repeat(rows, times, axis=0))
    for scale in (1.0, 3.7, 1e308 / 5, 1e-300):
        weighted = Standardiser.of(rows, times * scale)
        np.testing.assert_allclose(weighted.mean, repeated.mean, rtol=1e-10)
        np.testing.assert_allclose(weighted.inverse_std, repeated.inverse_std, rtol=1e-10)


def test_half_precision_is_widened() -> None:
    rows = np.full((3000, 1), 60000, dtype=np.float16)  # its sum is far beyond what float16 holds
    rows[::2] = 50000
    standardiser = Standardiser.of(rows)
    assert standardiser.mean[0] == pytest.approx(55000, rel=1e-3)
    assert standardiser(rows).std() == pytest.approx(1)


@pytest.mark.parametrize("n_rows", [0, 1, SCORED_ROWS, SCORED_ROWS + 1])
def test_blocks_leave_out_no_row(n_rows: int) -> None:
    rows = np.arange(n_rows * 2, dtype=np.float32).reshape(n_rows, 2)
    assert np.array_equal(in_blocks(lambda block: block[:, 1] * 2.0, rows), rows[:, 1] * 2.0)
    assert Standardiser(np.zeros(2), np.ones(2)).to_float32(rows).tolist() == rows.tolist()


def test_probabilities_are_exact_near_0_and_1() -> None:
    probabilities = two_class_probabilities(np.array([-1e300, -700.0, 0.0, 700.0, 1e300]))
    assert probabilities[:, 1].tolist() == pytest.approx([0.0, np.exp(-700.0), 0.5, 1.0, 1.0], rel=1e-12)
    assert probabilities[:, 0].tolist() == probabilities[::-1, 1].tolist()


@pytest.mark.parametrize("shape", [(6,), (6, 3)])
def test_folded_into_a_layer_it_gives_what_it_gives_before_it(shape: tuple[int, ...]) -> None:
    generator = np.random.default_rng(0)
    rows = generator.normal(5, 3, size=(20, 6))
    rows[:, 2] = 7.0  # constant, and ignored
    weight, bias = generator.normal(size=shape), generator.normal(size=shape[1:] or 1)
    standardiser = Standardiser.of(rows)
    scaled, offset = standardiser.folded_into(weight, bias)
    np.testing.assert_allclose(rows @ scaled + offset, standardiser(rows) @ weight + bias, atol=1e-12)
    again, _ = standardiser.folded_into(np.asfortranarray(weight), bias)
    assert again.flags.c_contiguous
    np.testing.assert_array_equal(again, scaled)
