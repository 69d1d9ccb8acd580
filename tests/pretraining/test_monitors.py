"""Collapse is called collapse, spread is not, and a probe sees findings but not patients."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lusfx.errors import UsageError  # noqa: E402
from lusfx.pretraining.monitors import (  # noqa: E402
    PROBE_FOLDS,
    effective_rank,
    embedding_std,
    is_collapsed,
    knn_probe,
)


def normal(n: int, dim: int, seed: int = 0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(size=(n, dim))).float()


def test_spread_of_even_and_of_equal_directions() -> None:
    assert embedding_std(normal(2000, 32)) == pytest.approx(1, abs=0.02)
    assert embedding_std(1e-6 * normal(2000, 32)) == pytest.approx(1, abs=0.02)  # length does not matter
    assert embedding_std(torch.ones(10, 32) * torch.arange(1, 11)[:, None]) == pytest.approx(0, abs=1e-6)
    two = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    assert embedding_std(two) == pytest.approx(0.5 * 2**0.5)


def test_rank_counts_directions() -> None:
    assert effective_rank(torch.eye(6)) == pytest.approx(6)
    assert effective_rank(normal(100, 1) @ normal(1, 32)) == pytest.approx(1, abs=1e-4)
    assert effective_rank(normal(500, 4) @ normal(4, 32)) == pytest.approx(4, abs=0.3)
    assert effective_rank(torch.zeros(4, 3)) == 0
    singular = np.array([3.0, 1.0])
    shares = singular / singular.sum()
    assert effective_rank(torch.diag(torch.from_numpy(singular))) == pytest.approx(
        np.exp(-(shares * np.log(shares)).sum())
    )


def test_collapse_is_told_from_health() -> None:
    def collapsed(embeddings: torch.Tensor) -> bool:
        return is_collapsed(embedding_std(embeddings), effective_rank(embeddings), embeddings.shape[1])

    assert not collapsed(normal(300, 64))
    assert not collapsed(normal(300, 64).relu() + 0.5)  # a common direction, as after ReLU
    assert collapsed(torch.ones(300, 64))
    assert collapsed(torch.ones(300, 64) + 0.05 * normal(300, 64))  # the same vector, and noise
    assert collapsed(normal(300, 2) @ normal(2, 64))  # on a plane
    assert collapsed(torch.zeros(300, 64))
    assert not collapsed(normal(300, 2))  # two dimensions are all there is
    assert is_collapsed(float("nan"), 10.0, 64)
    assert is_collapsed(1.0, float("nan"), 64)


def test_spread_of_one_embedding_is_refused() -> None:
    for measure in (embedding_std, effective_rank):
        for wrong in (torch.ones(1, 8), torch.ones(8)):
            with pytest.raises(UsageError, match="two embeddings"):
                measure(wrong)


def patients(n: int, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Groups and targets ``(n * each,)``; every other patient has the finding in all clips."""
    groups = np.repeat(np.arange(n), each)
    return groups, groups % 2 == 0


def test_probe_sees_a_finding() -> None:
    groups, targets = patients(20, 5)
    embeddings = np.random.default_rng(0).normal(size=(100, 8))
    embeddings[:, 0] += np.where(targets, 4, -4)
    assert knn_probe(embeddings, targets, groups, k=5) > 0.98
    assert knn_probe(-embeddings * 7, targets, groups.astype(str), k=5) > 0.98


def test_probe_does_not_see_patients() -> None:
    """Embeddings that tell who it is and nothing else: a neighbour of the same patient would tell the finding."""
    groups, targets = patients(30, 6)
    areas = []
    for seed in range(20):
        generator = np.random.default_rng(seed)
        embeddings = generator.normal(size=(30, 16))[groups] + 0.01 * generator.normal(size=(180, 16))
        areas.append(knn_probe(embeddings, targets, groups, k=12))
    assert np.mean(areas) == pytest.approx(0.5, abs=0.06)
    clips_as_patients = np.random.default_rng(0).permutation(180)
    assert knn_probe(embeddings, targets, clips_as_patients, k=3) > 0.95


def test_probe_of_noise_is_chance_however_few_patients() -> None:
    groups, targets = patients(10, 10)
    areas = [knn_probe(np.random.default_rng(seed).normal(size=(100, 8)), targets, groups, k=20) for seed in range(60)]
    assert np.mean(areas) == pytest.approx(0.5, abs=0.025)


def test_probe_is_that_of_scikit_learn_within_folds() -> None:
    from sklearn.metrics import roc_auc_score
    from sklearn.neighbors import NearestNeighbors

    generator = np.random.default_rng(0)
    targets = np.arange(60) >= 35  # in order, so that patients are dealt in order
    embeddings = generator.normal(size=(60, 3)) + targets[:, None]
    fold = np.arange(60) % PROBE_FOLDS
    areas = []
    for number in range(PROBE_FOLDS):
        judged, others = fold == number, fold != number
        nearest = NearestNeighbors(n_neighbors=7, metric="cosine").fit(embeddings[others])
        scores = targets[others][nearest.kneighbors(embeddings[judged], return_distance=False)].mean(axis=1)
        areas.append(roc_auc_score(targets[judged], scores))
    assert knn_probe(embeddings, targets, np.arange(60), k=7) == pytest.approx(np.mean(areas))


def test_probe_without_an_answer() -> None:
    embeddings = np.eye(4)
    targets, groups = np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    assert np.isnan(knn_probe(embeddings, np.ones(4, bool), groups))
    assert np.isnan(knn_probe(embeddings, targets, np.zeros(4, int)))
    assert 0 <= knn_probe(embeddings, targets, groups, k=50) <= 1
    for wrong in (
        (embeddings, targets[:3], groups),
        (embeddings, targets, groups[:3]),
        (embeddings[0], targets, groups),
    ):
        with pytest.raises(UsageError, match="probe"):
            knn_probe(*wrong)
