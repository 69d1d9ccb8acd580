"""What evaluation found out: what is printed, and what its report is made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.evaluation.subgroups import Subgroup
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.result import metric_cells
from lusfx.messages import counted
from lusfx.metrics import Interval, Performance, PredictiveValues
from lusfx.shown import Shown
from lusfx.task_model import TaskModel, UnitFeatures


@dataclass(frozen=True, slots=True)
class OutcomeEvaluation:
    """What a task model achieves on one outcome, at the thresholds that it was saved with.

    :param targets: ``(n,)`` of the units whose answer is known.
    :param probabilities: ``(n,)``.
    :param metrics: without those of probabilities where the model only orders units.
    :param performances: by operating point, as ``predictive``.
    :param believed: whether the probabilities may be believed here; None where nobody can say, or there are none.
    :param calibration: a sentence that says so.
    """

    name: str
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    metrics: Mapping[str, Interval]
    performances: Mapping[str, Performance]
    predictive: Mapping[str, PredictiveValues]
    believed: bool | None
    calibration: str


@dataclass(frozen=True, slots=True, repr=False)
class EvaluationResult(Shown):
    """What a task model achieves on labelled units.

    :param figures: of the task as a whole, where it has several outcomes.
    :param subgroups: by the columns that were asked for.
    :param confusion: ``(n_classes, n_classes)`` units of each class by the class that was answered, of multi-class and ordinal
        tasks; else None.
    :param prevalence: that the predictive values are for; None for the label table's own.
    """

    model: TaskModel
    samples: Samples[UnitFeatures]
    outcomes: Sequence[OutcomeEvaluation]
    figures: Mapping[str, Interval]
    n_not_known: int
    n_not_cached: int
    warnings: Sequence[str]
    subgroups: Sequence[Subgroup] = ()
    confusion: NDArray[np.int64] | None = None
    prevalence: float | None = None

    def summary(self) -> str:
        """One line: the answer."""
        source = f"on {counted(len(self.samples), self.model.card.task.unit)} of {counted(self.samples.n_patients, 'patient')}"
        first = self.outcomes[0]
        if self.model.card.task.kind == "binary":
            return f"{self.model.name}: AUC {first.metrics['roc_auc']} {source} ({int(first.targets.sum())} events)"
        each = "; ".join(f"{outcome.name} {outcome.metrics['roc_auc']}" for outcome in self.outcomes)
        return f"{self.model.name}: mean AUC {self.figures['mean_roc_auc']} {source} ({each})"

    def table_cells(self) -> list[list[str]]:
        """Each outcome with its figures."""
        return metric_cells(
            {each.name: (len(each.targets), int(each.targets.sum()), each.metrics) for each in self.outcomes}
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx evaluate --json`` prints."""
        card = self.model.card
        return {
            "model": self.model.name,
            "digest": self.model.digest,
            "trained_on": card.trained_on,
            "fingerprint": card.features.fingerprint,
            "n_units": len(self.samples),
            "n_patients": self.samples.n_patients,
            "n_not_known": self.n_not_known,
            "n_not_cached": self.n_not_cached,
            "n_not_assessable": dict(self.samples.reasons),
            "figures": {name: interval.as_dict() for name, interval in self.figures.items()},
            "outcomes": [
                {
                    "outcome": outcome.name,
                    "n_units": len(outcome.targets),
                    "n_events": int(outcome.targets.sum()),
                    "probabilities_believed": outcome.believed,
                    "calibration": outcome.calibration,
                    "metrics": {name: interval.as_dict() for name, interval in outcome.metrics.items()},
                    "operating_points": {
                        name: {
                            "threshold": stated.operating_points[name].threshold,
                            **value.as_dict(),
                            **outcome.predictive[name].as_dict(),
                        }
                        for name, value in outcome.performances.items()
                    },
                }
                for outcome, stated in zip(self.outcomes, card.outcomes, strict=True)
            ],
            "prevalence": self.prevalence,
            "confusion": None if self.confusion is None else self.confusion.tolist(),
            "subgroups": [subgroup.as_dict() for subgroup in self.subgroups],
            "warnings": list(self.warnings),
        }
