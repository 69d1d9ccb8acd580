"""How one outcome is learnt: choose a head, calibrate it, choose thresholds, fit. Everything is chosen out of fold.

The whole of it is one procedure, so that a cross-validation around it judges all its choices on patients that none of them
saw (Varma and Simon 2006, doi 10.1186/1471-2105-7-91).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lusfx.calibration import Calibration, CalibrationMethod, fit_calibration
from lusfx.contracts import (
    Aggregation,
    Bags,
    Head,
    HeadSettings,
    HeadSpec,
    OperatingPoint,
    TrainingSet,
    head_in_words,
)
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import FoldPlace
from lusfx.engine.training.resemblance import unlike
from lusfx.errors import MissingExtraError, TrainingRefusedError
from lusfx.metrics import choose_thresholds, pairs, roc_auc, within_folds
from lusfx.spacing import evenly_spaced
from lusfx.splits import Fold, check_split, inner_folds
from lusfx.task_model import UnitFeatures, raw_scores

N_INNER_FOLDS = 5
N_ATTEMPTS = 3
"""To fit a head that is of the kind of those in the folds."""
ATTEMPT_SEEDS_APART = 1_000_003


@dataclass(frozen=True, slots=True)
class Candidate:
    """A kind of head with settings that may be the best one for an outcome.

    :param form: how frames become what it scores, in words, where that is chosen, too.
    """

    head: HeadSpec
    settings: HeadSettings
    form: str = ""

    def __str__(self) -> str:
        head = head_in_words(self.head.name, self.settings)
        return f"{self.form}: {head}" if self.form else head


@dataclass(frozen=True, slots=True)
class LearntOutcome:
    """An outcome's head with all that was chosen for it.

    :param thresholds: by operating point, for calibrated probabilities.
    :param merits: out-of-fold AUC of each candidate, where there was more than one.
    """

    candidate: Candidate
    head: Head
    aggregation: Aggregation | None
    calibration: Calibration | None
    thresholds: Mapping[str, float]
    merits: Mapping[str, float] = field(default_factory=dict)

    @property
    def chosen(self) -> str:
        """What was taken of what was tried, as text."""
        return str(self.candidate)

    def probabilities(self, units: UnitFeatures) -> NDArray[np.float64]:
        """Calibrated probability of yes, ``(n,)``."""
        scores = raw_scores(self.head, units, self.aggregation)
        return scores if self.calibration is None else self.calibration(scores)


@dataclass(frozen=True, slots=True)
class Learner:
    """Learns one outcome from samples whose answer to it is known.

    :param candidates: kinds of heads with settings; of several, the one with the highest out-of-fold AUC is taken.
    :param aggregation: makes a unit's score of its frames'; None where heads score units whole.
    :param frames_per_unit: rows of each bag that heads learn from where an aggregation gives them frames.
    :param calibration: how scores become probabilities.
    :param operating_points: thresholds to choose, by name.
    :param seed: of everything random.
    :param note: called with what a person should know; a candidate that needs missing packages, say.
    """

    candidates: Sequence[Candidate]
    aggregation: Aggregation | None
    frames_per_unit: int
    calibration: CalibrationMethod
    operating_points: Mapping[str, OperatingPoint]
    seed: int
    note: Callable[[str], None]

    def learn_together(
        self, samples: Samples[UnitFeatures], outcomes: Sequence[int], place: FoldPlace
    ) -> list[LearntOutcome]:
        """Learn several outcomes from the same samples, each by itself; see :meth:`learn`. Every fold's are learnt alike."""
        return [self.learn(samples, outcome) for outcome in outcomes]

    def learn(self, samples: Samples[UnitFeatures], outcome: int) -> LearntOutcome:
        """Learn from samples, each with a known answer.

        :raises TrainingRefusedError: if a class has so few patients that nothing can be held out, or the fit on all samples
            turns out of another kind than those on parts of them.
        """
        targets = samples.targets[:, outcome]
        folds, fold_of = checked_inner_folds(samples, targets, N_INNER_FOLDS, self.seed)
        candidate, scores, merits = self._best(samples, targets, folds, fold_of)
        calibration = fit_calibration(self.calibration, scores, targets, samples.weights, fold_of)
        probabilities = scores if calibration is None else calibration(scores)
        return LearntOutcome(
            candidate=candidate,
            head=self._fit_like(scores, candidate, samples, targets, fold_of),
            aggregation=self.aggregation,
            calibration=calibration,
            thresholds=choose_thresholds(self.operating_points, targets, probabilities),
            merits=merits,
        )

    def merit(self, samples: Samples[UnitFeatures], outcome: int) -> float:
        """Out-of-fold AUC of the first candidate.

        :param samples: each with a known answer.
        :raises TrainingRefusedError: if it cannot be fitted to them.
        """
        targets = samples.targets[:, outcome]
        folds, fold_of = checked_inner_folds(samples, targets, N_INNER_FOLDS, self.seed)
        scores = out_of_fold_scores(
            self.candidates[0], samples, targets, folds, self.aggregation, self.frames_per_unit, self.seed
        )
        return within_folds(roc_auc, fold_of, pairs)(targets, scores)

    def _fit_like(
        self,
        unseen: NDArray[np.float64],
        candidate: Candidate,
        samples: Samples[UnitFeatures],
        targets: NDArray[np.int64],
        fold_of: NDArray[np.int64],
    ) -> Head:
        """A head of all samples that is of the kind of those that were fitted on parts of them.

        :param unseen: ``(n,)`` what those say of the units that they were not fitted on.
        """
        for attempt in range(N_ATTEMPTS):
            seed = self.seed + ATTEMPT_SEEDS_APART * attempt
            head = fit_head(candidate, samples, targets, self.aggregation, self.frames_per_unit, seed)
            difference = unlike(raw_scores(head, samples.units, self.aggregation), unseen, targets, fold_of)
            if difference is None:
                return head
            self.note(f"a fit of {candidate} {difference}; it was done again from other random numbers")
        raise TrainingRefusedError(
            f"the head '{candidate.head.name}', fitted on all samples, {difference}, {N_ATTEMPTS} times. No figure would be "
            "this head's: choose another one (--head), or other settings (--set)"
        )

    def _best(
        self,
        samples: Samples[UnitFeatures],
        targets: NDArray[np.int64],
        folds: Sequence[Fold],
        fold_of: NDArray[np.int64],
    ) -> tuple[Candidate, NDArray[np.float64], Mapping[str, float]]:
        """The candidate with the highest out-of-fold AUC, and its out-of-fold scores."""
        best: tuple[Candidate, NDArray[np.float64]] | None = None
        merits: dict[str, float] = {}
        auc = within_folds(roc_auc, fold_of, pairs)
        for candidate in self.candidates:
            try:
                scores = out_of_fold_scores(
                    candidate, samples, targets, folds, self.aggregation, self.frames_per_unit, self.seed
                )
            except (MissingExtraError, TrainingRefusedError) as error:
                if len(self.candidates) == 1:
                    raise
                self.note(f"{candidate} is left out: {error}")
                continue
            merit = auc(targets, scores)
            if best is None or merit > max(merits.values()):
                best = candidate, scores
            merits[str(candidate)] = merit
        if best is None:
            raise TrainingRefusedError("none of the candidate heads can be trained here")
        return *best, merits if len(self.candidates) > 1 else {}


def checked_inner_folds(
    samples: Samples[UnitFeatures], targets: NDArray[np.int64], n_folds: int, seed: int
) -> tuple[list[Fold], NDArray[np.int64]]:
    """Folds by patient within a training side, and the number of each unit's fold, ``(n,)``.

    :param targets: ``(n,)`` 0 or 1.
    :param n_folds: fewer where an answer has fewer patients.
    :raises TrainingRefusedError: if a class has so few patients that nothing can be held out.
    """
    folds = inner_folds(targets, samples.groups, n_folds, seed)
    fold_of = np.zeros(len(samples), np.int64)
    for number, fold in enumerate(folds):
        check_split(fold, samples.groups, samples.keys)
        fold_of[fold.test] = number
    return folds, fold_of


def out_of_fold_scores(
    candidate: Candidate,
    samples: Samples[UnitFeatures],
    targets: NDArray[np.int64],
    folds: Sequence[Fold],
    aggregation: Aggregation | None,
    frames_per_unit: int,
    seed: int,
) -> NDArray[np.float64]:
    """Scores ``(n,)`` of each unit by a head that was fitted on the other folds; parameters as in :func:`fit_head`.

    :raises TrainingRefusedError: if a fold's training side cannot be learnt from.
    """
    scores = np.full(len(samples), np.nan)
    for fold in folds:
        head = fit_head(candidate, samples.take(fold.train), targets[fold.train], aggregation, frames_per_unit, seed)
        scores[fold.test] = raw_scores(head, samples.units.take(fold.test), aggregation)
    return scores


def fit_head(
    candidate: Candidate,
    samples: Samples[UnitFeatures],
    targets: NDArray[np.int64],
    aggregation: Aggregation | None,
    frames_per_unit: int,
    seed: int,
) -> Head:
    """Fit a head on samples, each with a known answer.

    :param targets: ``(n,)`` 0 or 1.
    :param aggregation: makes a unit's score of its frames'; None where heads score units whole.
    :param frames_per_unit: rows of each bag that are learnt from where an aggregation gives frames.
    :raises TrainingRefusedError: if the samples cannot be learnt from.
    """
    features, weights, groups = samples.units.features, samples.weights, samples.groups
    if aggregation is not None and isinstance(features, Bags):
        # The head learns from single frames that have their clip's label and share its weight.
        chosen = [start + evenly_spaced(size, frames_per_unit) for start, size in _extents(features)]
        counts = np.array([len(rows) for rows in chosen])
        unit_of_row = np.repeat(np.arange(len(features)), counts)
        features = features.rows[np.concatenate(chosen)].astype(np.float32)
        weights = (weights / counts)[unit_of_row]
        groups, targets = groups[unit_of_row], targets[unit_of_row]
    training = TrainingSet(features, targets, groups, weights)
    return candidate.head.fit(training, candidate.settings, seed)


def _extents(bags: Bags) -> list[tuple[int, int]]:
    """First row and number of rows of each bag."""
    return list(zip(bags.starts[:-1].tolist(), bags.sizes.tolist(), strict=True))
