"""What the page of a study says."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from lusfx.engine.training.report import stated
from lusfx.metrics import Interval
from lusfx.report import Figure, Gallery, Page, Part, Point, Section, Table, Text, forest_figure, percent, share_figure
from lusfx.studies.choice_page import choice_sections, signed
from lusfx.studies.config import LOCAL, MEAN
from lusfx.studies.figures import StudyRow
from lusfx.studies.result import StudyResult

HEADER = ("initial weights", "way", "labels", "patients trained on", "AUC", "difference", "DeLong p")
CHANCE = 0.5
MOST_SERIES = 5
"""In one plot; of more, each way has its own."""
LIMITS = (
    "Intervals resample the patients who were judged, and draw one of the draws of training patients (or repeats of the "
    "cross-validation) with them. They hold in part only how much depends on who was trained on, and nothing of how another "
    "pretraining of the same encoder would do: one seed of a network is one network.",
    "DeLong's test takes units as independent, which clips of one patient are not: its p is too small where patients have "
    "several. A claim rests on the patient-bootstrap interval of the difference.",
    "Many comparisons stand here. Of twenty without any difference, one interval of 95% is expected to leave 0 out; and the "
    "highest of many figures is higher than it would be on other patients: a choice made within the training patients is not.",
    "Labels are taken as the truth. A test set of one hospital says nothing of a third one.",
)


def study_page(result: StudyResult) -> Page:
    """The report of a study."""
    baseline = result.config.baseline
    best = result.headline()
    counted = ((result.config.encoders, "encoder"), (result.config.ways, "way"), (result.plan.questions, "task"))
    lead = ", ".join(f"{len(items)} {noun}{'' if len(items) == 1 else 's'}" for items, noun in counted) + ". "
    if best is not None:
        of = f"in the mean over {best.n_tasks} tasks" if best.n_tasks > 1 else f"on {best.task}"
        lead += f"On the local test set {best.encoder}, {best.way}, is highest {of}: an AUC of {stated(best.auc)}."
    chosen = result.chosen_headline()
    if chosen is not None:
        lead += f" Chosen within the training patients alone, it is {stated(chosen.auc)}: the figure to expect."
    tasks = [question.name for question in result.plan.questions]
    return Page(
        title="A study of encoders and ways of learning",
        lead=lead,
        warnings=result.warnings,
        sections=[
            *[_task_section(result, task) for task in (MEAN, *tasks) if any(row.task == task for row in result.rows)],
            *choice_sections(result),
            Section(
                "How to read this",
                [
                    Text(
                        [
                            f"Differences are from {baseline.encoder}, {baseline.way}, on the same units, draws and folds. "
                            "Labels are the share of the training patients whose labels were used; beside it stands how many "
                            "patients a training really had.",
                            "Intervals are 95%, bootstrapped over patients. AUC of a cross-validation is judged within folds.",
                        ]
                    )
                ],
            ),
            Section("What it was made from", [Table("", ("fact", "value"), _facts(result))]),
        ],
        limits=LIMITS,
    )


def _task_section(result: StudyResult, task: str) -> Section:
    """A task, or the mean over all: for each test set a table and its plots."""
    parts: list[Part] = []
    test_sets = dict.fromkeys(row.test_set for row in result.rows if row.task == task)
    for test_set in sorted(test_sets, key=lambda name: name != LOCAL):
        rows = [row for row in result.rows if (row.task, row.test_set) == (task, test_set)]
        figures = [*_share_figures(rows, test_set), *_forest(rows, test_set)]
        parts += [_table(rows, test_set), *([Gallery(figures)] if figures else [])]
    return Section(MEAN.capitalize() if task == MEAN else task, parts)


def _table(rows: Sequence[StudyRow], test_set: str) -> Table:
    first = rows[0]
    of = f"{first.n_units} units of {first.n_patients} patients"
    if first.n_tasks == 1:
        of += f", {first.n_positive} of them yes"
    note = f"Judged on {of}."
    n_refused = sum(row.n_refused for row in rows)
    if n_refused:
        note += f" {n_refused} draws are left out, as a training was refused."
    columns = len(HEADER) if any(row.delong_p is not None for row in rows) else len(HEADER) - 1
    return Table(f"Test set '{test_set}'", HEADER[:columns], [_cells(row)[:columns] for row in rows], note)


def _cells(row: StudyRow) -> tuple[str, ...]:
    fewest, most = row.training_patients
    return (
        row.encoder,
        row.way,
        percent(row.fraction),
        str(most) if fewest == most else f"{fewest} to {most}",
        stated(row.auc),
        "–" if row.difference is None else signed(row.difference),
        "–" if row.delong_p is None or np.isnan(row.delong_p) else p_words(row.delong_p),
    )


def p_words(value: float) -> str:
    """A p-value, which is never 0."""
    return f"{value:.3f}" if value >= 0.0005 else "< 0.001"


def _share_figures(rows: Sequence[StudyRow], test_set: str) -> list[Figure]:
    """AUC against the label fraction, a plot a way where there are many; none where there is one fraction only."""
    if len({row.fraction for row in rows}) < 2:
        return []
    together = len({(row.encoder, row.way) for row in rows}) <= MOST_SERIES
    ends = [end for row in rows for end in (row.auc.low, row.auc.high) if not np.isnan(end)]
    drawn = min(ends, default=0.0), max(ends, default=1.0)
    plots: dict[str, dict[str, list[Point]]] = {}
    for row in rows:
        plot, name = ("AUC by labels", f"{row.encoder}, {row.way}") if together else (row.way, row.encoder)
        plots.setdefault(plot, {}).setdefault(name, []).append(_point(row, row.auc))
    caption = "With 95% patient-bootstrap intervals, set a little apart; dotted: chance."
    return [
        Figure(
            f"{title}, '{test_set}'",
            share_figure(series, "labelled training patients used", "AUC", CHANCE, drawn),
            caption,
        )
        for title, series in plots.items()
    ]


def _forest(rows: Sequence[StudyRow], test_set: str) -> list[Figure]:
    """Differences from the baseline; none where nothing is compared with it."""
    found: dict[str, list[Point]] = {}
    for row in rows:
        if row.difference is not None and not np.isnan(row.difference.value):
            found.setdefault(f"{row.encoder}, {row.way}", []).append(_point(row, row.difference))
    if not found:
        return []
    svg = forest_figure(found, "difference of AUC from the baseline", 0.0)
    caption = "With 95% patient-bootstrap intervals, by share of labels; right of the dotted line is better than the baseline."
    return [Figure(f"Differences, '{test_set}'", svg, caption)]


def _point(row: StudyRow, interval: Interval) -> Point:
    return Point(row.fraction, interval.value, interval.low, interval.high)


def _facts(result: StudyResult) -> list[tuple[str, str]]:
    config = result.config
    facts = [
        ("baseline", f"{config.baseline.encoder}, {config.baseline.way}"),
        ("trainings", f"{result.n_done} of {result.n_runs}"),
        ("draws of each fraction below 100%", str(config.draws)),
        ("fewest patients of either answer in a draw", str(config.min_patients)),
        ("cross-validation", f"{config.folds} folds, {config.repeats} repeats"),
        ("bootstrap resamples", str(config.resamples)),
        ("seed", str(config.seed)),
    ]
    if config.choice is not None:
        facts.append(
            (
                config.choice.name,
                f"among {len(config.candidates)} candidates, by up to {config.choice.folds} inner folds",
            )
        )
    for way in config.ways:
        settings = ", ".join(f"{name}={value}" for name, value in way.settings.items()) or "default settings"
        kind = f"head {way.head}" if way.kind == "head" else "fine-tuned network"
        facts.append((f"way '{way.name}'", f"{kind}, {settings}"))
    for question in result.plan.questions:
        for name, units in result.plan.units[question.name].items():
            facts.append(
                (
                    f"{question.name}, table '{name}'",
                    f"{len(units)} {question.task.unit}s of {units.n_patients} patients, {units.n_positive} yes",
                )
            )
    return facts
