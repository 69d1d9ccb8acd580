"""Make the starter models, which come with lusfx: heads that learnt from simulated exams alone, for the bundled encoder.

    python tools/make_starter_models.py lusfx/task_model/starters --judge A/labels.csv B/labels.csv

Simulated patients are drawn and encoded, and the default head is trained, as a user does it: ``lusfx synth``, ``extract``,
``train-task``. What simulated patients say of calibration, thresholds, familiarity and figures is then dropped, since none
of it holds for patients. Run it again whenever the default encoder changes. Needs the plugins of ``plugins/``; no network.

With ``--judge`` each model is judged on the label tables' clips: only those are kept whose AUC has the lower end of its
interval above 0.6 in every table that has labels of the task, and in one at least. Their figures go into the models, and onto
standard output as a table for ``docs/starter-models.md``. Of these clips and labels nothing else goes anywhere.

One CPU thread is used: the same versions give the same heads. The date in the cards is today's, or that of SOURCE_DATE_EPOCH.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from lusfx_view import ViewByZone
from threadpoolctl import threadpool_limits

from lusfx.contracts import Task
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.extraction.extract import extract
from lusfx.engine.training.train import train_task
from lusfx.metrics import Interval
from lusfx.plugins import load_registry
from lusfx.report import Page, Section, Table, Text, markdown_table, render
from lusfx.site_key import SECRET_BYTES, SiteKey
from lusfx.synth import write_archive
from lusfx.task_model import TaskModel, TaskModelFacts, load_task_model, models_below, save_task_model

TASKS = ("b-lines", "a-lines", "pleural-effusion-any-view", "view", "severity")
SITE, CLIPS, FRAMES = "varied-clear", 6, 32
LOWEST = 0.6
"""What the lower end of an AUC's interval must exceed."""
SITE_KEY = SiteKey(bytes(range(SECRET_BYTES)))
"""Of simulated patients, and of those that the models are judged on: no pseudonym is kept."""
HEADER = ("task", "outcome", "data set", "clips that are yes", "patients", "AUC (95% interval)", "comes with lusfx")
FILE_MODE, DIRECTORY_MODE = 0o644, 0o755
"""Nothing in a starter model is of a patient: whoever may use lusfx may read it."""


class ViewByZoneAsView(ViewByZone):
    """The view, guessed from the zone: a stand-in where a table has no labels of it."""

    name = "view"


class Judged(NamedTuple):
    """What a model reached on one table.

    :param outcomes: by outcome, as the model's evidence has it.
    :param stand_in: whether labels were guessed from another column, so that they count for nothing.
    """

    data: str
    outcomes: Mapping[str, Mapping[str, Any]]
    stand_in: bool


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="the models' directory; models that are there are replaced")
    parser.add_argument("--judge", type=Path, nargs="+", default=[], metavar="LABELS", help="label tables of patients")
    parser.add_argument("--patients", type=int, default=300)
    parser.add_argument("--seed", type=int, default=20261, help="not that of the encoder's training (1)")
    parser.add_argument("--work", type=Path, help="keep clips and features here, and go on from what is there")
    asked = parser.parse_args()
    check_place(asked.out)
    with working(asked.work) as work, threadpool_limits(1):
        labels, cache = simulated(work / f"{asked.patients}-patients-seed-{asked.seed}", asked.patients, asked.seed)
        tell(f"training {', '.join(TASKS)}")
        trained = work / "trained"
        shutil.rmtree(trained, ignore_errors=True)
        train_task(
            TASKS,
            labels,
            cache,
            trained,
            n_folds=2,  # its figures are dropped; what it refuses is not
            n_repeats=1,
            max_near_duplicates=1,  # simulated clips look alike
            site_key=SITE_KEY,
            progress=tell,
        )
        kept = work / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        judgements = {}
        for name in TASKS:
            model = loaded(trained / name)
            save_starter(kept / name, model, [])
            judgements[name] = [j for table in asked.judge if (j := judged(kept / name, table, work)) is not None]
            if asked.judge and not passes(judgements[name]):
                tell(f"{name} is left out")
                shutil.rmtree(kept / name)
                continue
            shutil.rmtree(kept / name)
            save_starter(kept / name, model, judgements[name])
        replace_models(kept, asked.out)
    if asked.judge:
        print(markdown(judgements))


def check_place(out: Path) -> None:
    """Refuse a place that holds anything but task models."""
    if out.exists() and set(out.iterdir()) - set(models_below(out)):
        sys.exit("the place for the models holds something else, too")


@contextmanager
def working(work: Path | None) -> Iterator[Path]:
    """A folder for clips, features and models on their way."""
    if work is not None:
        work.mkdir(parents=True, exist_ok=True)
        yield work
        return
    with tempfile.TemporaryDirectory() as temporary:
        yield Path(temporary)


def simulated(place: Path, n_patients: int, seed: int) -> tuple[Path, Path]:
    """Label table and cache of simulated patients."""
    labels, cache = place / "clips" / "labels.csv", place / "cache"
    if not labels.exists():
        tell(f"drawing {n_patients} patients")
        write_archive(
            labels.parent,
            n_patients=n_patients,
            clips_per_patient=CLIPS,
            n_frames=FRAMES,
            seed=seed,
            site=SITE,
            force=True,
        )
    encode(labels, cache)
    return labels, cache


def encode(labels: Path, cache: Path) -> None:
    tell("encoding")
    result = extract(labels, cache, encoder=DEFAULT_ENCODER, threads=1, workers=0, site_key=SITE_KEY)
    tell(result.summary())


def loaded(directory: Path) -> TaskModel:
    registry = load_registry()
    return load_task_model(directory, registry.heads.as_mapping(), registry.tasks.as_mapping())


def save_starter(place: Path, model: TaskModel, judgements: Sequence[Judged]) -> None:
    """Write the heads of a model, without what simulated patients cannot tell.

    :param judgements: what it reached on patients; stand-ins are left out.
    """
    card = model.card
    abstain = card.task.abstain.model_copy(update={"familiar": None})
    facts = TaskModelFacts(
        task=card.task.model_copy(update={"abstain": abstain}),
        features=card.features,
        outcomes=tuple(
            outcome.model_copy(update={"calibration": None, "operating_points": {}, "decides": None})
            for outcome in card.outcomes
        ),
        novelty=None,
        training=card.training.model_copy(update={"created": made_on()}),
        trained_on="simulated",
    )
    files = {
        f"{number}-{name}": content
        for number, head in enumerate(model.heads, 1)
        for name, content in head.files().items()
    }
    by_outcome = {
        outcome.name: [{"data": j.data, **j.outcomes[outcome.name]} for j in judgements if not j.stand_in]
        for outcome in card.outcomes
    }
    evidence = {
        "clips": model.evidence["clips"],  # nobody shall judge the model on these
        "patients": [],  # there are none
        "outcomes": {name: {"metrics": {}, "judged": each} for name, each in by_outcome.items()},
    }
    save_task_model(place, facts, files, evidence, render(page(model, by_outcome)))
    place.chmod(DIRECTORY_MODE)
    for path in place.iterdir():
        path.chmod(FILE_MODE)


def made_on() -> datetime:
    """Today, or the day that SOURCE_DATE_EPOCH names (reproducible-builds.org)."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH")
    now = datetime.now(UTC) if epoch is None else datetime.fromtimestamp(int(epoch), UTC)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def page(model: TaskModel, judgements: Mapping[str, Sequence[Mapping[str, Any]]]) -> Page:
    """The model's report."""
    card = model.card
    facts = [
        ("task", f"{card.task.name}, version {card.task.version}: {card.task.kind}, one answer a {card.task.unit}"),
        ("simulated patients", str(card.training.n_patients)),
        *[(f"'{o.name}'", f"{o.n_events} of {o.n_units} simulated {card.task.unit}s") for o in card.outcomes],
        ("features", f"{card.features.encoder}, fingerprint {card.features.fingerprint[:12]}, {card.task.pooling}"),
        *[(f"head of '{o.name}'", o.head.name) for o in card.outcomes],
        ("made by", "tools/make_starter_models.py"),
    ]
    rows = [
        (
            each["data"],
            name,
            f"{each['n_events']} of {each['n_units']}",
            str(each["n_patients"]),
            interval(each["roc_auc"]),
        )
        for name, judged_on in judgements.items()
        for each in judged_on
    ]
    header = ("patients of", "outcome", f"{card.task.unit}s that are yes", "patients", "AUC (95% interval)")
    measured = [Table("", header, rows)] if rows else [Text(["It was judged on no patient."])]
    return Page(
        title=card.task.question,
        lead="A starter model: it learnt from simulated exams alone, and from no patient. Its scores order clips. They are no "
        "probabilities, and no threshold makes a yes or a no of them.",
        warnings=[],
        sections=[
            Section("How well it orders clips of patients", measured),
            Section("What it was made from", [Table("", ("fact", "value"), facts)]),
        ],
        limits=[
            "Simulated exams show what their authors know of ultrasound. How the model does on your patients nobody knows "
            "until it was judged there: lusfx evaluate.",
            "With labels of your own, lusfx recalibrate makes a model of it that gives probabilities and answers; with some "
            "more, lusfx train-task makes one that learnt from them.",
        ],
    )


def judged(place: Path, labels: Path, work: Path) -> Judged | None:
    """What a starter model reaches on a label table; None where that has no labels of its task."""
    model = loaded(place)
    task: Task = load_registry().task(model.card.task.name)
    with labels.open(encoding="utf-8", newline="") as lines:
        columns = set(next(csv.reader(lines)))
    stand_in = task.name == ViewByZoneAsView.name and not columns.issuperset(task.label_columns)
    task = ViewByZoneAsView() if stand_in else task
    if not columns.issuperset(task.label_columns):
        return None
    data = labels.absolute().parent.name
    cache = work / f"judged-{data}"
    encode(labels, cache)
    result = evaluate(place, labels, cache, task=task, site_key=SITE_KEY)
    tell(result.summary())
    outcomes = {
        outcome.name: {
            "n_units": len(outcome.targets),
            "n_events": int(outcome.targets.sum()),
            "n_patients": result.samples.n_patients,
            "roc_auc": {bound: getattr(outcome.metrics["roc_auc"], bound) for bound in ("value", "low", "high")},
        }
        for outcome in result.outcomes
    }
    return Judged(data, outcomes, stand_in)


def passes(judgements: Sequence[Judged]) -> bool:
    """Whether a model may come with lusfx. A figure that is not a number exceeds nothing."""
    counted = [judgement for judgement in judgements if not judgement.stand_in]
    return bool(counted) and all(
        outcome["roc_auc"]["low"] > LOWEST for judgement in counted for outcome in judgement.outcomes.values()
    )


def replace_models(kept: Path, out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(mode=DIRECTORY_MODE, parents=True)
    for place in sorted(kept.iterdir()):
        shutil.move(place, out / place.name)
        tell(f"{place.name}: {sum(file.stat().st_size for file in (out / place.name).iterdir()) / 1e3:.0f} kB")


def markdown(judgements: Mapping[str, Sequence[Judged]]) -> str:
    """What was measured, as a table for the documents."""
    return markdown_table(HEADER, rows(judgements))


def rows(judgements: Mapping[str, Sequence[Judged]]) -> Iterator[tuple[str, ...]]:
    """What was measured, under :data:`HEADER`."""
    for name, each in judgements.items():
        ships = "yes" if passes(each) else "no"
        for judgement in each:
            data = f"{judgement.data}, by zone" if judgement.stand_in else judgement.data
            for outcome, facts in judgement.outcomes.items():
                yes = f"{facts['n_events']} of {facts['n_units']}"
                auc = interval(facts["roc_auc"])
                yield name, outcome, data, yes, str(facts["n_patients"]), auc, ships


def interval(figure: Mapping[str, float]) -> str:
    return str(Interval(figure["value"], figure["low"], figure["high"]))


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
