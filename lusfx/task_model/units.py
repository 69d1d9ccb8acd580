"""Units: what gets one answer each, as the heads see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Aggregation, Bags, Features, Head
from lusfx.errors import PluginError, TaskModelError

SCORE_DIGITS = 9


@dataclass(frozen=True, slots=True)
class UnitFeatures:
    """Features of ``n`` units of one task.

    :param features: vectors ``(n, n_features)`` float32, or the frames of each unit as a bag.
    :param centres: ``(n, dim)`` float32, the mean embedding of each unit's frames: what novelty is measured on.
    :param durations_s: seconds that each row of each bag lasts, where an aggregation needs them; else None.
    """

    features: Features
    centres: NDArray[np.float32]
    durations_s: Sequence[NDArray[np.float64]] | None = None

    def __len__(self) -> int:
        return len(self.centres)

    def take(self, units: NDArray[np.intp]) -> Self:
        """The named units, in the order given."""
        features = self.features.take(units) if isinstance(self.features, Bags) else self.features[units]
        durations = None if self.durations_s is None else [self.durations_s[unit] for unit in units.tolist()]
        return type(self)(features, self.centres[units], durations)

    @property
    def n_features(self) -> int:
        """Length of a row that a head is given."""
        rows = self.features.rows if isinstance(self.features, Bags) else self.features
        return int(rows.shape[1])

    @property
    def all_finite(self) -> bool:
        """Whether every unit has finite features only."""
        rows = self.features.rows if isinstance(self.features, Bags) else self.features
        return bool(np.isfinite(rows).all())

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which units have finite features only, ``(n,)``."""
        if isinstance(self.features, Bags):
            finite_row = np.isfinite(self.features.rows).all(axis=1)
            return np.asarray(np.logical_and.reduceat(finite_row, self.features.starts[:-1]), np.bool_)
        return np.asarray(np.isfinite(self.features).all(axis=1), np.bool_)


def raw_scores(head: Head, units: UnitFeatures, aggregation: Aggregation | None) -> NDArray[np.float64]:
    """What a head says of units before calibration: ``(n,)`` from 0 to 1.

    :param aggregation: makes a unit's score of its frames' probabilities; None where the head scores units whole.
    :raises TaskModelError: if the head or the aggregation, which may be a plugin's, gives anything else.
    :raises PluginError: if the aggregation fails.
    """
    if aggregation is None:
        scores = head.predict_proba(units.features)[:, 1]
    else:
        if not isinstance(units.features, Bags) or units.durations_s is None:
            raise TypeError("an aggregation needs the frames of each unit and how long they last")
        probabilities = head.predict_proba(units.features.rows)[:, 1]
        edges = units.features.starts.tolist()
        # Sums of the same durations in another order differ in their last digits; equal clips must have equal scores.
        scores = np.round(
            [
                _aggregated(aggregation, probabilities[start:end], durations)
                for start, end, durations in zip(edges[:-1], edges[1:], units.durations_s, strict=True)
            ],
            SCORE_DIGITS,
        )
    if scores.shape != (len(units),) or not ((scores >= 0) & (scores <= 1)).all():
        source = "head" if aggregation is None else f"head with the aggregation {type(aggregation).__name__}"
        raise TaskModelError(f"the {source} gives scores that are not one probability a unit")
    return scores


def _aggregated(
    aggregation: Aggregation, probabilities: NDArray[np.float64], durations_s: NDArray[np.float64]
) -> float:
    """Call an aggregation, which may be a plugin's own, on arrays that it cannot change: other outcomes share them."""
    given = probabilities.view(), durations_s.view()
    for array in given:
        array.flags.writeable = False
    try:
        return float(aggregation(*given))
    except Exception as error:
        raise PluginError(f"the aggregation {type(aggregation).__name__} failed: {type(error).__name__}") from error
