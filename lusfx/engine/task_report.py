"""What the pages of ``train-task`` and ``evaluate`` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics import Interval, Performance, calibration_bins, roc_auc, roc_points
from lusfx.report import Figure, Page, Table, calibration_figure, roc_figure, score_figure

if TYPE_CHECKING:
    from lusfx.engine.evaluate import EvaluationResult
    from lusfx.engine.train import TrainingResult

SHORT = 12
LIMITS = (
    "Clips of one data set resemble each other in device, operator and patients. Cross-validation within it says how the "
    "head does on further patients of the same kind, not on another hospital's: judge it there with lusfx evaluate.",
    "Labels are taken as the truth. Intervals hold the chance of which patients were drawn, not that of labels that "
    "another reader would give otherwise.",
)


def training_page(result: TrainingResult, encoder: str) -> Page:
    """The report of a trained task model."""
    clips, validation = result.clips, result.validation
    n_patients = len(np.unique(clips.groups))
    return Page(
        title=result.task.question,
        lead=(
            f"Cross-validated by patient, the head reaches an AUC of {result.metrics['roc_auc']} on {len(clips.keys)} "
            f"clips of {n_patients} patients, in the mean of {len(validation.probabilities)} repeats with other folds."
        ),
        warnings=result.warnings,
        figures=_figures(
            clips.targets, validation.probabilities, result.task.classes, result.thresholds, result.performances
        ),
        tables=[
            _metrics_table(result.metrics),
            operating_point_table(result.thresholds, result.performances),
            _repeat_table(result),
            Table(
                "What it was made from",
                ("fact", "value"),
                [
                    ("task", f"{result.task.name}, version {result.task.version}"),
                    *[
                        (f"clips '{name}'", f"{int((clips.targets == number).sum())}")
                        for number, name in enumerate(result.task.classes)
                    ],
                    ("clips whose label is not known", str(clips.n_blank)),
                    ("patients", str(n_patients)),
                    ("head", f"{result.head} {dict(result.settings)}"),
                    ("features", f"{encoder}, fingerprint {result.store.fingerprint[:SHORT]}, {result.task.pooling}"),
                    ("seed", str(result.seed)),
                ],
            ),
        ],
        limits=LIMITS,
    )


def evaluation_page(result: EvaluationResult, probabilities: NDArray[np.float64]) -> Page:
    """The report of a task model judged on other patients.

    :param probabilities: ``(n,)`` of class 1, in the order of the result's clips.
    """
    clips, card = result.clips, result.model.card
    thresholds = {name: point.threshold for name, point in card.operating_points.items()}
    return Page(
        title=card.task.question,
        lead=f"{result.summary()}. None of these patients was in its training.",
        warnings=result.warnings,
        figures=_figures(clips.targets, probabilities, card.task.classes, thresholds, result.performances),
        tables=[_metrics_table(result.metrics), operating_point_table(thresholds, result.performances)],
        limits=LIMITS[1:],
    )


def _figures(
    targets: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
    thresholds: Mapping[str, float],
    performances: Mapping[str, Performance],
) -> list[Figure]:
    repeats = np.atleast_2d(probabilities)
    average = repeats.mean(axis=0)
    points = {name: (1 - value.specificity.value, value.sensitivity.value) for name, value in performances.items()}
    return [
        Figure(
            "ROC curve",
            roc_figure(*roc_points(np.tile(targets, len(repeats)), repeats.ravel()), points),
            "Dots: operating points, at thresholds that were chosen on other patients.",
        ),
        Figure(
            "Calibration",
            calibration_figure(calibration_bins(targets, average)),
            "Clips in bins of equal size; bars: 95% Wilson intervals, clips taken as independent.",
        ),
        Figure(
            "Scores by class",
            score_figure(targets, average, classes, thresholds),
            "Clips of patients that the head was not trained on. Dashed: thresholds.",
        ),
    ]


def _metrics_table(metrics: Mapping[str, Interval]) -> Table:
    names = {"roc_auc": "area under the ROC curve", "brier_score": "Brier score (0 is best)"}
    return Table(
        "Figures with 95% patient-bootstrap intervals",
        ("figure", "value", "interval"),
        [(names[name], f"{v.value:.3f}", f"{v.low:.3f} to {v.high:.3f}") for name, v in metrics.items()],
    )


def operating_point_table(thresholds: Mapping[str, float], performances: Mapping[str, Performance]) -> Table:
    """Thresholds with what they achieve."""
    return Table(
        "Operating points",
        ("name", "threshold", "sensitivity", "specificity"),
        [
            (name, f"{threshold:.3f}", str(performances[name].sensitivity), str(performances[name].specificity))
            for name, threshold in thresholds.items()
        ],
    )


def _repeat_table(result: TrainingResult) -> Table:
    rows = [
        (str(number), f"{roc_auc(result.clips.targets, probabilities):.3f}")
        for number, probabilities in enumerate(result.validation.probabilities, start=1)
    ]
    return Table("The same cross-validation with other folds", ("repeat", "AUC"), rows)
