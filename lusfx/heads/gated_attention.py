"""Networks of gated attention pooling, several side by side: what they answer, and how they are fitted.

Gated attention pooling is equation 9 of Ilse, Tomczak and Welling 2018, "Attention-based Deep Multiple Instance Learning",
arXiv 1802.04712. A row's claim has a linear part here beside the hidden units: where these find nothing, logistic regression
is left, and not a network that answers the same whatever it sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Bags
from lusfx.heads.likeliest import base_rate_log_odds, lowest

Array = NDArray[np.float64]

MOST_STEPS = 100
"""Of L-BFGS. Nothing is chosen by it: the penalty is what keeps the networks simple, and small tables need fewer."""
LEAST_GRADIENT, LEAST_GAIN = 1e-4, 1e-7
"""Of the penalised loss a unit: steps end below either, which no score shows."""
MOST_VARIANCE = 2.0
"""Of a unit's input before the first step, however wide its prior is."""
FIRST_OUTPUTS = 0.3
"""Deviation of the hidden units' sum in a claim before the first step: small, and not zero, so that units differ."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """How large the networks are."""

    members: int
    features: int
    hidden: int
    attention: int

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of each array of all networks together, the first axis of each being the networks'."""
        members, hidden, attention = self.members, self.hidden, self.attention
        return {
            "projection_weight": (members, self.features, hidden),
            "projection_bias": (members, hidden),
            "tanh_weight": (members, hidden, attention),
            "tanh_bias": (members, attention),
            "gate_weight": (members, hidden, attention),
            "gate_bias": (members, attention),
            "score_weight": (members, attention),
            "output_weight": (members, hidden),
            "linear_weight": (members, self.features),
            "output_bias": (members,),
        }

    def taken_apart(self, values: Array) -> dict[str, Array]:
        """The arrays by name, of all their values laid end to end."""
        cuts = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])[:-1]
        return {
            name: part.reshape(shape)
            for (name, shape), part in zip(self.shapes.items(), np.split(values, cuts), strict=True)
        }


@dataclass(frozen=True, slots=True)
class Variances:
    """Before any label is seen, for independent features of variance 1: they shrink the weights alike whatever the sizes.

    :param linear: of the linear part of the log odds.
    :param hidden: of the hidden units' part of the log odds, were each unit's variance 1.
    :param activation: of a unit's input, and of a score.
    """

    linear: float
    hidden: float
    activation: float

    def of_weights(self, sizes: Sizes) -> dict[str, float]:
        """The variance of the normal prior of each array's values; biases have none."""
        return {
            "projection_weight": self.activation / sizes.features,
            "tanh_weight": self.activation / sizes.hidden,
            "gate_weight": self.activation / sizes.hidden,
            "score_weight": self.activation / sizes.attention,
            "output_weight": self.hidden / sizes.hidden,
            "linear_weight": self.linear / sizes.features,
        }


@dataclass(frozen=True, slots=True)
class RowAnswers:
    """What the networks make of rows.

    :param hidden: ``(n_rows, members, hidden)``.
    :param branch: ``(members, n_rows, attention)``, and ``gate`` likewise.
    :param scores: ``(n_rows, members)``, whose softmax within a bag is how much a row counts.
    :param claims: ``(n_rows, members)``, about the log odds.
    """

    hidden: Array
    branch: Array
    gate: Array
    scores: Array
    claims: Array


def rows_weight(tensors: Mapping[str, Array]) -> Array:
    """What rows are multiplied by, ``(n_features, members * hidden + members)``: the hidden units' weights, then the linear."""
    projection = tensors["projection_weight"]
    by_feature = projection.transpose(1, 0, 2).reshape(projection.shape[1], -1)
    return np.concatenate([by_feature, tensors["linear_weight"].T], axis=1)


def row_answers(products: Array, tensors: Mapping[str, Array]) -> RowAnswers:
    """The networks' answers about rows.

    :param products: standardised rows times :func:`rows_weight`.
    """
    members, n_hidden = tensors["projection_bias"].shape
    hidden = products[:, : members * n_hidden].reshape(-1, members, n_hidden) + tensors["projection_bias"]
    np.maximum(hidden, 0, out=hidden)
    by_member = hidden.transpose(1, 0, 2)
    branch = np.tanh(by_member @ tensors["tanh_weight"] + tensors["tanh_bias"][:, None])
    gate = by_member @ tensors["gate_weight"] + tensors["gate_bias"][:, None]
    gate = 0.5 + 0.5 * np.tanh(0.5 * gate)  # the logistic function
    scores = ((branch * gate) @ tensors["score_weight"][:, :, None])[:, :, 0].T
    claims = (by_member @ tensors["output_weight"][:, :, None])[:, :, 0].T
    return RowAnswers(hidden, branch, gate, scores, claims + products[:, members * n_hidden :] + tensors["output_bias"])


def softmax(scores: Array, bags: Bags) -> Array:
    """Softmax of scores ``(n_rows, members)`` within each bag; the largest is taken off first, so nothing overflows."""
    begins, sizes = bags.starts[:-1], bags.sizes
    relative = np.exp(scores - np.repeat(np.maximum.reduceat(scores, begins), sizes, axis=0))
    weights: Array = relative / np.repeat(np.add.reduceat(relative, begins), sizes, axis=0)
    return weights


@dataclass(frozen=True, slots=True)
class Objective:
    """The penalised loss of all networks together, a unit; each network has a share of its own, so none knows of the others.

    :param bags: rows standardised, float32: products of many rows take half the time and memory.
    :param targets: ``(n_bags,)`` 0 or 1.
    :param weights: ``(n_bags,)`` of mean 1.
    :param priors: for each array that is shrunk, the variance of its normal prior.
    """

    bags: Bags
    targets: NDArray[np.int64]
    weights: Array
    sizes: Sizes
    priors: Mapping[str, float]

    def __call__(self, values: Array) -> tuple[float, Array]:
        """The loss, and its gradient by each value."""
        tensors = self.sizes.taken_apart(values)
        products = (self.bags.rows @ rows_weight(tensors).astype(np.float32)).astype(np.float64)
        row = row_answers(products, tensors)
        attention = softmax(row.scores, self.bags)
        logits = np.add.reduceat(attention * row.claims, self.bags.starts[:-1])
        signs = (2 * self.targets - 1)[:, None]
        loss = float((self.weights[:, None] * np.logaddexp(0, -signs * logits)).sum())
        by_logit = -signs * self.weights[:, None] * np.exp(-np.logaddexp(0, signs * logits))
        gradients = self._by_array(row, attention, logits, by_logit, tensors)
        for name, variance in self.priors.items():
            loss += float(np.square(tensors[name]).sum()) / (2 * variance)
            gradients[name] = gradients[name] + tensors[name] / variance
        n_units = len(self.targets)
        return loss / n_units, np.concatenate([gradients[name].ravel() for name in tensors]) / n_units

    def _by_array(
        self, row: RowAnswers, attention: Array, logits: Array, by_logit: Array, tensors: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Gradient of the loss without its penalty by each array, from the last layer back to the first."""
        sizes = self.bags.sizes
        by_claim = attention * np.repeat(by_logit, sizes, axis=0)
        by_score = (by_claim * (row.claims - np.repeat(logits, sizes, axis=0))).T[:, :, None]  # through the softmax
        by_product = by_score * tensors["score_weight"][:, None]
        by_branch = by_product * row.gate * (1 - np.square(row.branch))
        by_gate = by_product * row.branch * row.gate * (1 - row.gate)
        of_units = row.hidden.transpose(1, 2, 0)
        by_hidden = by_branch @ tensors["tanh_weight"].transpose(0, 2, 1)
        by_hidden += by_gate @ tensors["gate_weight"].transpose(0, 2, 1)
        by_hidden += by_claim.T[:, :, None] * tensors["output_weight"][:, None]
        by_input = by_hidden.transpose(1, 0, 2) * (row.hidden > 0)
        together = np.concatenate([by_input.reshape(len(by_claim), -1), by_claim], axis=1, dtype=np.float32)
        by_weight = (self.bags.rows.T @ together).astype(np.float64)
        n_inputs = self.sizes.members * self.sizes.hidden
        projection = by_weight[:, :n_inputs].reshape(-1, self.sizes.members, self.sizes.hidden)
        return {
            "projection_weight": projection.transpose(1, 0, 2),
            "projection_bias": by_input.sum(axis=0),
            "tanh_weight": of_units @ by_branch,
            "tanh_bias": by_branch.sum(axis=1),
            "gate_weight": of_units @ by_gate,
            "gate_bias": by_gate.sum(axis=1),
            "score_weight": (row.branch * row.gate * by_score).sum(axis=1),
            "output_weight": (of_units @ by_claim.T[:, :, None])[:, :, 0],
            "linear_weight": by_weight[:, n_inputs:].T,
            "output_bias": by_claim.sum(axis=0),
        }


def fitted(
    bags: Bags,
    targets: NDArray[np.int64],
    weights: Array,
    sizes: Sizes,
    variances: Variances,
    seed: int,
) -> dict[str, Array]:
    """The arrays at which L-BFGS finds a lowest penalised loss, each network from its own random start.

    :param bags: standardised rows, float32.
    :param targets: ``(n_bags,)`` 0 or 1, both among them.
    :param weights: ``(n_bags,)`` of mean 1.
    """
    priors = variances.of_weights(sizes)
    generator = np.random.default_rng(seed)
    start = {name: np.zeros(shape) for name, shape in sizes.shapes.items()}
    for name in ("projection_weight", "tanh_weight", "gate_weight"):
        variance = min(priors[name], MOST_VARIANCE / sizes.shapes[name][1])
        start[name] = generator.normal(size=sizes.shapes[name]) * np.sqrt(variance)
    start["output_weight"] = (
        generator.normal(size=sizes.shapes["output_weight"]) * FIRST_OUTPUTS / np.sqrt(sizes.hidden)
    )
    start["output_bias"] += base_rate_log_odds(targets, weights)
    objective = Objective(bags, targets, weights, sizes, priors)
    first = np.concatenate([values.ravel() for values in start.values()])
    return sizes.taken_apart(lowest(objective, first, MOST_STEPS, LEAST_GAIN, LEAST_GRADIENT))
