"""The demo's page."""

from __future__ import annotations

import numpy as np

from lusfx.demo.result import DemoResult, Stage, TaskResult
from lusfx.demo.saving import Saving
from lusfx.engine.scoring.report import answer_table
from lusfx.engine.training.report import stated
from lusfx.metrics import calibration_bins, mean_roc
from lusfx.report import (
    CineBrowser,
    Code,
    Facts,
    Figure,
    Gallery,
    Page,
    Part,
    Section,
    Table,
    Text,
    calibration_comparison_figure,
    roc_comparison_figure,
)

SYNTHETIC = (
    "Everything here is synthetic: patients, devices, hospitals, clips and labels are simulated. The figures show that "
    "the path works from end to end, and how it is read. They say nothing about patients."
)
LIMITS = (
    "Nothing about real lungs. A head learns what the simulator draws, which is easier than what patients show in some "
    "ways and harder in others, and the encoder was trained on other patients of the same simulator; the "
    "project's page on synthetic clips says where they convince, its page of results has figures on real clips.",
    "Local and external differ here in devices, probes and case mix as far as the simulator varies them. Real hospitals "
    "differ in more.",
    "Intervals are bootstrapped over patients, of whom there are few: they are wide, and are the thing to read.",
    "Times are of this machine in this run, whatever else it was doing.",
)
OWN_CLIPS = (
    "lusfx extract LABELS.csv --cache cache",
    "lusfx train-task TASK --labels LABELS.csv --cache cache --out models/TASK",
    "lusfx evaluate --model models/TASK --labels OTHER.csv --cache cache --report evaluation.html",
    "lusfx score NEW_CLIPS --cache cache --model models/TASK --out scores.csv --report scores.html",
)


def demo_page(result: DemoResult, browser: CineBrowser) -> Page:
    """What was found, each question local against external, the archive's scores, the clips, and the times."""
    return Page(
        title="lusfx demo: synthetic lung ultrasound, encoded once, asked three questions",
        lead=_lead(result),
        warnings=[SYNTHETIC],
        sections=[
            Section("What was found", _found(result)),
            *[_task_section(task) for task in result.tasks],
            Section("Look through clips", [browser]),
            Section("The archive's answers", _archive(result)),
            Section("What one encoder saves", _saving(result.saving)),
            Section("Time", _times(result)),
            Section("With clips of your own", _own()),
        ],
        limits=LIMITS,
    )


def _lead(result: DemoResult) -> str:
    training, local, external = result.sets
    questions = len(result.tasks)
    return (
        f"{result.extraction.found} synthetic clips were encoded once; {questions} task models were trained on "
        f"{training.n_patients} synthetic patients and judged on {local.n_patients} others of the same site and "
        f"{external.n_patients} of another site, all from the cached features."
    )


def _found(result: DemoResult) -> list[Part]:
    rows = []
    for task in result.tasks:
        for trained, local, external in zip(
            task.trained.outcomes, task.local.outcomes, task.external.outcomes, strict=True
        ):
            figures = [stated(outcome.metrics["roc_auc"]) for outcome in (trained, local, external)]
            rows.append((f"{task.name}: {trained.name}", *figures))
    header = ("question", "cross-validated", "local test", "external test")
    note = "Area under the ROC curve with 95% patient-bootstrap interval; 0.5 is chance, 1 is perfect."
    facts = Facts(
        [
            (str(result.extraction.found), "synthetic clips, each encoded once"),
            (str(len(rows)), f"yes-or-no questions, answered by {len(result.tasks)} task models"),
            (f"{100 * (1 - result.saving.ratio):.0f}%", "of inference time saved by one encoder for all of them"),
            (f"{result.seconds:.0f} s", "in all, patients and features found" if result.all_found else "in all"),
        ]
    )
    return [facts, Table("", header, rows, note)]


def _task_section(task: TaskResult) -> Section:
    card = task.trained.card
    requires = card.requires
    asked = "Asked of every clip." if requires is None else f"Asked only where '{requires.task}' is '{requires.is_}'."
    parts: list[Part] = [Text([f"{card.question} {asked}"])]
    rows = []
    for local, external in zip(task.local.outcomes, task.external.outcomes, strict=True):
        by_set = {
            name: outcome
            for name, outcome in (("local", local), ("external", external))
            if len(np.unique(outcome.targets)) == 2
        }
        events = "; ".join(
            f"{name}: {int(outcome.targets.sum())} of {len(outcome.targets)} clips"
            for name, outcome in (("local", local), ("external", external))
        )
        prefix = "" if card.kind == "binary" else f"{local.name}: "
        if by_set:
            curves = {
                name: mean_roc(o.targets, o.probabilities[None], np.zeros((1, len(o.targets)), np.int64))
                for name, o in by_set.items()
            }
            bins = {name: calibration_bins(o.targets, o.probabilities, n_bins=6) for name, o in by_set.items()}
            parts.append(
                Gallery(
                    [
                        Figure(f"{prefix}ROC curve", roc_comparison_figure(curves), f"'{local.name}' in {events}."),
                        Figure(
                            f"{prefix}Calibration",
                            calibration_comparison_figure(bins),
                            "Bins of equal size; bars: 95% Wilson intervals, clips taken as independent.",
                        ),
                    ]
                )
            )
        rows += [
            (
                f"{local.name}, '{point}'",
                stated(local.performances[point].sensitivity),
                stated(local.performances[point].specificity),
                stated(external.performances[point].sensitivity),
                stated(external.performances[point].specificity),
            )
            for point in local.performances
        ]
    header = (
        "operating point",
        "local sensitivity",
        "local specificity",
        "external sensitivity",
        "external specificity",
    )
    note = "Thresholds were chosen in training, before either test set was looked at."
    parts.append(Table("At the model's thresholds", header, rows, note))
    return Section(f"Question: {card.name}", parts)


def _archive(result: DemoResult) -> list[Part]:
    scored = result.scored
    return [
        Text(
            [
                "Both test sets once more, as an archive that nobody has labelled: all models in one pass over the cache, "
                "each asked only where its gate is open. What is not asked has no answer, which is not a no. scores.csv has "
                "a row an answer, and scores.html how the probabilities are spread."
            ]
        ),
        Facts([(str(sum(scored.rows.values())), "rows"), *[(str(n), status) for status, n in scored.rows.items()]]),
        answer_table(scored.tally),
    ]


def _saving(saving: Saving) -> list[Part]:
    low, high = min(saving.ratios), max(saving.ratios)
    return [
        Facts(
            [
                (f"{100 * (1 - saving.ratio):.0f}%", "of inference time saved here"),
                (f"{100 * saving.most:.0f}%", f"the most that {saving.n_tasks} tasks can save, (T-1)/T"),
                (f"{1000 * saving.shared_s:.1f} ms", "a frame: one encoder, all heads"),
                (f"{1000 * saving.separate_s:.1f} ms", f"a frame: {saving.n_tasks} encoders, each with its heads"),
            ]
        ),
        Text(
            [
                f"The same {saving.n_frames} frames were answered in both ways, in turns, {len(saving.ratios)} times: one "
                f"encoder takes {saving.ratio:.2f} ({low:.2f} to {high:.2f}) of the time of {saving.n_tasks} encoders that run "
                f"one after the other, for the same answers of {saving.n_heads} heads ({saving.runtime}). With heads that cost "
                f"nothing it would be 1/{saving.n_tasks} = {1 - saving.most:.2f}.",
                "VanBerlo et al. (2023, doi 10.1109/ACCESS.2023.3337398) report 49% less time for three tasks, with their own "
                "networks, heads and hardware: their figure, not one of this page. The three encoders here are copies of one "
                "network, as their separate networks shared one architecture.",
            ]
        ),
    ]


def _times(result: DemoResult) -> list[Part]:
    compares = any(stage.first_s is not None for stage in result.stages)
    header = ("stage", "seconds", *(("when first made",) if compares else ()), "result")
    parts: list[Part] = []
    if result.all_found:
        faster = [
            f"{stage.name}: {stage.seconds:.2f} s in place of {stage.first_s:.1f} s, {stage.times_faster:.0f} times faster"
            for stage in result.stages
            if stage.first_s is not None
        ]
        found = f"Nothing was drawn or encoded: all {result.extraction.found} clips were found in the cache."
        parts.append(Text([" ".join([found, *[f"{text.capitalize()}." for text in faster]])]))
    parts.append(Table("", header, [_stage_row(stage, compares) for stage in result.stages]))
    return parts


def _stage_row(stage: Stage, compares: bool) -> tuple[str, ...]:
    first = ("" if stage.first_s is None else f"{stage.first_s:.1f}",) if compares else ()
    return (stage.name, f"{stage.seconds:.1f}", *first, stage.said)


def _own() -> list[Part]:
    return [
        Text(
            [
                "The same steps, one command each. LABELS.csv has a row a clip: its path, the patient, and what a reader saw. "
                "README.md shows a task, which is a short file."
            ]
        ),
        Code(OWN_CLIPS),
        Text(
            [
                "Beside this page lie the models with their own reports, the evaluations, and scores.csv with scores.html."
            ]
        ),
    ]
