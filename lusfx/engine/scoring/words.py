"""Scores in words: what a person wants to know of a few clips, a line a model and clip or exam."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from lusfx.engine.scoring.table import SCORED
from lusfx.messages import counted, short
from lusfx.tables import Cell
from lusfx.task_model import TaskModel

LINES = 20


def in_words(rows: Iterable[Mapping[str, Cell]], models: Sequence[TaskModel]) -> list[str]:
    """What rows of a score table say, with the places named by their keys where there are several."""
    groups: dict[tuple[str, str], list[Mapping[str, Cell]]] = {}
    for row in rows:
        place = row.get("clip") or row.get("exam") or "a source without features"
        groups.setdefault((str(place), str(row["model_digest"])), []).append(row)
    names = {model.digest: model.name for model in models}
    several = len({place for place, _ in groups}) > 1
    return [
        f"{f'{short(place)}, ' if several else ''}{names[digest]}: {_said(answered)}"
        for (place, digest), answered in list(groups.items())[:LINES]
    ]


def _said(rows: Sequence[Mapping[str, Cell]]) -> str:
    """Of the frames of a clip, how many have which answer; else the answer and the probability of each outcome."""
    scored = [row for row in rows if row["status"] == SCORED]
    if not scored:
        first = rows[0]
        why = first.get("reason") or "no reason is on record"
        return f"no answer: {first['status']}, {why}{f' [{code}]' if (code := first.get('code')) else ''}"
    first = scored[0]
    frames = {row["frame"]: row["answer"] for row in scored if row.get("frame") is not None}
    if len(frames) > 1 and None in frames.values():
        return f"scores of {counted(len(frames), 'frame')} to order by (learnt from simulated exams)"
    if len(frames) > 1:
        answers = Counter(frames.values())
        return f"{', '.join(f'{answer} {n}' for answer, n in answers.most_common())} of {counted(len(frames), 'frame')}"
    if first.get("score") is not None:
        return f"no yes or no, a score to order by: {_each(scored, 'score')} (learnt from simulated exams)"
    return f"{first['answer']} (probability: {_each(scored, 'probability')})"


def _each(rows: Sequence[Mapping[str, Cell]], column: str) -> str:
    return ", ".join(f"{row['outcome']} {row[column]:.3f}" for row in rows)
