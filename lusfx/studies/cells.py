"""The cells of a study's table: what one encoder achieves in one way, from one label fraction, on one test set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.studies.plan import Run, StudyPlan
from lusfx.studies.run_store import Scores
from lusfx.studies.units import AskedUnits

Place = tuple[str, str, str, float, str]
"""Encoder, way, question, label fraction, test set."""


@dataclass(frozen=True, slots=True)
class Cell:
    """Scores of a test set's units by networks or heads that were trained on other patients.

    :param draws: numbers of the draws (of the whole fraction: repeats) that gave scores.
    :param scores: ``(n_draws, n)``.
    :param folds: ``(n_draws, n)`` which fold's head a score is from; 0 where all are from one.
    :param training_patients: the fewest and the most that a training had.
    :param n_refused: draws in which a training was refused; they gave no scores.
    :param refused: why, the first time.
    """

    units: AskedUnits
    draws: Sequence[int]
    scores: NDArray[np.float64]
    folds: NDArray[np.int64]
    training_patients: tuple[int, int]
    n_refused: int
    refused: str | None


def cells_of(plan: StudyPlan, runs: Iterable[Run], found: Mapping[str, Scores]) -> tuple[dict[Place, Cell], int]:
    """The cells all of whose runs are done, and how many cells are not.

    :param runs: the plan's, or runs of it under another name.
    :param found: scores by the digest of their run.
    """
    runs_of: dict[Place, list[Run]] = {}
    for run in runs:
        for test_set in run.split.tests:
            place = run.encoder, run.way, run.split.question, run.split.fraction, test_set
            runs_of.setdefault(place, []).append(run)
    cells: dict[Place, Cell] = {}
    for place, members in runs_of.items():
        done = [found[digest] for digest in (run.digest for run in members) if digest in found]
        if len(done) == len(members):
            units = plan.test_units(place[2], place[4])
            cells[place] = _cell(members, done, units, place[4])
    return cells, len(runs_of) - len(cells)


def common_draws(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with the draws that all of them have."""
    shared = [draw for draw in cells[0].draws if all(draw in cell.draws for cell in cells[1:])]
    return [of_draws(cell, shared) for cell in cells]


def of_draws(cell: Cell, draws: Sequence[int]) -> Cell:
    """The cell with some of its draws."""
    rows: NDArray[np.intp] = np.array([list(cell.draws).index(draw) for draw in draws], np.intp)
    return Cell(
        cell.units,
        list(draws),
        cell.scores[rows],
        cell.folds[rows],
        cell.training_patients,
        cell.n_refused,
        cell.refused,
    )


def _cell(runs: Sequence[Run], found: Sequence[Scores], units: AskedUnits, test_set: str) -> Cell:
    by_draw: dict[int, list[tuple[Run, Scores]]] = {}
    for run, scores in zip(runs, found, strict=True):
        by_draw.setdefault(run.split.draw, []).append((run, scores))
    refused = [scores.refused for scores in found if scores.refused is not None]
    draws = [draw for draw, parts in by_draw.items() if all(scores.refused is None for _, scores in parts)]
    values = np.full((len(draws), len(units)), np.nan)
    folds = np.zeros((len(draws), len(units)), np.int64)
    for position, draw in enumerate(draws):
        for run, scores in by_draw[draw]:
            rows = run.split.tests[test_set]
            values[position, rows] = scores.of_test[test_set]
            folds[position, rows] = max(run.split.fold, 0)
    patients = [run.split.n_patients for run in runs]
    return Cell(
        units=units,
        draws=draws,
        scores=values,
        folds=folds,
        training_patients=(min(patients), max(patients)),
        n_refused=len(by_draw) - len(draws),
        refused=refused[0] if refused else None,
    )
