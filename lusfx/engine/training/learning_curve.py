"""Learning curve: what the same training reaches with fewer of the patients, and what that says of more of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lusfx.contracts import OperatingPoint
from lusfx.engine.samples.samples import Samples, U
from lusfx.engine.training.cross_validation import CrossValidation, FoldPlace, Learnt, Procedure
from lusfx.engine.training.label_fraction import patients_in_order, rows_of_fraction
from lusfx.engine.training.paired import auc_difference, mean_auc
from lusfx.errors import TrainingRefusedError
from lusfx.metrics import Interval

FRACTIONS = (0.25, 0.5, 0.75)
"""Of each training side's patients, beside all of them."""
HALF = 0.5
MIN_PATIENTS = 2
"""Of either answer, without whom no training side can hold one out."""
LITTLE = 0.02
"""AUC. Less is less than what another draw of folds changes."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """What a share of the training patients reaches.

    :param n_patients: that were learnt from, in the mean over folds.
    :param auc: on all other patients; of several outcomes their mean.
    """

    fraction: float
    n_patients: float
    auc: Interval

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {"fraction": self.fraction, "n_patients": round(self.n_patients, 1), "roc_auc": self.auc.as_dict()}


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """AUC by the share of the patients that were learnt from; the patients that are judged are always the same.

    :param points: from the fewest patients on; the last is of all.
    :param doubling: what all patients reach minus what half of them do; None where half cannot be learnt from.
    """

    points: Sequence[CurvePoint]
    doubling: Interval | None

    @property
    def verdict(self) -> str:
        """``still rising``, ``flat`` or ``not enough to say``."""
        if self.doubling is not None and self.doubling.low > 0:
            return "still rising"
        return "flat" if self.doubling is not None and self.doubling.high < LITTLE else "not enough to say"

    def __str__(self) -> str:
        if self.doubling is None:
            return "the learning curve: not enough to say, as half of the patients are too few to learn from"
        d = self.doubling
        gained = f"twice the patients brought AUC {d.value:+.3f} ({d.low:+.3f} to {d.high:+.3f})"
        meaning = {
            "still rising": "labels of more patients should help",
            "flat": f"more labels of the same kind will hardly help (less than {LITTLE:g})",
            "not enough to say": "the interval leaves open whether more labels would help",
        }
        return f"the learning curve: {self.verdict}; {gained}, {meaning[self.verdict]}"

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "points": [point.as_dict() for point in self.points],
            "doubling": None if self.doubling is None else self.doubling.as_dict(),
            "verdict": self.verdict,
        }


@dataclass(slots=True)
class OnFraction(Procedure[U]):
    """A procedure that is shown some of the patients of each training side only. Smaller shares lie within larger ones.

    :param counts: patients of each training side that it was shown, as it goes.
    """

    procedure: Procedure[U]
    fraction: float
    counts: list[int]

    @property
    def operating_points(self) -> Mapping[str, OperatingPoint]:
        """Of the procedure."""
        return self.procedure.operating_points

    @property
    def seed(self) -> int:
        """Of the procedure, so that its folds are those of all patients."""
        return self.procedure.seed

    def learn_together(self, samples: Samples[U], outcomes: Sequence[int], place: FoldPlace) -> Sequence[Learnt[U]]:
        """Learn outcomes from some of the patients."""
        generator = np.random.default_rng((self.seed, place.repeat, place.fold))
        found = (samples.targets[:, outcomes] == 1).any(axis=1).astype(np.int64)
        order, fewest = patients_in_order(found, samples.groups, MIN_PATIENTS, generator)
        some = samples.take(rows_of_fraction(samples.groups, order, fewest, self.fraction))
        self.counts.append(some.n_patients)
        return self.procedure.learn_together(some, outcomes, place)


def learning_curve(
    procedure: Procedure[U],
    validate: Callable[[Procedure[U], str], Sequence[CrossValidation]],
    whole: Sequence[CrossValidation],
    samples: Samples[U],
    note: Callable[[str], None],
) -> LearningCurve:
    """Cross-validate a procedure on shares of its training patients.

    :param validate: cross-validates all outcomes of the task, in the same folds always; is also given words for its progress.
    :param whole: what it gives of the procedure itself.
    :param note: called with a sentence where a share is too small to learn from.
    """
    points, half = [], None
    for fraction in FRACTIONS:
        some = OnFraction(procedure, fraction, [])
        try:
            validations = validate(some, f", {fraction:.0%} of the training patients")
        except TrainingRefusedError as error:
            note(f"the learning curve leaves out {fraction:.0%} of the patients: {error}")
            continue
        points.append(CurvePoint(fraction, float(np.mean(some.counts)), mean_auc(validations, samples, procedure.seed)))
        if fraction == HALF:
            half = auc_difference(validations, whole, samples, procedure.seed)
    points.append(CurvePoint(1.0, _trained_on(whole, samples), mean_auc(whole, samples, procedure.seed)))
    return LearningCurve(points, half)


def _trained_on(validations: Sequence[CrossValidation], samples: Samples[U]) -> float:
    """Patients of a training side, in the mean over outcomes and folds."""
    counts = [
        len(np.unique(samples.groups[validation.rows[folds != number]]))
        for validation in validations
        for folds in validation.folds
        for number in np.unique(folds)
    ]
    return float(np.mean(counts))
