"""The figures of a study: AUC with intervals, paired differences from the baseline, and means over tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lusfx.metrics import (
    Answers,
    Interval,
    Statistic,
    Targets,
    Weighted,
    delong,
    pairs,
    patient_bootstrap,
    roc_auc,
    within_folds,
)
from lusfx.studies.cells import Cell, Place, common_draws
from lusfx.studies.config import MEAN, StudyConfig

COLUMNS: Mapping[str, str] = {
    "encoder": "initial weights",
    "way": "how the task was learnt",
    "task": f"the task; `{MEAN}` where the row is of all tasks that have this test set",
    "fraction": "share of the training patients whose labels were used",
    "test_set": "what it was judged on; `local` is cross-validated where no table of that name was given",
    "n_tasks": "tasks that the row is of",
    "training_patients_min": "the fewest patients that a training really had",
    "training_patients_max": "the most",
    "n_draws": "draws of patients, or repeats of the cross-validation, that the figures are a mean over",
    "n_refused": "draws that are not in it, as a training was refused",
    "n_units": "units judged: clips, exams or frames",
    "n_patients": "their patients",
    "n_positive": "units whose answer is yes",
    "auc": "area under the ROC curve",
    "auc_low": "lower end of its 95% patient-bootstrap interval",
    "auc_high": "upper end",
    "difference": "AUC minus that of the baseline, of the same units and draws",
    "difference_low": "lower end of its 95% patient-bootstrap interval",
    "difference_high": "upper end",
    "delong_p": "two-sided p of DeLong's test of the difference, which takes units as independent",
}
"""Columns of the table of results, with what they mean."""


@dataclass(frozen=True, slots=True)
class StudyRow:
    """One row of the results; its fields are in order those of :data:`COLUMNS`, intervals being three.

    :param difference: None of the baseline itself, and where the two have no draw in common.
    """

    encoder: str
    way: str
    task: str
    fraction: float
    test_set: str
    n_tasks: int
    training_patients: tuple[int, int]
    n_draws: int
    n_refused: int
    n_units: int
    n_patients: int
    n_positive: int
    auc: Interval
    difference: Interval | None
    delong_p: float | None

    def cells(self) -> dict[str, Any]:
        """By column."""
        missing = None, None, None
        difference = missing if self.difference is None else three(self.difference)
        values = (
            self.encoder,
            self.way,
            self.task,
            self.fraction,
            self.test_set,
            self.n_tasks,
            *self.training_patients,
            self.n_draws,
            self.n_refused,
            self.n_units,
            self.n_patients,
            self.n_positive,
            *three(self.auc),
            *difference,
            None if self.delong_p is None else digits(self.delong_p),
        )
        return dict(zip(COLUMNS, values, strict=True))


def study_rows(cells: Mapping[Place, Cell], config: StudyConfig) -> list[StudyRow]:
    """A row a cell, and where there are several tasks one of their mean; in the order of the cells."""
    return [*task_rows(cells, config), *mean_rows(cells, config)]


def task_rows(cells: Mapping[Place, Cell], config: StudyConfig) -> list[StudyRow]:
    """A row a cell that has scores."""
    rows = []
    for place, cell in cells.items():
        encoder, way, question, fraction, test_set = place
        if not cell.draws:
            continue
        other = cells.get((config.baseline.encoder, config.baseline.way, question, fraction, test_set))
        is_baseline = (encoder, way) == (config.baseline.encoder, config.baseline.way)
        pair = None if other is None or is_baseline else _paired(cell, other)
        rows.append(
            StudyRow(
                encoder,
                way,
                question,
                fraction,
                test_set,
                1,
                cell.training_patients,
                len(cell.draws),
                cell.n_refused,
                len(cell.units),
                cell.units.n_patients,
                cell.units.n_positive,
                _bootstrap([cell], config),
                None if pair is None else _bootstrap([pair[0]], config, [pair[1]]),
                None if pair is None else _delong_p(*pair),
            )
        )
    return rows


def mean_rows(cells: Mapping[Place, Cell], config: StudyConfig) -> list[StudyRow]:
    """A row for each mean over tasks: of the draws that all of its tasks have; none where a task has no scores.

    A resample draws patients once for all tasks, so that a patient who is in several counts in all of them alike.
    """
    groups: dict[tuple[str, str, float, str], list[Cell]] = {}
    names: dict[tuple[str, str, float, str], list[str]] = {}
    for (encoder, way, question, fraction, test_set), cell in cells.items():
        groups.setdefault((encoder, way, fraction, test_set), []).append(cell)
        names.setdefault((encoder, way, fraction, test_set), []).append(question)
    most = {key[3]: max(len(of) for other, of in groups.items() if other[3] == key[3]) for key in groups}
    rows = []
    for key, members in groups.items():
        encoder, way, fraction, test_set = key
        chosen = common_draws(members)
        if len(members) < max(2, most[test_set]) or not chosen[0].draws:
            continue
        baseline = config.baseline.encoder, config.baseline.way
        others = groups.get((*baseline, fraction, test_set), [])
        difference = None
        if (encoder, way) != baseline and names.get((*baseline, fraction, test_set)) == names[key]:
            both = common_draws([*members, *others])
            if both[0].draws:
                difference = _bootstrap(both[: len(members)], config, both[len(members) :])
        units = {
            unit: group for cell in members for unit, group in zip(cell.units.keys, cell.units.groups, strict=True)
        }
        rows.append(
            StudyRow(
                encoder,
                way,
                MEAN,
                fraction,
                test_set,
                len(members),
                (min(c.training_patients[0] for c in members), max(c.training_patients[1] for c in members)),
                len(chosen[0].draws),
                sum(cell.n_refused for cell in members),
                len(units),
                len(set(units.values())),
                sum(cell.units.n_positive for cell in members),
                _bootstrap(chosen, config),
                difference,
                None,
            )
        )
    return rows


def mean_auc(cells: Sequence[Cell], others: Sequence[Cell], draw: int) -> Statistic:
    """Mean over cells of the AUC within folds, less that of the others where there are any, of the units of all end to end.

    :param draw: position among the cells' draws.
    """

    def prepare(targets: Targets, scores: Answers) -> Weighted:
        ends = np.cumsum([len(cell.units) for cell in cells])
        parts = []
        for position, (cell, end) in enumerate(zip(cells, ends.tolist(), strict=True)):
            here = slice(end - len(cell.units), end)
            auc = within_folds(roc_auc, cell.folds[draw], pairs)
            parts.append((here, 1, auc.prepare(targets[here], scores[0][here])))
            if others:
                other = within_folds(roc_auc, others[position].folds[draw], pairs)
                parts.append((here, -1, other.prepare(targets[here], scores[1][here])))
        return lambda weights: sum(sign * part(weights[here]) for here, sign, part in parts) / len(cells)

    return Statistic(prepare)


def _bootstrap(cells: Sequence[Cell], config: StudyConfig, others: Sequence[Cell] = ()) -> Interval:
    """The mean AUC over cells, or its difference from that of others with the same units and draws, with its interval."""
    targets = np.concatenate([cell.units.targets for cell in cells])
    groups = np.concatenate([cell.units.groups for cell in cells])
    draws = range(len(cells[0].draws))
    sides = [cells, others] if others else [cells]
    scores = np.stack(
        [np.stack([np.concatenate([cell.scores[draw] for cell in side]) for side in sides]) for draw in draws]
    )
    statistics = [mean_auc(cells, others, draw) for draw in draws]
    return patient_bootstrap(statistics, targets, scores, groups, seed=config.seed, n_resamples=config.resamples)


def _paired(cell: Cell, other: Cell) -> tuple[Cell, Cell] | None:
    """The two with the draws that both have; None where they have none in common."""
    first, second = common_draws([cell, other])
    return (first, second) if first.draws else None


def _delong_p(cell: Cell, other: Cell) -> float:
    return delong(cell.units.targets, cell.scores, other.scores, list(cell.folds)).p


def three(interval: Interval) -> tuple[float, float, float]:
    """An interval as tables have it: figure, lower end, upper end."""
    return digits(interval.value), digits(interval.low), digits(interval.high)


def digits(value: float) -> float:
    """As many as mean anything: the rest is rounding, and would make 0 something else."""
    return round(value, 10)
