"""Novelty: how far an embedding lies from those that a head was trained on.

A head answers whatever it is shown, a heart or a wall too. A Gaussian of the training embeddings tells how unlike them
something is (Lee et al. 2018, arXiv 1807.03888), here a probabilistic PCA (Tipping and Bishop 1999,
doi 10.1111/1467-9868.00196): as patients are fewer than dimensions, only a few directions have a variance of their own and
the rest share one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.tensors import require_shapes, tensors_from_bytes, tensors_to_bytes

LAYOUT = "novelty/1"
FILE_NAME = "novelty.safetensors"
DIMENSIONS = {"mean": 1, "inverse_std": 1, "components": 2, "variances": 1, "residual_variance": 1}

USUAL_SHARE = 0.95
"""Of held-out training units that lie within the limit, where a task does not say how many."""
MAX_COMPONENTS = 32
PATIENTS_PER_COMPONENT = 4
CONSTANT_BELOW = 1e-6
"""A dimension whose spread is below this part of its largest value is rounding noise of float32 (one part in 10^7)."""
RANK_BELOW = 1e-8
"""A direction with less than this part of the largest variance is rounding noise."""
LEAST_VARIANCE = 1e-3
"""In any direction of standardised embeddings. Two patients span one line and leave nothing beside it, which is no evidence
that nothing lies there."""
ORTHONORMAL_WITHIN = 1e-6
BLOCK_ROWS = 4096
"""Rows that are widened to float64 at a time, so that the frames of an archive take no archive of memory."""


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """A Gaussian of the training embeddings.

    :param mean: ``(dim,)``.
    :param inverse_std: ``(dim,)``; 0 for a dimension that never varied in training, which is thereby ignored.
    :param components: ``(k, dim)`` orthonormal directions of standardised embeddings.
    :param variances: ``(k,)`` along them, above 0.
    :param residual_variance: along every other direction, above 0.
    """

    mean: NDArray[np.float64]
    inverse_std: NDArray[np.float64]
    components: NDArray[np.float64]
    variances: NDArray[np.float64]
    residual_variance: float

    def distance(self, embeddings: NDArray[np.floating]) -> NDArray[np.float64]:
        """Mahalanobis distance over the root of the number of dimensions: 1 is typical of the training set.

        :param embeddings: ``(n, dim)``.
        :returns: ``(n,)``, each from its own embedding alone.
        :raises TaskModelError: if the embeddings have another number of dimensions.
        """
        if embeddings.ndim != 2 or embeddings.shape[1] != len(self.mean):
            raise TaskModelError(
                f"novelty was measured on embeddings of shape (n, {len(self.mean)}), and was given {embeddings.shape}"
            )
        distances = np.empty(len(embeddings))
        n_dimensions = np.count_nonzero(self.inverse_std)
        for rows in _blocks(len(embeddings)):
            standard = (embeddings[rows].astype(np.float64) - self.mean) * self.inverse_std
            along = (standard @ self.components.T) ** 2
            # Below 0 by rounding alone, where an embedding lies within the components.
            beside = np.maximum((standard**2).sum(axis=1) - along.sum(axis=1), 0.0)
            squared = (along / self.variances).sum(axis=1) + beside / self.residual_variance
            distances[rows] = np.sqrt(squared / n_dimensions)
        return distances

    def to_bytes(self) -> bytes:
        """The content of ``novelty.safetensors``."""
        return tensors_to_bytes(
            LAYOUT,
            {
                "mean": self.mean,
                "inverse_std": self.inverse_std,
                "components": self.components,
                "variances": self.variances,
                "residual_variance": np.array([self.residual_variance]),
            },
        )

    @classmethod
    def from_bytes(cls, content: bytes, dim: int) -> Self:
        """Read what :meth:`to_bytes` gave.

        :param dim: of the embeddings that it is for.
        :raises TaskModelError: if the content is damaged, for other embeddings, or not a Gaussian.
        """
        tensors = tensors_from_bytes(content, LAYOUT, DIMENSIONS, FILE_NAME)
        variances, components, inverse_std = tensors["variances"], tensors["components"], tensors["inverse_std"]
        n_components = len(variances)
        shapes = {
            "mean": (dim,),
            "inverse_std": (dim,),
            "components": (n_components, dim),
            "residual_variance": (1,),
        }
        require_shapes(tensors, shapes, FILE_NAME)
        _require((variances > 0).all() and (tensors["residual_variance"] > 0).all(), "every variance must be above 0")
        _require((inverse_std >= 0).all() and inverse_std.any(), "'inverse_std' must not be negative, nor 0 throughout")
        _require(n_components <= dim, "there are more components than dimensions")
        _require(n_components <= MAX_COMPONENTS, f"there are more than {MAX_COMPONENTS} components")
        _require((np.abs(components) <= 1 + ORTHONORMAL_WITHIN).all(), "the components must be orthonormal")
        apart = np.abs(components @ components.T - np.eye(n_components))
        _require((apart <= ORTHONORMAL_WITHIN).all(), "the components must be orthonormal")
        return cls(tensors["mean"], inverse_std, components, variances, float(tensors["residual_variance"][0]))


def fit_novelty(embeddings: NDArray[np.floating], groups: NDArray[np.str_]) -> Novelty:
    """Measure the training embeddings; the order of the rows changes nothing but rounding.

    Each patient counts alike, however many rows there are of one. At most 32 components, and at most one for four
    patients: a direction's variance is not known from fewer.

    :param embeddings: ``(n, dim)``, finite.
    :param groups: ``(n,)`` patient keys.
    :raises TrainingRefusedError: if an embedding is not finite, or all are alike.
    """
    n_rows = len(embeddings)
    if embeddings.ndim != 2 or n_rows != len(groups):
        raise ValueError(f"embeddings of shape {embeddings.shape} and {len(groups)} patient keys")
    if n_rows == 0 or not np.isfinite(embeddings).all():
        raise TrainingRefusedError("novelty needs embeddings, and finite ones")
    patients, patient_of_row = np.unique(groups, return_inverse=True)
    weights = 1 / np.bincount(patient_of_row)[patient_of_row] / len(patients)
    mean = np.sum([weights[rows] @ embeddings[rows] for rows in _blocks(n_rows)], axis=0)
    variance = np.sum([weights[rows] @ (embeddings[rows] - mean) ** 2 for rows in _blocks(n_rows)], axis=0)
    std, largest = np.sqrt(variance), np.abs(embeddings).max(axis=0)
    varies = std > CONSTANT_BELOW * largest
    if not varies.any():
        raise TrainingRefusedError("the training embeddings are all alike: nothing can be said of how far another lies")
    inverse_std = np.divide(1.0, std, out=np.zeros_like(std), where=varies)
    n_wanted = max(1, min(MAX_COMPONENTS, len(patients) // PATIENTS_PER_COMPONENT))
    components, variances = _principal_components(embeddings, weights, mean, inverse_std, n_wanted)
    n_dimensions = int(varies.sum())
    # Standardised dimensions have a variance of 1 each, and what the components do not take is left.
    residual = (n_dimensions - variances.sum()) / max(n_dimensions - len(variances), 1)
    residual = max(float(residual), LEAST_VARIANCE)
    return Novelty(mean, inverse_std, components, np.maximum(variances, residual), residual)


def familiar_limit(distances: NDArray[np.float64], familiar: float) -> float:
    """The distance up to which an embedding counts as familiar: the least that lets the asked share of units pass.

    :param distances: ``(n,)`` of training units, each measured by a :class:`Novelty` fitted on *other* patients. Where
        patients are fewer than dimensions the Gaussian bends to those it was fitted on, and their own distances are too
        small: a limit taken from them would call many a new patient unfamiliar who is like all others.
    :param familiar: share of the units, above 0 and at most 1.
    :raises TrainingRefusedError: if there is no distance, or one is not finite.
    """
    if len(distances) == 0 or not np.isfinite(distances).all():
        raise TrainingRefusedError("a limit of familiarity needs distances, and finite ones")
    return float(np.quantile(distances, familiar, method="inverted_cdf"))


def _principal_components(
    embeddings: NDArray[np.floating],
    weights: NDArray[np.float64],
    mean: NDArray[np.float64],
    inverse_std: NDArray[np.float64],
    n_wanted: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Directions of most variance ``(k, dim)`` and the variances ``(k,)``, falling; fewer where there are no more."""
    from scipy.linalg import eigh

    def scaled(rows: slice) -> NDArray[np.float64]:
        standard = (embeddings[rows] - mean) * inverse_std
        return np.asarray(standard * np.sqrt(weights[rows])[:, None], np.float64)

    n_rows, dim = embeddings.shape
    few = n_rows <= dim  # then the products of rows hold the same variances in a smaller matrix
    if few:
        every = scaled(slice(0, n_rows))
        products = every @ every.T
    else:
        products = np.zeros((dim, dim))
        for rows in _blocks(n_rows):
            block = scaled(rows)
            products += block.T @ block
    size = len(products)
    variances, vectors = eigh(products, subset_by_index=[max(size - n_wanted, 0), size - 1])
    variances, vectors = variances[::-1], vectors[:, ::-1]
    kept = variances > RANK_BELOW * variances[0]
    variances, vectors = variances[kept], vectors[:, kept]
    directions = every.T @ vectors if few else vectors
    # Orthonormal to the last digit, and with signs that do not hang on the library: the largest entry is positive.
    directions, _ = np.linalg.qr(directions)
    signs = np.sign(directions[np.abs(directions).argmax(axis=0), np.arange(directions.shape[1])])
    return np.ascontiguousarray((directions * signs).T), np.ascontiguousarray(variances)


def _blocks(n_rows: int) -> Iterator[slice]:
    return (slice(start, start + BLOCK_ROWS) for start in range(0, n_rows, BLOCK_ROWS))


def _require(holds: bool | np.bool_, what: str) -> None:
    if not holds:
        raise TaskModelError(f"{FILE_NAME}: {what}")
