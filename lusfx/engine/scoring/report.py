"""What the page of ``score`` says: counts, shares and reasons, with no picture and nobody's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from lusfx.engine.scoring.exam_summary import WHOLE_EXAM
from lusfx.engine.scoring.result import ScoreResult, ScoreTally, far_share
from lusfx.engine.scoring.table import NOT_ASSESSABLE, SCORED
from lusfx.messages import an, short
from lusfx.report import Facts, Figure, Gallery, Page, Part, Section, Table, Text, histogram_figure
from lusfx.tables import Cell
from lusfx.task_model import TaskModel

EXAMS_SHOWN = 50
ANSWERS_SHOWN = 8
WHY_NOT = (
    "gate: another task says that the question makes no sense here. low-beam-confidence: probably no ultrasound image. "
    "unfamiliar: unlike nearly all of the training set. Other words are codes of the source's reader. None of them is a no."
)
LIMITS = (
    "Scores are answers of models and no findings of a reader: how good the models are stands in their own reports, and only "
    "for patients like those that they were judged on.",
    "A probability is the chance of a yes among units like those of the training table; where the finding is commoner or "
    "rarer, it is off by that much. A share of answers is therefore no estimate of how common a finding is.",
    "What has no answer is not a no, and is counted by itself.",
)


def score_page(result: ScoreResult, exam_rows: Sequence[Mapping[str, Cell]], seconds: float) -> Page:
    """The report of a scoring run.

    :param exam_rows: those of the exams' table, if there is one.
    :param seconds: that asking the models and writing the table took.
    """
    rows, tally = result.rows, result.tally
    failed = sum(count for status, count in rows.items() if status not in (SCORED, NOT_ASSESSABLE))
    warnings = (
        [f"{failed} rows have no features: their sources failed, were skipped or were not reached."] if failed else []
    )
    return Page(
        title=f"Scores of {_several(len(tally.models), 'task model')}",
        lead=f"{result.summary()}.",
        warnings=[*result.warnings, *warnings, *result.problems],
        sections=[
            Section("What was done", [_run_facts(result, seconds), *_run_table(result)]),
            *model_sections(tally),
            *_exam_sections(exam_rows),
        ],
        limits=LIMITS,
    )


def model_sections(tally: ScoreTally) -> list[Section]:
    """A section a model: how often it gave which answer, why it gave none, and how its probabilities are spread."""
    return [
        Section(model.card.task.name, [Text([model.card.task.question]), *_model_parts(model, tally)])
        for model in tally.models
    ]


def answer_table(tally: ScoreTally) -> Table:
    """What all models said, a row a model."""
    rows = []
    for model in tally.models:
        said, unit = tally.by_model[model.digest], model.card.task.unit
        total = said.n_scored + said.reasons.total()
        answers = [f"{name} {_share(count, said.n_scored)}" for name, count in said.in_order(model)[:ANSWERS_SHOWN]]
        reasons = [f"{code} {count}" for code, count in said.reasons.most_common()]
        rows.append(
            (
                model.card.task.name,
                f"{said.n_scored} of {total} {unit}s",
                ", ".join(answers),
                ", ".join(reasons) or "none",
            )
        )
    return Table("", ("task", "answered", "answers", "without an answer"), rows)


def _model_parts(model: TaskModel, tally: ScoreTally) -> list[Part]:
    said, unit = tally.by_model[model.digest], model.card.task.unit
    total = said.n_scored + said.reasons.total()
    if not total:
        return [Text([f"No {unit} was asked about."])]
    given = "score" if model.card.orders_only else "answer"
    facts = [(f"{said.n_scored} of {total}", f"{unit}s with {an(given)}")]
    if not model.card.orders_only:
        facts += [
            (_share(count, said.n_scored), f"'{answer}'") for answer, count in said.in_order(model)[:ANSWERS_SHOWN]
        ]
    if said.n_measured:
        expected = f"{unit}s beyond the distance that {far_share(model):.0%} of units like the training's exceed"
        facts.append((f"{said.n_far} of {said.n_measured}", expected))
    if said.n_in_training:
        facts.append((str(said.n_in_training), "of clips or patients of its own training"))
    parts: list[Part] = [Facts(facts)]
    if said.n_scored:
        figures = []
        measure, lines = "probability", "Lines: the model's thresholds."
        if model.card.orders_only:
            measure, lines = "score", "Learnt from simulated exams: it orders, and has no threshold."
        for outcome in model.card.outcomes:
            figures.append(
                Figure(
                    f"{measure.capitalize()} of '{outcome.name}'",
                    histogram_figure({"": said.counts[outcome.name]}, outcome.thresholds, unit, measure),
                    f"{said.n_scored} {unit}s. {lines}",
                )
            )
        parts.append(Gallery(figures))
    if said.reasons:
        reasons = [(code, str(count), _share(count, total)) for code, count in said.reasons.most_common()]
        parts.append(Table("Without an answer", ("reason", f"{unit}s", "share"), reasons, WHY_NOT))
    return parts


def _run_facts(result: ScoreResult, seconds: float) -> Facts:
    facts = [(str(sum(result.rows.values())), "rows"), (f"{seconds:.1f} s", "to ask the models and write the table")]
    extraction = result.extraction
    if extraction is not None:
        facts = [
            (str(extraction.found), "sources found"),
            (str(extraction.counts["encoded"]), "encoded in this run"),
            (str(extraction.counts["cached"]), "found in the cache"),
            (f"{extraction.seconds:.1f} s", "to list, decode and encode them"),
            *facts,
        ]
    return Facts(facts)


def _run_table(result: ScoreResult) -> list[Part]:
    facts = [("models", ", ".join(result.models))]
    facts += [(model.name, "trained on simulated exams") for model in result.tally.models if model.card.trained_on]
    extraction = result.extraction
    if extraction is not None:
        facts.append(("features", f"{extraction.encoder}, fingerprint {short(extraction.fingerprint)}"))
        troubles = Counter(f"{trouble.status}: {trouble.code}" for trouble in extraction.troubles)
        facts += [(f"sources {what}", str(count)) for what, count in sorted(troubles.items())]
        facts += [(f"clips with the note {note}", str(count)) for note, count in sorted(extraction.notes.items())]
    return [Table("", ("fact", "value"), facts)]


def _exam_sections(rows: Sequence[Mapping[str, Cell]]) -> list[Section]:
    """How the exams came out, and the first of them one by one, by the beginning of their pseudonym."""
    whole = [row for row in rows if row["zone"] == WHOLE_EXAM]
    if not whole:
        return []
    complete = sum(row["status"] == "assessed" for row in whole)
    worst = Counter(str(row["worst"]) for row in whole if row.get("worst") is not None)
    facts = [(f"{complete} of {len(whole)}", "exam summaries with no zone missing")]
    facts += [(str(count), f"whose worst zone is '{name}'") for name, count in sorted(worst.items())]
    lines = [
        (
            short(str(row["exam"])),
            str(row["task"]),
            _cell(row.get("worst")),
            _cell(row.get("sum")),
            f"{row['n_assessed']} of {row['n_clips']}",
            str(row["status"]),
        )
        for row in whole[:EXAMS_SHOWN]
    ]
    note = f"The first {EXAMS_SHOWN} of {len(whole)}; all of them are in the table." if len(whole) > len(lines) else ""
    header = ("exam", "task", "worst zone", "sum of zones", "clips assessed", "status")
    return [Section("Exams", [Facts(facts), Table("", header, lines, note)])]


def _cell(value: Cell) -> str:
    return "–" if value is None else str(value)


def _share(count: int, total: int) -> str:
    return f"{100 * count / total:.0f}%" if total else "–"


def _several(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
