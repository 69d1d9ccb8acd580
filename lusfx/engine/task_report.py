"""What the pages of ``train-task`` and ``evaluate`` say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics import Interval, Performance, calibration_bins, mean_roc, pairs, roc_auc, within_folds
from lusfx.report import Figure, Page, Table, calibration_figure, roc_figure, score_figure
from lusfx.task_model import TaskCard

if TYPE_CHECKING:
    from lusfx.engine.evaluate import EvaluationResult
    from lusfx.engine.training_result import OutcomeResult, TrainingResult

SHORT = 12
LIMITS = (
    "Clips of one data set resemble each other in device, operator and patients. Cross-validation within it says how the "
    "head does on further patients of the same kind, not on another hospital's: judge it there with lusfx evaluate.",
    "Labels are taken as the truth. Intervals hold the chance of which patients were drawn, not that of labels that "
    "another reader would give otherwise.",
)
FIGURE_NAMES = {
    "roc_auc": "area under the ROC curve",
    "average_precision": "average precision",
    "brier_score": "Brier score (0 is best)",
    "mean_roc_auc": "mean area under the ROC curve",
    "balanced_accuracy": "balanced accuracy of the answered class",
    "quadratic_weighted_kappa": "quadratic weighted kappa of the answered level",
    "mean_absolute_error": "mean absolute error of the answered level",
}


@dataclass(frozen=True, slots=True)
class OutcomeView:
    """One outcome as a page shows it.

    :param targets: ``(n,)``.
    :param probabilities: ``(n_repeats, n)``.
    :param folds: ``(n_repeats, n)`` which fold's head each probability is from.
    """

    name: str
    targets: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]
    thresholds: Mapping[str, float]
    metrics: Mapping[str, Interval]
    performances: Mapping[str, Performance]


def training_page(result: TrainingResult) -> Page:
    """The report of a trained task model."""
    card, samples = result.card, result.samples
    headline = result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"])
    what = "an AUC" if card.kind == "binary" else f"a mean AUC over {len(card.outcomes)} outcomes"
    views = [
        OutcomeView(
            o.name,
            o.targets,
            o.validation.probabilities,
            o.validation.folds,
            o.learnt.thresholds,
            o.metrics,
            o.performances,
        )
        for o in result.outcomes
    ]
    return Page(
        title=card.question,
        lead=(
            f"Cross-validated by patient, the task model reaches {what} of {headline} on {len(samples)} {card.unit}s "
            f"of {samples.n_patients} patients, in the mean of {result.n_repeats} repeats with other folds."
        ),
        warnings=result.warnings,
        figures=[figure for view in views for figure in _figures(view, card)],
        tables=[
            *_figures_tables(views, result.figures, card),
            *[operating_point_table(view, card) for view in views],
            _repeat_table(result.outcomes),
            *[_search_table(outcome) for outcome in result.outcomes if outcome.learnt.merits],
            Table("What it was made from", ("fact", "value"), _facts(result)),
        ],
        limits=LIMITS,
    )


def evaluation_page(result: EvaluationResult) -> Page:
    """The report of a task model judged on other patients."""
    card = result.model.card
    views = [
        OutcomeView(
            outcome.name,
            outcome.targets,
            outcome.probabilities[None],
            np.zeros((1, len(outcome.targets)), np.int64),
            {name: point.threshold for name, point in stated.operating_points.items()},
            outcome.metrics,
            outcome.performances,
        )
        for outcome, stated in zip(result.outcomes, card.outcomes, strict=True)
    ]
    return Page(
        title=card.task.question,
        lead=f"{result.summary()}. None of these patients was in its training.",
        warnings=result.warnings,
        figures=[figure for view in views for figure in _figures(view, card.task)],
        tables=[
            *_figures_tables(views, result.figures, card.task),
            *[operating_point_table(view, card.task) for view in views],
        ],
        limits=LIMITS[1:],
    )


def _titled(title: str, name: str, card: TaskCard) -> str:
    """A title that says which outcome it is about, where there is more than one."""
    return title if card.kind == "binary" else f"{name}: {title}"


def _figures(view: OutcomeView, card: TaskCard) -> list[Figure]:
    average = view.probabilities.mean(axis=0)
    points = {name: (1 - value.specificity.value, value.sensitivity.value) for name, value in view.performances.items()}
    classes = card.classes if card.kind == "binary" else ("no", "yes")
    return [
        Figure(
            _titled("ROC curve", view.name, card),
            roc_figure(*mean_roc(view.targets, view.probabilities, view.folds), points),
            "Dots: operating points, at thresholds that were chosen on other patients.",
        ),
        Figure(
            _titled("Calibration", view.name, card),
            calibration_figure(calibration_bins(view.targets, average)),
            f"{card.unit.capitalize()}s in bins of equal size; bars: 95% Wilson intervals, taken as independent.",
        ),
        Figure(
            _titled("Scores by class", view.name, card),
            score_figure(view.targets, average, classes, view.thresholds, card.unit),
            f"{card.unit.capitalize()}s of patients that the head was not trained on. Dashed: thresholds.",
        ),
    ]


def _figures_tables(views: Sequence[OutcomeView], figures: Mapping[str, Interval], card: TaskCard) -> list[Table]:
    title, header = "Figures with 95% patient-bootstrap intervals", ("figure", "value", "interval")
    tables = [Table(title, header, _interval_rows(figures))] if figures else []
    return tables + [Table(_titled(title, view.name, card), header, _interval_rows(view.metrics)) for view in views]


def _interval_rows(figures: Mapping[str, Interval]) -> list[tuple[str, str, str]]:
    return [
        (FIGURE_NAMES[name], f"{figure.value:.3f}", f"{figure.low:.3f} to {figure.high:.3f}")
        for name, figure in figures.items()
    ]


def operating_point_table(view: OutcomeView, card: TaskCard) -> Table:
    """Thresholds with what they achieve."""
    return Table(
        _titled("Operating points", view.name, card),
        ("name", "threshold", "sensitivity", "specificity"),
        [
            (
                name,
                f"{threshold:.3f}",
                str(view.performances[name].sensitivity),
                str(view.performances[name].specificity),
            )
            for name, threshold in view.thresholds.items()
        ],
    )


def _repeat_table(outcomes: Sequence[OutcomeResult]) -> Table:
    n_repeats = len(outcomes[0].validation.probabilities)
    rows = [(str(repeat + 1), *(f"{_auc_of(o, repeat):.3f}" for o in outcomes)) for repeat in range(n_repeats)]
    names = ["AUC"] if len(outcomes) == 1 else [f"AUC of {outcome.name}" for outcome in outcomes]
    return Table("The same cross-validation with other folds", ("repeat", *names), rows)


def _auc_of(outcome: OutcomeResult, repeat: int) -> float:
    within = within_folds(roc_auc, outcome.validation.folds[repeat], pairs)
    return within(outcome.targets, outcome.validation.probabilities[repeat])


def _search_table(outcome: OutcomeResult) -> Table:
    ranked = sorted(outcome.learnt.merits.items(), key=lambda item: -item[1])
    return Table(
        f"Heads that were searched for '{outcome.name}', on all patients",
        ("head", "out-of-fold AUC"),
        [(name, f"{merit:.3f}") for name, merit in ranked],
    )


def _facts(result: TrainingResult) -> list[tuple[str, str]]:
    card, samples = result.card, result.samples
    form = (
        card.pooling
        if card.aggregate is None
        else f"frames, then {card.aggregate.kind} {dict(card.aggregate.parameters)}"
    )
    return [
        ("task", f"{card.name}, version {card.version}: {card.kind}, one answer a {card.unit}"),
        *[
            (f"'{outcome.name}'", f"{outcome.n_events} of {outcome.n_units} {card.unit}s")
            for outcome in result.outcomes
        ],
        (f"{card.unit}s whose label is not known", str(result.n_not_known)),
        *[(f"{card.unit}s not assessable: {code}", str(count)) for code, count in sorted(samples.reasons.items())],
        ("patients", str(samples.n_patients)),
        *[
            (f"head of '{outcome.name}'", f"{o.head.name} {o.settings.model_dump(mode='json')}")
            for outcome in result.outcomes
            for o in (outcome.learnt.candidate,)
        ],
        ("features", f"{result.encoder}, fingerprint {result.store.fingerprint[:SHORT]}, {form}"),
        ("seed", str(result.seed)),
    ]
