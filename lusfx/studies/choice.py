"""What is chosen within each training side: of several encoders with ways, that of the highest merit.

Neither the choice nor what it is made by sees a patient that it is judged on. So its scores are those of a procedure, the
choice included (Varma and Simon 2006, doi 10.1186/1471-2105-7-91), and not those of the luckiest of several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lusfx.studies.config import CHOSEN
from lusfx.studies.plan import Run, StudyPlan
from lusfx.studies.run_store import Scores


@dataclass(frozen=True, slots=True)
class Chosen:
    """What was chosen on one training side.

    :param run: the candidate's.
    :param by_merit: False where none had a merit, so that the first was taken.
    """

    run: Run
    by_merit: bool


@dataclass(frozen=True, slots=True)
class Choices:
    """Everything that was chosen.

    :param made: a choice a training side whose candidates are all done.
    :param runs: the chosen runs under the choice's name; where a candidate is not done, its run stands in for the chosen one,
        so that nothing is shown before all are.
    """

    made: Sequence[Chosen]
    runs: Sequence[Run]

    def of(self, question: str, fraction: float, test_set: str) -> list[Chosen]:
        """Those that one test set is judged by."""
        return [
            chosen
            for chosen in self.made
            if (chosen.run.split.question, chosen.run.split.fraction) == (question, fraction)
            and test_set in chosen.run.split.tests
        ]


def choose(plan: StudyPlan, found: Mapping[str, Scores]) -> Choices:
    """Choose on every training side; nothing where the study has no choice.

    :param found: scores by the digest of their run.
    """
    choice = plan.config.choice
    if choice is None:
        return Choices([], [])
    order = {candidate: position for position, candidate in enumerate(plan.config.candidates)}
    sides: dict[tuple[str, float, int, int], list[Run]] = {}
    for run in plan.runs:
        if run.merit_folds:
            split = run.split
            sides.setdefault((split.question, split.fraction, split.draw, split.fold), []).append(run)
    made: list[Chosen] = []
    runs: list[Run] = []
    for members in sides.values():
        lacking = [run for run in members if run.digest not in found]
        if lacking:
            runs.append(_renamed(lacking[0], choice.name))
            continue
        candidates = sorted(members, key=lambda run: order[run.encoder, run.way])
        made.append(_best([(run, found[run.digest]) for run in candidates]))
        runs.append(_renamed(made[-1].run, choice.name))
    return Choices(made, runs)


def _best(candidates: Sequence[tuple[Run, Scores]]) -> Chosen:
    """The highest merit, the first of equal ones; the first that could be trained where there is no merit."""
    trained = [(run, scores.merit) for run, scores in candidates if scores.refused is None]
    judged = [(run, merit) for run, merit in trained if merit is not None]
    if judged:
        return Chosen(max(judged, key=lambda each: each[1])[0], True)
    return Chosen(trained[0][0] if trained else candidates[0][0], False)


def _renamed(run: Run, name: str) -> Run:
    return replace(run, encoder=CHOSEN, way=name)
