"""What the page of ``train-task`` says, and the parts of it that other pages of a task model's figures have, too."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.messages import an, short
from lusfx.messages import counted as n_of
from lusfx.metrics import (
    Interval,
    Performance,
    PredictiveValues,
    calibration_bins,
    mean_roc,
    pairs,
    roc_auc,
    within_folds,
)
from lusfx.report import (
    Code,
    Facts,
    Figure,
    Gallery,
    Page,
    Part,
    Point,
    Section,
    Table,
    Text,
    calibration_figure,
    percent,
    roc_figure,
    score_figure,
    share_figure,
)
from lusfx.task_model import TaskCard
from lusfx.version import __version__

if TYPE_CHECKING:
    from lusfx.engine.training.learner import Candidate
    from lusfx.engine.training.learning_curve import LearningCurve
    from lusfx.engine.training.result import OutcomeResult, TrainingResult
    from lusfx.task_model import TaskModel

PREDICTIVE = ("a yes is right", "a no is right")
FIGURE_HEADER = ("figure", "value", "interval")
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
    "calibration_slope": "calibration slope (1 is right)",
    "calibration_intercept": "calibration intercept (0 is right)",
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
    predictive: Mapping[str, PredictiveValues] = field(default_factory=dict)


def training_page(result: TrainingResult) -> Page:
    """The report of a trained task model."""
    card, samples = result.card, result.samples
    headline = result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"])
    what = "an AUC" if card.kind == "binary" else f"a mean AUC over {len(card.outcomes)} outcomes"
    views = [
        OutcomeView(
            name=o.name,
            targets=o.targets,
            probabilities=o.validation.probabilities,
            folds=o.validation.folds,
            thresholds=o.learnt.thresholds,
            metrics=o.metrics,
            performances=o.performances,
        )
        for o in result.outcomes
    ]
    return Page(
        title=card.question,
        lead=(
            f"Cross-validated by patient, the task model reaches {what} of {stated(headline)} on "
            f"{n_of(len(samples), card.unit)} of {n_of(samples.n_patients, 'patient')}, "
            f"{_in_repeats(result.n_repeats)}."
        ),
        warnings=result.warnings,
        sections=[
            *result_sections(views, result.figures, card, result.confusion),
            Section("The same cross-validation with other folds", [_repeat_table(result.outcomes)]),
            *_search_section(result),
            *([] if result.curve is None else [_curve_section(result.curve)]),
            *([] if result.fine_tuning is None else [result.fine_tuning.section()]),
            Section("What it was made from", [Table("", ("fact", "value"), _facts(result))]),
            _next_section(),
        ],
        limits=LIMITS,
    )


def _in_repeats(n: int) -> str:
    return "in one repeat" if n == 1 else f"in the mean of {n} repeats with other folds"


def stated(figure: Interval) -> str:
    """A figure with its interval, for people; in words where there is none."""
    if np.isnan(figure.value):
        return "not defined"
    return f"{figure.value:.3f}" if np.isnan(figure.low) else str(figure)


def counted(share: Interval, number: int) -> str:
    """The units behind a share, ``12 of 14``; of a mean over repeats their mean, ``12.4 of 14``."""
    if np.isnan(share.value):
        return f"0 of {number}" if number else "none of them here"
    return f"{share.value * number:.1f} of {number}".replace(".0 of", " of")


def result_sections(
    views: Sequence[OutcomeView],
    figures: Mapping[str, Interval],
    card: TaskCard,
    confusion: NDArray[np.float64] | NDArray[np.int64] | None = None,
) -> list[Section]:
    """The task as a whole where it has several outcomes, then a section an outcome.

    :param confusion: ``(n_classes, n_classes)``, units of each class by the class that was answered.
    """
    sections = []
    if figures:
        rows = _interval_rows(figures)
        note = "Intervals: 95%, bootstrapped over patients."
        tables = [
            Table("", FIGURE_HEADER, rows, note),
            *([] if confusion is None else [_confusion_table(confusion, card)]),
        ]
        sections.append(Section("The task as a whole", tables))
    for view in views:
        title = "Figures" if card.kind == "binary" else view.name
        sections.append(Section(title, [_tiles(view, card), *_figures(view, card), *_tables(view, card)]))
    return sections


def _tiles(view: OutcomeView, card: TaskCard) -> Facts:
    return Facts(
        [
            (f"{view.metrics['roc_auc'].value:.3f}".replace("nan", "–"), "area under the ROC curve"),
            *[
                (
                    f"{value.sensitivity.value:.2f} / {value.specificity.value:.2f}".replace("nan", "–"),
                    f"sensitivity / specificity at '{name}'",
                )
                for name, value in view.performances.items()
            ],
            (f"{int(view.targets.sum())} of {len(view.targets)}", f"{card.unit}s that are '{view.name}'"),
        ]
    )


def _figures(view: OutcomeView, card: TaskCard) -> list[Part]:
    if len(np.unique(view.targets)) < 2:
        return [Text([f"The labelled {card.unit}s are all of one class: there are no curves to draw."])]
    average = view.probabilities.mean(axis=0)
    points = {name: (1 - value.specificity.value, value.sensitivity.value) for name, value in view.performances.items()}
    classes = card.classes if card.kind == "binary" else ("no", "yes")
    roc = roc_figure(*mean_roc(view.targets, view.probabilities, view.folds), points)
    unseen = f"{card.unit.capitalize()}s of patients that the head was not trained on."
    if not view.thresholds:  # of scores that only order units, no calibration can be drawn
        scores = score_figure(view.targets, average, classes, {}, card.unit, "score")
        return [Gallery([Figure("ROC curve", roc, unseen), Figure("Scores by class", scores, unseen)])]
    return [
        Gallery(
            [
                Figure("ROC curve", roc, "Marks: operating points, at thresholds that were chosen on other patients."),
                Figure(
                    "Calibration",
                    calibration_figure(calibration_bins(view.targets, average)),
                    f"{card.unit.capitalize()}s in bins of equal size; bars: 95% Wilson intervals, taken as independent.",
                ),
                Figure(
                    "Scores by class",
                    score_figure(view.targets, average, classes, view.thresholds, card.unit),
                    f"{unseen} Lines: thresholds.",
                ),
            ]
        )
    ]


def _tables(view: OutcomeView, card: TaskCard) -> list[Table]:
    share = float(view.targets.mean()) if len(view.targets) else float("nan")
    by_chance = ("average precision of chance: the share that is yes", _number(share), "")
    return [
        Table(
            "Figures with 95% patient-bootstrap intervals", FIGURE_HEADER, [*_interval_rows(view.metrics), by_chance]
        ),
        *([operating_point_table(view)] if view.thresholds else []),
    ]


def _interval_rows(figures: Mapping[str, Interval]) -> list[tuple[str, str, str]]:
    return [
        (FIGURE_NAMES[name], _number(figure.value), f"{_number(figure.low)} to {_number(figure.high)}")
        for name, figure in figures.items()
    ]


def _number(value: float) -> str:
    return "–" if np.isnan(value) else f"{value:.3f}"


def operating_point_table(view: OutcomeView) -> Table:
    """Thresholds with what they achieve, from the least strict on."""
    n_events = int(view.targets.sum())
    return Table(
        "Operating points",
        (
            "name",
            "threshold",
            "sensitivity",
            "yes found",
            "specificity",
            "no found",
            *(PREDICTIVE if view.predictive else ()),
        ),
        [
            (
                name,
                f"{threshold:.3f}" if threshold <= 1 else "never reached",
                stated(view.performances[name].sensitivity),
                counted(view.performances[name].sensitivity, n_events),
                stated(view.performances[name].specificity),
                counted(view.performances[name].specificity, len(view.targets) - n_events),
                *(stated(v) for p in [view.predictive.get(name)] if p is not None for v in (p.positive, p.negative)),
            )
            for name, threshold in view.thresholds.items()
        ],
    )


def _confusion_table(confusion: NDArray[np.float64] | NDArray[np.int64], card: TaskCard) -> Table:
    rows = [
        (name, *(f"{count:.1f}".removesuffix(".0") for count in counts), f"{sum(counts):.0f}")
        for name, counts in zip(card.classes, confusion.tolist(), strict=True)
    ]
    header = ("truth", *(f"answered {name}" for name in card.classes), "all")
    return Table(f"{card.unit.capitalize()}s of each class by the class that was answered", header, rows)


def _next_section() -> Section:
    words = "On patients of another place; then, if it may be believed there, on clips without labels:"
    commands = [
        "lusfx evaluate --model MODEL --labels LABELS --cache CACHE --report evaluation.html",
        "lusfx score --model MODEL --cache CACHE --out scores.csv --report scores.html",
    ]
    return Section("What to do next", [Text([words]), Code(commands)])


def _repeat_table(outcomes: Sequence[OutcomeResult]) -> Table:
    n_repeats = len(outcomes[0].validation.probabilities)
    rows = [(str(repeat + 1), *(f"{_auc_of(o, repeat):.3f}" for o in outcomes)) for repeat in range(n_repeats)]
    names = ["AUC"] if len(outcomes) == 1 else [f"AUC of {outcome.name}" for outcome in outcomes]
    return Table("", ("repeat", *names), rows)


def _auc_of(outcome: OutcomeResult, repeat: int) -> float:
    within = within_folds(roc_auc, outcome.validation.folds[repeat], pairs)
    return within(outcome.targets, outcome.validation.probabilities[repeat])


def _search_section(result: TrainingResult) -> list[Section]:
    """What was tried and chosen, what it brought and what choosing cost, where there was a choice."""
    tables = []
    for outcome in result.outcomes:
        if not outcome.learnt.merits:
            continue
        folds = Counter(chosen for repeat in outcome.validation.chosen for chosen in repeat)
        ranked = sorted(outcome.learnt.merits.items(), key=lambda item: -item[1])
        rows = [(name, _number(merit), f"{folds[name]} of {folds.total()}") for name, merit in ranked]
        header = ("tried", "out-of-fold AUC", "chosen in folds")
        tables.append(Table(f"For '{outcome.name}', on all patients", header, rows, _cost_of_choice(outcome)))
    if not tables:
        return []
    brought = "" if result.search is None else f"{str(result.search)[:1].upper()}{str(result.search)[1:]}."
    return [Section("What was chosen, and what the choice cost", [*([Text([brought])] if brought else []), *tables])]


def _curve_section(curve: LearningCurve) -> Section:
    """Whether more labels would help, by what fewer of them reached."""
    rows = [(percent(p.fraction), f"{p.n_patients:.0f}", str(p.auc)) for p in curve.points]
    points = [Point(p.fraction, p.auc.value, p.auc.low, p.auc.high) for p in curve.points]
    drawn = [point for point in points if not np.isnan(point.value)]
    plot: list[Part] = []
    if drawn:
        ends = (min(0.5, *(p.low for p in drawn)), 1.0)
        figure = share_figure({"cross-validated": drawn}, "share of the training patients", "AUC", 0.5, ends)
        title, note = "AUC by the patients that were learnt from", "Bars: 95%, bootstrapped over patients."
        plot = [Gallery([Figure(title, figure, note)])]
    said = f"{str(curve)[:1].upper()}{str(curve)[1:]}."
    header = ("share of the training patients", "patients learnt from", "AUC on the others")
    return Section("Would more labels help?", [Text([said]), *plot, Table("", header, rows)])


def _cost_of_choice(outcome: OutcomeResult) -> str:
    taken, judged = outcome.learnt.merits[outcome.learnt.chosen], outcome.metrics["roc_auc"].value
    return (
        f"Taken was '{outcome.learnt.chosen}', and it was chosen on the patients that its AUC is of. On patients whom no "
        f"choice saw, choosing reached {_number(judged)}: its figure here is {_number(taken - judged)} too high."
    )


def _facts(result: TrainingResult) -> list[tuple[str, str]]:
    card, samples = result.card, result.samples
    return [
        *([] if result.recalibrated is None else [_recalibrated(result.recalibrated)]),
        ("task", f"{card.name}, version {card.version}: {card.kind}, one answer {an(card.unit)}"),
        *[
            (f"'{outcome.name}'", f"{outcome.n_events} of {outcome.n_units} {card.unit}s")
            for outcome in result.outcomes
        ],
        (f"{card.unit}s whose label is not known", str(result.n_not_known)),
        *[(f"{card.unit}s not assessable: {code}", str(count)) for code, count in sorted(samples.reasons.items())],
        ("patients", str(samples.n_patients)),
        ("pairs of clips of different patients that look alike", str(len(result.copied.pairs))),
        *[(f"head of '{outcome.name}'", _head(o)) for outcome in result.outcomes for o in (outcome.learnt.candidate,)],
        ("features", f"{result.encoder}, fingerprint {short(result.fingerprint)}, {card.form}"),
        ("chosen by a figure", _chosen(result)),
        ("the answer", card.decided_by(next(iter(result.task.operating_points)))),
        ("seed", str(result.seed)),
        ("made", f"{result.created:%Y-%m-%d %H:%M} UTC, by lusfx {__version__}"),
        # The model's digest is of all its files, this page among them, so no page can state its own.
        *[
            (f"SHA-256 of {name}", hashlib.sha256(content).hexdigest())
            for name, content in sorted(result.files().items())
        ],
        ("the model's digest", "is of this page, too: lusfx model show, which tells it, checks the files above"),
    ]


def _recalibrated(model: TaskModel) -> tuple[str, str]:
    training = model.card.training
    others = "simulated patient" if model.card.orders_only else "other patient"
    return (
        "recalibrated from",
        f"{model.name}, whose heads were trained on {n_of(training.n_units, model.card.task.unit)} of "
        f"{n_of(training.n_patients, others)}. Calibration and thresholds are of the units below",
    )


def _head(candidate: Candidate) -> str:
    """The head's kind and all its settings, as ``--set`` takes them."""
    settings = candidate.settings.model_dump(mode="json")
    return ", ".join([candidate.head.name, *(f"{name}={value}" for name, value in settings.items())])


def _chosen(result: TrainingResult) -> str:
    if any(outcome.learnt.merits for outcome in result.outcomes):
        form = any(outcome.learnt.candidate.form for outcome in result.outcomes)
        what = "pooling, head and settings" if form else "head and settings"
        return f"{what}, within each fold; calibration's slope and thresholds likewise"
    return "neither head nor settings nor pooling; calibration's slope and thresholds, within each fold"
