"""Whether pretraining goes well: have the embeddings collapsed, and do neighbours share a finding?"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.errors import UsageError

COLLAPSED_STD = 0.1
"""Below it, embeddings are the same vector but for a tenth of what evenly spread ones would vary: the cosine of two is above
0.99 on average."""
COLLAPSED_RANK = 3.0
"""Below it, embeddings lie on little more than a plane; or below a quarter of their dimension, where that is less."""
PROBE_FOLDS = 5
SIMILARITY_ROWS = 1024
"""Rows of the similarity matrix that are in memory at a time."""


def embedding_std(embeddings: torch.Tensor) -> float:
    """How widely directions are spread: mean standard deviation of the components of l2-normalised embeddings, times
    the root of their number (Chen & He 2021, section 4.1).

    :param embeddings: ``(n, d)``, two or more.
    :return: 1 where all directions are alike, 0 where there is one.
    """
    _require_rows(embeddings)
    unit = torch.nn.functional.normalize(embeddings.detach().to(torch.float64), dim=1)
    return float(unit.std(dim=0, unbiased=False).mean() * unit.shape[1] ** 0.5)


def effective_rank(embeddings: torch.Tensor) -> float:
    """How many directions are in use: exponential of the entropy of the singular values, scaled to sum 1
    (Roy & Vetterli 2007); of embeddings it is RankMe (Garrido et al. 2023).

    :param embeddings: ``(n, d)``, two or more; not centred, as in RankMe.
    :return: from 1 to the smaller of n and d; 0 if all are 0.
    """
    _require_rows(embeddings)
    values = torch.linalg.svdvals(embeddings.detach().to(torch.float64))
    total = values.sum()
    if not total > 0:
        return 0.0
    shares = values / total
    return float(torch.special.entr(shares).sum().exp())


def is_collapsed(std: float, rank: float, dim: int) -> bool:
    """Whether embeddings say the same of every frame, or almost.

    :param std: as :func:`embedding_std` gives it; collapsed below :data:`COLLAPSED_STD`, or not finite.
    :param rank: as :func:`effective_rank` gives it; collapsed below :data:`COLLAPSED_RANK` (a quarter of ``dim`` where that
        is less), or not finite.
    :param dim: length of an embedding.
    """
    return not (std >= COLLAPSED_STD and rank >= min(COLLAPSED_RANK, max(1.0, dim / 4)))


def knn_probe(
    embeddings: NDArray[np.floating], targets: NDArray[np.bool_], groups: NDArray[np.generic], k: int = 20
) -> float:
    """Whether an embedding's nearest neighbours of other patients share its finding: area under the ROC curve.

    A score is the share of positives among the k most similar embeddings (by cosine) of patients in other folds. The area is
    judged within each fold, whose embeddings all have the same neighbours to choose from, and averaged over folds by their
    pairs of a positive and a negative. Scores of leave-one-out could not be compared: whoever's own patient is positive has
    fewer positives left to find, and embeddings without any meaning would read below 0.5.

    :param embeddings: ``(n, d)``.
    :param targets: ``(n,)`` whether each has the finding.
    :param groups: ``(n,)`` whose each is; a patient is in one fold, and patients with the finding are spread over the folds.
    :param k: neighbours; all in other folds where there are fewer.
    :return: the area; NaN where no fold has both classes, or there is one patient.
    :raises UsageError: if lengths disagree.
    """
    n = len(embeddings)
    if embeddings.ndim != 2 or targets.shape != (n,) or groups.shape != (n,) or k < 1:
        raise UsageError("a probe needs embeddings (n, d), targets (n,), groups (n,) and one neighbour or more")
    positive = targets.astype(bool)
    fold = _folds(positive, groups)
    vectors = embeddings.astype(np.float32)
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.finfo(np.float32).tiny)
    areas, n_pairs = [0.0], [0]
    for number in range(PROBE_FOLDS):
        judged, others = fold == number, fold != number
        n_positive = int(positive[judged].sum())
        pairs = n_positive * (int(judged.sum()) - n_positive)
        if pairs and others.any():
            scores = _share_among_nearest(unit[judged], unit[others], positive[others], k)
            areas.append(_area_under_roc(scores, positive[judged]))
            n_pairs.append(pairs)
    return float(np.average(areas, weights=n_pairs)) if any(n_pairs) else float("nan")


def _folds(positive: NDArray[np.bool_], groups: NDArray[np.generic]) -> NDArray[np.int64]:
    """``(n,)`` fold of each; patients are dealt in order of their share of positives."""
    group = np.unique(groups, return_inverse=True)[1].reshape(len(groups))
    shares = np.bincount(group, weights=positive) / np.bincount(group)
    fold_of_group = np.empty(len(shares), np.int64)
    fold_of_group[np.argsort(shares, kind="stable")] = np.arange(len(shares)) % PROBE_FOLDS
    fold: NDArray[np.int64] = fold_of_group[group]
    return fold


def _share_among_nearest(
    unit: NDArray[np.float32], others: NDArray[np.float32], positive: NDArray[np.bool_], k: int
) -> NDArray[np.float64]:
    """Positives among each one's k nearest others, ``(n,)``."""
    k = min(k, len(others))
    shares = np.empty(len(unit))
    for start in range(0, len(unit), SIMILARITY_ROWS):
        rows = slice(start, start + SIMILARITY_ROWS)
        nearest = np.argpartition(-(unit[rows] @ others.T), k - 1, axis=1)[:, :k]
        shares[rows] = positive[nearest].mean(axis=1)
    return shares


def _area_under_roc(scores: NDArray[np.float64], targets: NDArray[np.bool_]) -> float:
    """By ranks (Mann & Whitney 1947); equal scores share theirs."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    mean_rank = np.cumsum(counts) - (counts - 1) / 2
    n_positive = int(targets.sum())
    n_negative = len(targets) - n_positive
    rank_sum = mean_rank[place.reshape(len(scores))][targets].sum()
    return float((rank_sum - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))


def _require_rows(embeddings: torch.Tensor) -> None:
    if embeddings.ndim != 2 or len(embeddings) < 2:
        raise UsageError(f"a spread needs two embeddings (n, d) or more, not {tuple(embeddings.shape)}")
