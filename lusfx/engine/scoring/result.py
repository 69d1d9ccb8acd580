"""What a scoring run did: counts of its rows, made as they pass on their way to the file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.extraction.extract import ExtractResult
from lusfx.engine.scoring.table import NOT_ASSESSABLE, SCORED
from lusfx.shown import Shown
from lusfx.tables import Cell
from lusfx.task_model import TaskModel

if TYPE_CHECKING:
    import pyarrow

N_BINS = 20
"""Of probabilities, from 0 to 1."""


@dataclass(slots=True)
class ModelTally:
    """What one model said.

    :param answers: units by answer; ``reasons`` units or clips without an answer by code.
    :param counts: by outcome, ``(N_BINS,)`` units by probability.
    """

    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)

    @property
    def n_scored(self) -> int:
        return self.answers.total()

    def in_order(self, model: TaskModel) -> list[tuple[str, int]]:
        """Answers with their units, in the task's own order where it has one, since levels are read in theirs."""
        named = {name: self.answers[name] for name in model.card.task.classes if name in self.answers}
        return list((named | dict(self.answers.most_common())).items())


@dataclass(slots=True)
class ScoreTally:
    """Counts the rows of a score table on their way to the file.

    :param models: those that were asked.
    :param statuses: number of rows by status: ``scored``, ``not assessable``, ``failed``, ``skipped``, ``not reached``.
    :param reasons: number of rows without an answer, by code.
    """

    models: Sequence[TaskModel]
    by_model: dict[str, ModelTally] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        for model in self.models:
            counts = {outcome.name: np.zeros(N_BINS, np.int64) for outcome in model.card.outcomes}
            self.by_model[model.digest] = ModelTally(counts=counts)

    def count_rows(self, rows: Iterable[dict[str, Cell]]) -> Iterator[dict[str, Cell]]:
        """The same rows, counted as they pass."""
        for row in rows:
            self._count(row)
            yield row

    def _count(self, row: Mapping[str, Cell]) -> None:
        tally = self.by_model[str(row["model_digest"])]
        self.statuses[str(row["status"])] += 1
        if row.get("code") is not None:
            self.reasons[str(row["code"])] += 1
        if row["status"] != SCORED:
            tally.reasons[str(row.get("code") or row["status"])] += 1
            return
        outcome, probability = str(row["outcome"]), row["probability"]
        if not isinstance(probability, float):
            raise TypeError("a scored row has a probability")
        bins = tally.counts[outcome]
        bins[min(int(probability * N_BINS), N_BINS - 1)] += 1
        if outcome == next(iter(tally.counts)):  # a unit has a row an outcome, and one answer
            tally.answers[str(row["answer"])] += 1


@dataclass(frozen=True, slots=True, repr=False)
class ScoreResult(Shown):
    """What a scoring run did.

    :param exams: table of the exams, where a model summarises them; else None.
    :param extraction: what the run did before the models were asked; None where it scored what the cache held.
    :param tally: the rows by model, answer and probability.
    :param problems: what went wrong after the table was written.
    """

    out: Path
    exams: Path | None
    extraction: ExtractResult | None
    tally: ScoreTally
    problems: Sequence[str]

    @property
    def models(self) -> list[str]:
        """Names of the models that were asked."""
        return [model.name for model in self.tally.models]

    @property
    def rows(self) -> Mapping[str, int]:
        """Number of rows by status."""
        return self.tally.statuses

    @property
    def reasons(self) -> Mapping[str, int]:
        """Number of rows without an answer, by code."""
        return self.tally.reasons

    def summary(self) -> str:
        """One line that adds up."""
        scored, not_assessable = self.rows.get(SCORED, 0), self.rows.get(NOT_ASSESSABLE, 0)
        total = sum(self.rows.values())
        line = f"{total} rows = {scored} scored + {not_assessable} not assessable"
        if total > scored + not_assessable:
            line += f" + {total - scored - not_assessable} without features"
        return f"{line}, of {len(self.models)} models"

    def table(self) -> pyarrow.Table:
        """The score table as it was written; ``.to_pandas()`` makes a data frame of it.

        From a ``.csv`` the columns' types are those that their cells look like, and text that a spreadsheet would take for a
        formula keeps its apostrophe.
        """
        if self.out.suffix.lower() == ".parquet":
            from pyarrow import parquet

            return parquet.read_table(self.out)
        from pyarrow import csv

        return csv.read_csv(self.out)

    def table_cells(self) -> list[list[str]]:
        """Units by each model's answer."""
        return [["model", "answer", "units"]] + [
            [model.name, answer, str(count)]
            for model in self.tally.models
            for answer, count in self.tally.by_model[model.digest].in_order(model)
        ]

    def as_dict(self, show_paths: bool = False) -> dict[str, Any]:
        """For programs: what ``lusfx score --json`` prints."""
        return {
            "models": list(self.models),
            "rows": sum(self.rows.values()),
            "by_status": dict(self.rows),
            "by_reason": dict(self.reasons),
            "extraction": None if self.extraction is None else self.extraction.as_dict(show_paths),
            "problems": list(self.problems),
        }
