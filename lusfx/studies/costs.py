"""What choosing costs: the chosen procedure beside the best fixed choice, which is known only from the judged patients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics import Interval, aucs_of_weightings, patient_resamples, percentile_interval
from lusfx.studies.cells import Cell, Place, common_draws, of_draws
from lusfx.studies.choice import Choices
from lusfx.studies.config import CHOSEN, MEAN, StudyConfig
from lusfx.studies.figures import StudyRow, digits, three

BY_TASK = "best by task"
"""Stands for the encoder and the way where each task has its own best."""
WEIGHTS_AT_ONCE = 4_000_000
"""Numbers in memory for each score that resamples are judged by."""

COST_COLUMNS: Mapping[str, str] = {
    "task": f"the task; `{MEAN}` where the row is of all tasks that have this test set",
    "fraction": "share of the training patients whose labels were used",
    "test_set": "what it was judged on",
    "n_tasks": "tasks that the row is of",
    "n_choices": "choices made: folds, draws and tasks",
    "n_without_merit": "those of them made without a merit, as no patients could be held out: the first candidate was taken",
    "n_candidates": "candidates that the best is of: those with scores in all of these draws",
    "auc": "AUC of the chosen procedure",
    "auc_low": "lower end of its 95% patient-bootstrap interval",
    "auc_high": "upper end",
    "best_encoder": f"the best fixed choice; `{BY_TASK}` where each task has its own, else one for all of them",
    "best_way": "its way",
    "best_auc": "its AUC, the highest of the table in these draws",
    "optimism": "`best_auc` minus `auc`: what the highest figure promises too much",
    "optimism_low": "lower end of its 95% patient-bootstrap interval, in which the best is found anew in each resample",
    "optimism_high": "upper end",
}
"""Columns of the table of costs, with what they mean."""


@dataclass(frozen=True, slots=True)
class CostRow:
    """One row of the costs; its fields are in order those of :data:`COST_COLUMNS`, intervals being three."""

    task: str
    fraction: float
    test_set: str
    n_tasks: int
    n_choices: int
    n_without_merit: int
    n_candidates: int
    auc: Interval
    best_encoder: str
    best_way: str
    best_auc: float
    optimism: Interval

    def cells(self) -> dict[str, Any]:
        """By column."""
        values = (
            self.task,
            self.fraction,
            self.test_set,
            self.n_tasks,
            self.n_choices,
            self.n_without_merit,
            self.n_candidates,
            *three(self.auc),
            self.best_encoder,
            self.best_way,
            digits(self.best_auc),
            *three(self.optimism),
        )
        return dict(zip(COST_COLUMNS, values, strict=True))


def cost_rows(
    rows: Sequence[StudyRow], cells: Mapping[Place, Cell], choices: Choices, config: StudyConfig
) -> list[CostRow]:
    """A row for each row of the chosen procedure; of a mean over tasks two, with one best for all and with the best by task.

    There is none where every candidate lacks a draw that was chosen in.
    """
    costs: list[CostRow] = []
    for row in rows:
        if config.choice is None or (row.encoder, row.way) != (CHOSEN, config.choice.name):
            continue
        tasks = [
            place[2]
            for place in cells
            if (*place[:2], *place[3:]) == (row.encoder, row.way, row.fraction, row.test_set)
            and row.task in (place[2], MEAN)
        ]
        chosen = common_draws([cells[row.encoder, row.way, task, row.fraction, row.test_set] for task in tasks])
        fixed: dict[tuple[str, str], list[Cell]] = {}
        for encoder, way in config.candidates:
            members = [cells.get((encoder, way, task, row.fraction, row.test_set)) for task in tasks]
            whole = [cell for cell in members if cell is not None and set(chosen[0].draws) <= set(cell.draws)]
            if len(whole) == len(tasks):
                fixed[encoder, way] = [of_draws(cell, chosen[0].draws) for cell in whole]
        if not fixed:
            continue
        made = [each for task in tasks for each in choices.of(task, row.fraction, row.test_set)]
        for by_task in (False, True)[: len(tasks)]:
            best, best_auc, optimism = _optimism(chosen, list(fixed.values()), config, by_task)
            names = (BY_TASK, BY_TASK) if by_task else list(fixed)[best]
            costs.append(
                CostRow(
                    row.task,
                    row.fraction,
                    row.test_set,
                    row.n_tasks,
                    len(made),
                    sum(not each.by_merit for each in made),
                    len(fixed),
                    row.auc,
                    *names,
                    best_auc,
                    optimism,
                )
            )
    return costs


def _optimism(
    chosen: Sequence[Cell], fixed: Sequence[Sequence[Cell]], config: StudyConfig, by_task: bool
) -> tuple[int, float, Interval]:
    """The best of the fixed choices (its position, for the first task), its AUC, and how far it is above the chosen procedure.

    A resample draws patients and one of the draws, as for every interval of a study. The best is that of the mean over all
    draws on these patients, and is compared with the chosen procedure in the one draw.

    :param chosen: of each task; all cells have the same draws.
    :param fixed: of each candidate, of each task.
    """
    procedures = [chosen, *fixed]
    groups = np.concatenate([cell.units.groups for cell in chosen])
    n_draws = len(chosen[0].draws)
    areas = _areas(procedures, np.ones((1, len(groups))))
    best = _best(areas[1:], by_task)
    best_auc, chosen_auc = (float(each.mean()) for each in (_picked(areas[1:], best), areas[0]))
    resamples = patient_resamples(groups, n_draws, seed=config.seed, n_resamples=config.resamples)
    values = []
    while some := list(islice(resamples, max(1, WEIGHTS_AT_ONCE // len(groups)))):
        areas = _areas(procedures, np.stack([weights for weights, _ in some]))
        above = _picked(areas[1:], _best(areas[1:], by_task)) - areas[0]
        draws = np.array([draw for _, draw in some])
        values.append(above.mean(axis=0)[draws, np.arange(len(some))])
    return int(best[0, 0]), best_auc, percentile_interval(best_auc - chosen_auc, np.concatenate(values))


def _areas(procedures: Sequence[Sequence[Cell]], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n_procedures, n_tasks, n_draws, n_weightings)``: the AUC within folds.

    :param weights: ``(n_weightings, n)`` of the units of all tasks end to end.
    """
    first = procedures[0]
    ends = np.cumsum([len(cell.units) for cell in first])
    found = np.empty((len(procedures), len(first), len(first[0].draws), len(weights)))
    for task, (cell, end) in enumerate(zip(first, ends.tolist(), strict=True)):
        here = weights[:, end - len(cell.units) : end]
        for number, of_tasks in enumerate(procedures):
            for draw, (scores, folds) in enumerate(zip(of_tasks[task].scores, of_tasks[task].folds, strict=True)):
                found[number, task, draw] = aucs_of_weightings(cell.units.targets, scores, folds, here)
    return found


def _best(areas: NDArray[np.float64], by_task: bool) -> NDArray[np.intp]:
    """``(n_tasks, n_weightings)``: the candidate that is highest in the mean over draws, for each task or over all of them.

    :param areas: ``(n_candidates, n_tasks, n_draws, n_weightings)``.
    """
    over_draws = areas.mean(axis=2)
    if by_task:
        return np.asarray(over_draws.argmax(axis=0))
    return np.broadcast_to(over_draws.mean(axis=1).argmax(axis=0), over_draws.shape[1:])


def _picked(areas: NDArray[np.float64], best: NDArray[np.intp]) -> NDArray[np.float64]:
    """``(n_tasks, n_draws, n_weightings)``: those of the candidates that :func:`_best` names."""
    return np.asarray(np.take_along_axis(areas, best[None, :, None, :], axis=0)[0])
