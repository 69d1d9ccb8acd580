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
from lusfx.engine.scoring.words import in_words
from lusfx.errors import UsageError
from lusfx.messages import are, counted
from lusfx.novelty import USUAL_SHARE
from lusfx.shown import Shown
from lusfx.tables import Cell
from lusfx.task_model import TaskModel

if TYPE_CHECKING:
    import pyarrow

KEPT_ROWS = 1000
"""That can be told in words: those of some clips, or of the frames of one."""
N_BINS = 20
"""Of probabilities, from 0 to 1."""
FEWEST_MEASURED, MORE_THAN_CHANCE = 20, 0.1
"""Of so many units, a share beyond the limit that is so much above the expected one is said."""


@dataclass(slots=True)
class ModelTally:
    """What one model said.

    :param n_scored: units with an answer, or with a score of a model that only orders them.
    :param answers: units by answer; ``reasons`` units or clips without an answer by code.
    :param counts: by outcome, ``(N_BINS,)`` units by probability, or by score.
    :param n_in_training: units whose clip or patient was in the model's training, with an answer or without.
    :param n_measured: units whose distance from the training set is known, and ``n_far`` those beyond the limit.
    """

    n_scored: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    counts: dict[str, NDArray[np.int64]] = field(default_factory=dict)
    n_in_training: int = 0
    n_measured: int = 0
    n_far: int = 0

    def in_order(self, model: TaskModel) -> list[tuple[str, int]]:
        """Answers with their units, in the task's own order where it has one, since levels are read in theirs; of a model that
        gives none, its scores.
        """
        if model.card.orders_only:
            return [("a score to order by", self.n_scored)]
        named = {name: self.answers[name] for name in model.card.task.classes if name in self.answers}
        return list((named | dict(self.answers.most_common())).items())


@dataclass(slots=True)
class ScoreTally:
    """Counts the rows of a score table on their way to the file.

    :param models: those that were asked.
    :param statuses: number of rows by status: ``scored``, ``not assessable``, ``failed``, ``skipped``, ``not reached``.
    :param reasons: number of rows without an answer, by code.
    :param kept: the first rows.
    """

    models: Sequence[TaskModel]
    by_model: dict[str, ModelTally] = field(default_factory=dict)
    statuses: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    kept: list[dict[str, Cell]] = field(default_factory=list, repr=False)
    _limits: dict[str, float | None] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        for model in self.models:
            counts = {outcome.name: np.zeros(N_BINS, np.int64) for outcome in model.card.outcomes}
            self.by_model[model.digest] = ModelTally(counts=counts)
        self._limits = {m.digest: None if m.card.novelty is None else m.card.novelty.limit for m in self.models}

    @property
    def starters(self) -> list[TaskModel]:
        """The models that only order units."""
        return [model for model in self.models if model.card.orders_only]

    def count_rows(self, rows: Iterable[dict[str, Cell]]) -> Iterator[dict[str, Cell]]:
        """The same rows, counted as they pass."""
        for row in rows:
            self._count(row)
            if len(self.kept) < KEPT_ROWS:
                self.kept.append(row)
            yield row

    def warnings(self) -> list[str]:
        """What whoever reads the table must not miss: units that a model knows, and many that are unlike its training set."""
        said = [_only_order(self.starters)] if self.starters else []
        for model in self.models:
            tally, unit = self.by_model[model.digest], model.card.task.unit
            if tally.n_in_training:
                said.append(
                    f"{counted(tally.n_in_training, unit)} {are(tally.n_in_training)} of the training of {model.name}, or "
                    "of its patients: its answers about them are too good (in_training). What heads that had not "
                    "seen the patient said stands in out_of_fold, where it is known"
                )
            if (
                tally.n_measured >= FEWEST_MEASURED
                and tally.n_far / tally.n_measured > far_share(model) + MORE_THAN_CHANCE
            ):
                said.append(
                    f"{tally.n_far} of {counted(tally.n_measured, unit)} lie farther from the training set of {model.name} "
                    f"than its limit ({tally.n_far / tally.n_measured:.0%}, where {far_share(model):.0%} are expected): "
                    "another device, view or kind of patient? Judge the model on such clips before it is believed "
                    "(lusfx evaluate)"
                )
        return said

    def _count(self, row: Mapping[str, Cell]) -> None:
        tally = self.by_model[str(row["model_digest"])]
        if row["status"] != SCORED or row["outcome"] == next(iter(tally.counts)):
            self._count_unit(tally, row)
        self.statuses[str(row["status"])] += 1
        if row.get("code") is not None:
            self.reasons[str(row["code"])] += 1
        if row["status"] != SCORED:
            tally.reasons[str(row.get("code") or row["status"])] += 1
            return
        outcome, probability = str(row["outcome"]), row.get("probability", row.get("score"))
        if not isinstance(probability, float):
            raise TypeError("a scored row has a probability or a score")
        bins = tally.counts[outcome]
        bins[min(int(probability * N_BINS), N_BINS - 1)] += 1
        if outcome == next(iter(tally.counts)):  # a unit has a row an outcome, and one answer
            tally.n_scored += 1
            if row["answer"] is not None:
                tally.answers[str(row["answer"])] += 1

    def _count_unit(self, tally: ModelTally, row: Mapping[str, Cell]) -> None:
        """Count what the rows of a unit, one an outcome, have in common."""
        tally.n_in_training += bool(row.get("in_training"))
        distance, limit = row.get("distance"), self._limits[str(row["model_digest"])]
        if limit is not None and isinstance(distance, float) and not np.isnan(distance):
            tally.n_measured += 1
            tally.n_far += distance > limit


def _only_order(starters: Sequence[TaskModel]) -> str:
    names = ", ".join(model.name for model in starters)
    return (
        f"{names} learnt from simulated exams alone, and from no patient: the scores order clips, are no probabilities, and "
        "say neither yes nor no. With labels of your own, lusfx recalibrate makes a model that answers"
    )


def far_share(model: TaskModel) -> float:
    """The share of units like those of the training that are expected beyond a model's limit."""
    return 1 - (model.card.task.abstain.familiar or USUAL_SHARE)


@dataclass(frozen=True, slots=True, repr=False)
class ScoreResult(Shown):
    """What a scoring run did.

    :param exams: table of the exams, where a model summarises them; else None.
    :param extraction: what the run did before the models were asked; None where it scored what the cache held.
    :param tally: the rows by model, answer and probability.
    :param out: None where no table was asked for.
    :param problems: what went wrong after the table was written.
    :param exam_warnings: of exams that could not be summed up.
    """

    out: Path | None
    exams: Path | None
    extraction: ExtractResult | None
    tally: ScoreTally
    problems: Sequence[str]
    exam_warnings: Sequence[str] = ()

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the table must not miss."""
        return [*self.tally.warnings(), *self.exam_warnings]

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

    @property
    def words(self) -> list[str]:
        """What was answered, a line a model and clip or exam, of the first rows."""
        return in_words(self.tally.kept, self.tally.models)

    def summary(self) -> str:
        """One line that adds up."""
        scored, not_assessable = self.rows.get(SCORED, 0), self.rows.get(NOT_ASSESSABLE, 0)
        total = sum(self.rows.values())
        line = f"{counted(total, 'row')} = {scored} scored + {not_assessable} not assessable"
        if total > scored + not_assessable:
            line += f" + {total - scored - not_assessable} without features"
        starters = len(self.tally.starters)
        simulated = f" ({starters} from simulated exams: scores that only order)" if starters else ""
        return f"{line}, of {counted(len(self.models), 'model')}{simulated}"

    def table(self) -> pyarrow.Table:
        """The score table as it was written; ``.to_pandas()`` makes a data frame of it.

        From a ``.csv`` the columns' types are those that their cells look like, and text that a spreadsheet would take for a
        formula keeps its apostrophe.

        :raises UsageError: if no table was asked for.
        """
        if self.out is None:
            raise UsageError("no table was asked for: name one with out")
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
            "trained_on": {model.name: model.card.trained_on for model in self.tally.models},
            "rows": sum(self.rows.values()),
            "by_status": dict(self.rows),
            "by_reason": dict(self.reasons),
            "extraction": None if self.extraction is None else self.extraction.as_dict(show_paths),
            "answers": self.words,
            "in_training": {m.name: self.tally.by_model[m.digest].n_in_training for m in self.tally.models},
            "far": {
                m.name: {"units": told.n_far, "of": told.n_measured, "expected_share": far_share(m)}
                for m in self.tally.models
                for told in (self.tally.by_model[m.digest],)
                if told.n_measured
            },
            "warnings": self.warnings,
            "problems": list(self.problems),
        }
