"""What the page of a study says of a choice: what it cost, and how often each candidate was chosen."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from lusfx.engine.training.report import stated
from lusfx.metrics import Interval
from lusfx.report import Part, Section, Table, Text, percent
from lusfx.studies.costs import BY_TASK, CostRow
from lusfx.studies.result import StudyResult

COSTS = ("task", "test set", "labels", "chosen within", "best fixed choice", "its AUC", "optimism")
COUNTS = ("task", "test set", "labels", "choices", "without a merit", "chosen, and how often")


def choice_sections(result: StudyResult) -> list[Section]:
    """The section of a choice; none where the study has none, or it is not done yet."""
    choice = result.config.choice
    if choice is None or not result.choices.made:
        return []
    told = (
        f"One of {len(result.config.candidates)} candidates, each an encoder with a way, was chosen on every training side by "
        f"itself: that of the highest AUC out of {choice.folds} inner folds. No patient who is judged was seen. The best fixed "
        "choice is the highest of the table, which is known only from the judged patients: what a reader quotes who takes the "
        "highest. Its optimism is how far it is above the procedure that chooses by itself."
    )
    parts: list[Part] = [Text([told])]
    if result.costs:
        note = (
            "Intervals are 95%, bootstrapped over patients; in each resample the best fixed choice is found anew. What is "
            "highest in a resample owes more to chance than what is highest in the table, so those of the optimism lie high."
        )
        parts.append(Table("", COSTS, [_cost(row) for row in result.costs], note))
    parts.append(Table("How often each was chosen", COUNTS, _counts(result), "Counted over folds and draws."))
    return [Section("What choosing costs", parts)]


def _cost(row: CostRow) -> tuple[str, ...]:
    best = BY_TASK if row.best_encoder == BY_TASK else f"{row.best_encoder}, {row.best_way}"
    return (
        row.task,
        row.test_set,
        percent(row.fraction),
        stated(row.auc),
        best,
        f"{row.best_auc:.3f}",
        signed(row.optimism),
    )


def _counts(result: StudyResult) -> list[Sequence[str]]:
    places = dict.fromkeys(
        (run.split.question, test_set, run.split.fraction)
        for run in result.choices.runs
        for test_set in run.split.tests
    )
    rows: list[Sequence[str]] = []
    for question, test_set, fraction in places:
        made = result.choices.of(question, fraction, test_set)
        often = Counter(f"{chosen.run.encoder}, {chosen.run.way}" for chosen in made)
        rows.append(
            (
                question,
                test_set,
                percent(fraction),
                str(len(made)),
                str(sum(not chosen.by_merit for chosen in made)),
                "; ".join(f"{name}: {count}" for name, count in often.most_common()),
            )
        )
    return rows


def signed(difference: Interval) -> str:
    """A difference with its interval, for people."""
    if np.isnan(difference.low):
        return f"{difference.value:+.3f}"
    return f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})"
