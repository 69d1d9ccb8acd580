"""The attention head finds the row that says something, and says which it was."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lusfx.contracts import Bags, TrainingSet
from lusfx.errors import TaskModelError
from lusfx.heads import standardiser
from lusfx.heads.attention import LAYOUT, AttentionHead, AttentionHeadSpec, AttentionSettings
from lusfx.heads.gated_attention import Sizes
from lusfx.heads.head_file import TENSOR_FILE
from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.heads.standardiser import Standardiser
from lusfx.tensors import tensors_from_bytes, tensors_to_bytes

SPEC = AttentionHeadSpec()
N_FEATURES = 12


def one_row_tells(n_bags: int = 400, seed: int = 0) -> tuple[TrainingSet, np.ndarray]:
    """Bags of 1 to 20 rows; in those of class 1 a single row lies elsewhere. Its number in the bag is told beside."""
    generator = np.random.default_rng(seed)
    targets = generator.integers(2, size=n_bags)
    bags = [generator.normal(size=(generator.integers(1, 21), N_FEATURES)) for _ in range(n_bags)]
    witness = np.array([generator.integers(len(bag)) for bag in bags])
    for bag, row, target in zip(bags, witness, targets, strict=True):
        bag[row, :3] += 3.0 * target
    groups = np.array([f"p-{number // 4}" for number in range(n_bags)])
    return TrainingSet(Bags.of([(5 + bag).astype(np.float32) for bag in bags]), targets, groups), witness


@pytest.fixture(scope="module")
def head() -> AttentionHead:
    return SPEC.fit(one_row_tells()[0], AttentionSettings(), seed=0)


@pytest.fixture(scope="module")
def random_head() -> AttentionHead:
    """Weights that no training would give: large, and all of them at work."""
    generator = np.random.default_rng(0)
    shapes = Sizes(members=3, features=N_FEATURES, hidden=8, attention=4).shapes
    tensors = {name: generator.normal(size=shape) for name, shape in shapes.items()}
    return AttentionHead(Standardiser(np.full(N_FEATURES, 5.0), np.ones(N_FEATURES)), tensors)


def by_the_paper(head: AttentionHead, bag: np.ndarray) -> tuple[np.ndarray, float]:
    """Attention weights and log odds, in the order of equations 8 and 9: the rows are pooled, then the bag classified.

    Network by network, of which the mean is taken; the pooled rows have a linear part beside the pooled hidden units.
    """
    rows, all_weights, all_log_odds = head._standardiser(bag), [], []
    for member in range(3):
        part = {name: tensor[member] for name, tensor in head._tensors.items()}
        hidden = np.maximum(rows @ part["projection_weight"] + part["projection_bias"], 0)
        gate = 1 / (1 + np.exp(-(hidden @ part["gate_weight"] + part["gate_bias"])))
        scores = (np.tanh(hidden @ part["tanh_weight"] + part["tanh_bias"]) * gate) @ part["score_weight"]
        weights = np.exp(scores) / np.exp(scores).sum()
        pooled = (weights @ hidden) @ part["output_weight"] + (weights @ rows) @ part["linear_weight"]
        all_weights.append(weights)
        all_log_odds.append(pooled + part["output_bias"])
    return np.mean(all_weights, axis=0), float(np.mean(all_log_odds))


def test_finds_the_one_row_that_mean_pooling_drowns(head: AttentionHead, ranked_above) -> None:
    training, _ = one_row_tells()
    unseen, _ = one_row_tells(seed=1)

    def pooled(bags: Bags) -> np.ndarray:
        return np.stack([bags[number].mean(axis=0) for number in range(len(bags))])

    logistic = LogisticHeadSpec().fit(replace(training, features=pooled(training.features)), LogisticSettings(), 0)
    by_mean = ranked_above(logistic.predict_proba(pooled(unseen.features))[:, 1], unseen.targets)
    by_attention = ranked_above(head.predict_proba(unseen.features)[:, 1], unseen.targets)
    assert by_attention > 0.95
    assert by_attention > by_mean + 0.05


def test_looks_at_the_row_that_tells(head: AttentionHead) -> None:
    unseen, witness = one_row_tells(seed=1)
    found = []
    for number in np.flatnonzero(unseen.targets):
        bag = unseen.features[number]
        weights = head.attention_weights(bag)
        assert weights.shape == (len(bag),)
        assert weights.sum() == pytest.approx(1)
        assert (weights > 0).all()
        found.append(weights.argmax() == witness[number])
    assert np.mean(found) > 0.9


def test_is_the_network_of_the_paper(random_head: AttentionHead) -> None:
    training, _ = one_row_tells(n_bags=60)
    probabilities = random_head.predict_proba(training.features)[:, 1]
    for number, probability in enumerate(probabilities):
        weights, log_odds = by_the_paper(random_head, training.features[number])
        np.testing.assert_allclose(random_head.attention_weights(training.features[number]), weights, rtol=1e-12)
        assert probability == pytest.approx(1 / (1 + np.exp(-log_odds)), rel=1e-12)


def test_a_bag_of_one_row_has_all_the_attention(head: AttentionHead) -> None:
    bag = np.full((1, N_FEATURES), 6, dtype=np.float32)
    assert head.attention_weights(bag).tolist() == [1.0]
    assert head.predict_proba(Bags.of([bag])).shape == (1, 2)


def test_the_order_and_the_number_of_equal_rows_change_nothing(head: AttentionHead) -> None:
    bag = one_row_tells(seed=2)[0].features[0]
    probabilities = head.predict_proba(Bags.of([bag, bag[::-1], np.repeat(bag, 7, axis=0)]))[:, 1]
    np.testing.assert_allclose(probabilities, probabilities[0], rtol=0, atol=1e-12)


def test_scores_far_apart_do_not_overflow(random_head: AttentionHead) -> None:
    tensors = {**random_head._tensors, "score_weight": np.full((3, 4), 1e5)}
    head = AttentionHead(random_head._standardiser, tensors)
    features = one_row_tells(seed=3)[0].features
    assert np.isfinite(head.predict_proba(features)).all()
    assert head.attention_weights(features[0]).sum() == pytest.approx(1)


def test_bags_may_cross_blocks_and_be_larger_than_one(
    random_head: AttentionHead, monkeypatch: pytest.MonkeyPatch
) -> None:
    features = one_row_tells(n_bags=50, seed=4)[0].features
    expected = random_head.predict_proba(features)
    monkeypatch.setattr(standardiser, "SCORED_ROWS", 7)
    np.testing.assert_allclose(random_head.predict_proba(features), expected, rtol=0, atol=1e-12)


def test_a_large_bag_is_never_widened_as_a_whole(random_head: AttentionHead) -> None:
    import tracemalloc

    rows = np.full((100_000, N_FEATURES), 5, dtype=np.float16)
    bags = Bags(rows, np.array([0, 99_999, 100_000]))
    tracemalloc.start()
    try:
        random_head.predict_proba(bags)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # Two numbers a network are kept of a row, some at once; the hidden units alone would be as many again and more.
    assert peak < len(rows) * 3 * 8 * 8


def test_rows_in_half_precision_are_taken(head: AttentionHead) -> None:
    features = one_row_tells(seed=5)[0].features
    half = Bags(features.rows.astype(np.float16), features.starts)
    np.testing.assert_allclose(head.predict_proba(half), head.predict_proba(features), atol=0.02)


def test_a_bag_that_is_no_matrix_is_refused(head: AttentionHead) -> None:
    for bag in (np.ones((3, N_FEATURES - 1)), np.ones(N_FEATURES), np.ones((0, N_FEATURES))):
        with pytest.raises(TaskModelError):
            head.attention_weights(bag)


def test_one_patient_of_each_answer_is_enough() -> None:
    """Nothing is held out, so that nobody is needed to hold out."""
    training, _ = one_row_tells(n_bags=12)
    groups = np.where(training.targets == 1, "p-1", "p-0")
    probabilities = SPEC.fit(replace(training, groups=groups), AttentionSettings(), 0).predict_proba(training.features)
    assert np.ptp(probabilities[:, 1]) > 0.1


def test_where_the_hidden_units_are_shrunk_away_logistic_regression_is_left() -> None:
    training, _ = one_row_tells(n_bags=60)
    settings = AttentionSettings(hidden_logit_variance=0.05, activation_variance=0.05)
    head = SPEC.fit(training, settings, seed=0)
    bag = training.features[int(training.features.sizes.argmax())]
    np.testing.assert_allclose(head.attention_weights(bag), 1 / len(bag), rtol=1e-3)
    scale = head._standardiser
    pooled = np.stack([scale(training.features[number]).mean(axis=0) for number in range(60)]).astype(np.float32)
    # The logistic head scales what it is given once more: a feature of deviation s has s squared of the variance here.
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(C=2.0 / N_FEATURES, max_iter=10_000).fit(pooled, training.targets)
    np.testing.assert_allclose(
        head.predict_proba(training.features)[:, 1], model.predict_proba(pooled)[:, 1], atol=2e-3
    )


@pytest.mark.slow
def test_a_narrower_prior_leaves_smaller_weights() -> None:
    training, _ = one_row_tells(n_bags=30)
    for setting, arrays in (
        ("linear_logit_variance", ["linear_weight"]),
        ("hidden_logit_variance", ["output_weight"]),
        ("activation_variance", ["projection_weight"]),
    ):
        narrow, wide = (SPEC.fit(training, AttentionSettings(**{setting: value}), 0)._tensors for value in (0.02, 20.0))
        for name in arrays:
            assert np.linalg.norm(narrow[name]) < np.linalg.norm(wide[name]), name


def test_a_file_of_the_earlier_layout_is_refused_with_what_to_do(head: AttentionHead) -> None:
    content = head.files()[TENSOR_FILE]
    arrays = tensors_from_bytes(content, LAYOUT, {name: array.ndim for name, array in _arrays(head).items()}, "x")
    earlier = {TENSOR_FILE: tensors_to_bytes("attention/1", arrays)}
    with pytest.raises(TaskModelError, match=r"another version of lusfx.*'attention/2'. Train it again"):
        SPEC.load(earlier)


def _arrays(head: AttentionHead) -> dict[str, np.ndarray]:
    scale = head._standardiser
    return {"mean": scale.mean, "inverse_std": scale.inverse_std, **head._tensors}
