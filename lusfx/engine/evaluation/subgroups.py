"""What a task model achieves on parts of a label table, by any of its columns: device, zone, probe."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.samples.labels import FRAME_COLUMN, LabelRow
from lusfx.engine.samples.samples import Samples
from lusfx.errors import UsageError
from lusfx.metrics import Interval, Targets, patient_bootstrap, roc_auc, sensitivity, specificity
from lusfx.task_model import OutcomeCard, UnitFeatures

MOST_VALUES = 30
FEWEST_UNITS, FEWEST_PATIENTS = 10, 5
"""Of an answer, below which a rate of it is not worth an interval."""
OF_PATIENTS = ("patient_id", "exam_id", "path", "clip", FRAME_COLUMN)
NOT_STATED, SEVERAL = "not stated", "several"


@dataclass(frozen=True, slots=True)
class Subgroup:
    """One outcome on the units that have one value of a column. A figure is None where there are too few units to say.

    :param value: a cell of the label table.
    :param point: the operating point that the rates are of; None, as the rates, where the model only orders units.
    :param expected: how many units the probabilities expect to be yes; None where there are none.
    """

    column: str
    value: str
    outcome: str
    point: str | None
    n_units: int
    n_events: int
    n_patients: int
    expected: float | None
    roc_auc: Interval | None
    sensitivity: Interval | None
    specificity: Interval | None

    def line(self) -> str:
        """For a terminal."""
        figures = [("AUC", self.roc_auc), ("sensitivity", self.sensitivity), ("specificity", self.specificity)]
        if self.point is None:
            del figures[1:]
        said = ", ".join(f"{name} {'not enough to say' if value is None else value}" for name, value in figures)
        expected = "" if self.expected is None else f", {self.expected:.1f} expected"
        return (
            f"{self.column} '{self.value}', {self.outcome}: {self.n_events} of {self.n_units} are yes{expected}, "
            f"{self.n_patients} patients; {said}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs."""
        facts = {name: getattr(self, name) for name in self.__slots__}
        return {name: value.as_dict() if isinstance(value, Interval) else value for name, value in facts.items()}


def check_columns(columns: Sequence[str], rows: Sequence[LabelRow]) -> None:
    """Refuse columns that make no subgroups, before anything is judged.

    :raises UsageError: if the table has no such column, it names single patients or clips, or it has too many values.
    """
    for column in columns:
        if column not in rows[0].row.cells:
            raise UsageError(f"the label table has no column '{column}' to form subgroups by")
        n_values = len({entry.row[column] for entry in rows})
        if column in OF_PATIENTS or n_values > MOST_VALUES:
            raise UsageError(
                f"the column '{column}' has {n_values} values or names single units: subgroups are formed by a column "
                f"with at most {MOST_VALUES} values, such as a device or a zone"
            )


def subgroups(
    columns: Sequence[str],
    rows: Sequence[LabelRow],
    samples: Samples[UnitFeatures],
    outcomes: Sequence[OutcomeCard],
    probabilities: NDArray[np.float64],
    seed: int,
) -> list[Subgroup]:
    """Every subgroup of every column and outcome, the largest of a column first.

    :param probabilities: ``(n, n_outcomes)`` of the samples.
    """
    return [
        _subgroup(column, value, units, samples, number, outcome, probabilities[:, number], seed)
        for column in columns
        for value, units in _parts(values_of_units(column, rows, samples.keys.tolist()))
        for number, outcome in enumerate(outcomes)
    ]


def values_of_units(column: str, rows: Sequence[LabelRow], units: Sequence[str]) -> list[str]:
    """The cell of each unit; ``several`` where its rows differ.

    :param units: names of clips, exams or frames.
    """
    cells: dict[str, set[str]] = {}
    for entry in rows:
        position = entry.row.cells.get(FRAME_COLUMN, "")
        frame = f"{entry.key}#{int(position)}" if position.isdecimal() else None
        for name in {entry.key, entry.exam_key, frame} - {None}:
            cells.setdefault(str(name), set()).add(entry.row[column] or NOT_STATED)
    found = (cells.get(unit) or cells.get(unit.partition("#")[0], {NOT_STATED}) for unit in units)
    return [next(iter(values)) if len(values) == 1 else SEVERAL for values in found]


def _parts(values: Sequence[str]) -> Iterator[tuple[str, NDArray[np.intp]]]:
    for value, _ in sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])):
        yield value, np.flatnonzero(np.array(values) == value)


def _subgroup(
    column: str,
    value: str,
    units: NDArray[np.intp],
    samples: Samples[UnitFeatures],
    number: int,
    outcome: OutcomeCard,
    probabilities: NDArray[np.float64],
    seed: int,
) -> Subgroup:
    here = np.intersect1d(units, samples.known(number))
    targets, groups, told = samples.targets[here, number], samples.groups[here], probabilities[here]
    decides = outcome.decides is not None
    answers = told >= outcome.deciding_threshold if decides else np.zeros(len(told), np.bool_)
    enough = {answer: _enough(targets, groups, answer) for answer in (0, 1)}
    auc, found, spared = (
        patient_bootstrap(statistic, targets, given, groups, seed=seed) if worth else None
        for statistic, given, worth in (
            (roc_auc, told, all(enough.values())),
            (sensitivity, answers, decides and enough[1]),
            (specificity, answers, decides and enough[0]),
        )
    )
    return Subgroup(
        column=column,
        value=value,
        outcome=outcome.name,
        point=outcome.decides,
        n_units=len(here),
        n_events=int(targets.sum()),
        n_patients=len(np.unique(groups)),
        expected=float(told.sum()) if decides else None,
        roc_auc=auc,
        sensitivity=found,
        specificity=spared,
    )


def _enough(targets: Targets, groups: NDArray[np.str_], answer: int) -> bool:
    of_answer = groups[targets == answer]
    return len(of_answer) >= FEWEST_UNITS and len(np.unique(of_answer)) >= FEWEST_PATIENTS
