"""How the MLP head is trained: a penalty in place of stopping, so that nothing has to be held out.

The network answers with the mean log odds of several small members, each of which has a linear part beside its hidden units.
Its weights are the likeliest ones under normal priors (MacKay 1992, doi 10.1162/neco.1992.4.3.448), found by L-BFGS from
random beginnings; members differ by those alone (Lakshminarayanan, Pritzel and Blundell 2017, arXiv 1612.01474).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.heads.likeliest import Values, base_rate_log_odds, lowest

LEAST_GAIN, LEAST_GRADIENT = 1e-6, 1e-5
"""Of the objective: the search ends below either; rounding of float32 rows is far below."""
BLOCK_ROWS = 4096
"""Rows that are looked at together: what is computed of them stays in the processor's cache."""
FIRST_OUTPUT = 0.3
"""Output weights begin at this part of what their prior expects: the members begin near the linear answer."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Of members whose log odds are averaged, or of what they add up to, which is one member.

    :param linear: ``(n_features, n_members)``.
    :param hidden: ``(n_features, n_members, n_units)``; ``hidden_bias`` is ``(n_members, n_units)``.
    :param output: ``(n_members, n_units)``; ``bias`` is ``(n_members,)``.
    """

    linear: Values
    hidden: Values
    hidden_bias: Values
    output: Values
    bias: Values

    def flat(self) -> Values:
        """All weights end to end."""
        parts = (self.linear, self.hidden, self.hidden_bias, self.output, self.bias)
        return np.concatenate([part.ravel() for part in parts])

    def unflattened(self, values: Values) -> Weights:
        """Weights of the same shapes, from their values end to end."""
        parts, begin = [], 0
        for part in (self.linear, self.hidden, self.hidden_bias, self.output, self.bias):
            parts.append(values[begin : begin + part.size].reshape(part.shape))
            begin += part.size
        return Weights(*parts)

    def averaged(self) -> Weights:
        """One member with the hidden units of all, whose log odds are the mean of theirs."""
        n_features, n_members, n_units = self.hidden.shape
        return Weights(
            self.linear.mean(axis=1, keepdims=True),
            self.hidden.reshape(n_features, 1, n_members * n_units),
            self.hidden_bias.reshape(1, -1),
            self.output.reshape(1, -1) / n_members,
            self.bias.mean(keepdims=True),
        )


@dataclass(frozen=True, slots=True)
class Prior:
    """What the log odds are expected to be before any label is seen, for independent features of variance 1.

    :param linear_variance: of the linear part.
    :param unit_variance: of what one hidden unit adds. Of a rectified unit only the product of its two layers' weights
        matters, so this one figure sets the priors of both. It is a price: a unit that explains too little for it ends at
        nothing, so that more units do not make the answer wilder.
    """

    linear_variance: float
    unit_variance: float

    def precisions(self, n_features: int) -> tuple[float, float, float]:
        """One over the variance of each linear, hidden and output weight.

        A unit's input has variance 1; rectified, half of its mean square is left.
        """
        return n_features / self.linear_variance, float(n_features), 1 / (2 * self.unit_variance)


def fit_network(
    rows: NDArray[np.floating],
    targets: NDArray[np.int64],
    row_weights: Values,
    prior: Prior,
    n_members: int,
    n_units: int,
    max_steps: int,
    generator: np.random.Generator,
) -> Weights:
    """The likeliest weights of each member, put together as one.

    :param rows: ``(n, n_features)`` standardised; they decide the precision that products are taken in.
    :param targets: ``(n,)`` 0 or 1.
    :param row_weights: ``(n,)`` of mean 1.
    :param n_units: of each member.
    """
    n_rows, n_features = rows.shape
    basis = None
    if n_rows < n_features:
        # The likeliest weights lie in the span of the rows, as a penalty of squares does not mind how features are turned:
        # in that span the search has fewer dimensions, and ends at the same weights.
        basis, turned = np.linalg.qr(rows.T.astype(np.float64))
        rows = turned.T
    precisions = prior.precisions(n_features)
    first = _first_weights(rows.shape[1], precisions, n_members, n_units, targets, row_weights, generator)
    objective = _Objective(rows, targets, row_weights, precisions, first)
    found = lowest(objective, first.flat(), max_steps, LEAST_GAIN, LEAST_GRADIENT)
    weights = first.unflattened(found).averaged()
    if basis is None:
        return weights
    hidden = (basis @ weights.hidden[:, 0])[:, np.newaxis]
    return Weights(basis @ weights.linear, hidden, weights.hidden_bias, weights.output, weights.bias)


def _first_weights(
    n_features: int,
    precisions: tuple[float, float, float],
    n_members: int,
    n_units: int,
    targets: NDArray[np.int64],
    row_weights: Values,
    generator: np.random.Generator,
) -> Weights:
    """Hidden weights as their prior has them, no linear part, and the base rate."""
    _, of_hidden, of_output = precisions
    return Weights(
        linear=np.zeros((n_features, n_members)),
        hidden=generator.normal(scale=of_hidden**-0.5, size=(n_features, n_members, n_units)),
        hidden_bias=np.zeros((n_members, n_units)),
        output=generator.normal(scale=FIRST_OUTPUT * of_output**-0.5, size=(n_members, n_units)),
        bias=np.full(n_members, base_rate_log_odds(targets, row_weights)),
    )


class _Objective:
    """Minus the log of all members' posteriors, a row, with its gradient."""

    def __init__(
        self,
        rows: NDArray[np.floating],
        targets: NDArray[np.int64],
        row_weights: Values,
        precisions: tuple[float, float, float],
        shapes: Weights,
    ) -> None:
        self._rows = rows
        self._sign = np.where(targets == 1, 1.0, -1.0)[:, np.newaxis]
        self._row_weights = row_weights[:, np.newaxis]
        self._precisions = precisions
        self._shapes = shapes

    def __call__(self, values: Values) -> tuple[float, Values]:
        """The objective and its gradient at weights that lie end to end."""
        at, n_rows = self._shapes.unflattened(values), len(self._rows)
        of_linear, of_hidden, of_output = self._precisions
        penalty = (
            of_linear * np.square(at.linear).sum()
            + of_hidden * np.square(at.hidden).sum()
            + of_output * np.square(at.output).sum()
        )
        objective = 0.5 * float(penalty)
        gradient = Weights(
            of_linear * at.linear,
            of_hidden * at.hidden,
            np.zeros_like(at.hidden_bias),
            of_output * at.output,
            np.zeros_like(at.bias),
        )
        for begin in range(0, n_rows, BLOCK_ROWS):
            objective += self._add_block(at, slice(begin, begin + BLOCK_ROWS), gradient)
        return objective / n_rows, gradient.flat() / n_rows

    def _add_block(self, at: Weights, block: slice, gradient: Weights) -> float:
        """The loss of some rows; what they say of the weights is added to the gradient."""
        rows, sign, row_weights = self._rows[block], self._sign[block], self._row_weights[block]
        n_features, n_members, n_units = at.hidden.shape
        inputs = rows @ at.hidden.reshape(n_features, -1).astype(rows.dtype)
        active = np.maximum(inputs.reshape(-1, n_members, n_units) + at.hidden_bias.astype(rows.dtype), 0)
        logits = rows @ at.linear.astype(rows.dtype) + np.einsum("nmu,mu->nm", active, at.output) + at.bias
        margins = sign * logits
        of_logit = -row_weights * sign * np.exp(-np.logaddexp(0.0, margins))
        back = of_logit.astype(rows.dtype)
        of_unit = np.where(active > 0, back[:, :, np.newaxis] * at.output.astype(rows.dtype), 0)
        gradient.linear[...] += rows.T @ back
        gradient.hidden[...] += (rows.T @ of_unit.reshape(len(rows), -1)).reshape(at.hidden.shape)
        gradient.hidden_bias[...] += of_unit.sum(axis=0)
        gradient.output[...] += np.einsum("nmu,nm->mu", active, back)
        gradient.bias[...] += of_logit.sum(axis=0)
        return float((row_weights * np.logaddexp(0.0, -margins)).sum())
