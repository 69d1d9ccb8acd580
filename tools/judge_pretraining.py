"""Judge pretraining on patients whom the encoder never saw: it is pretrained anew for each outer fold, on the other patients.

What an encoder gains by pretraining on an archive is flattered where the judged clips were in the archive, labels or not. Here
patients are dealt into folds once, for all label tables together. For each fold an encoder is pretrained on the clips of the
other folds, without their labels; heads are trained on the other folds, too, and judged on the fold. Of a test table each fold
is judged by heads of the whole training table, on the encoder that did not see the fold.

    python tools/judge_pretraining.py examples/judge-pretraining.toml --out judged --epochs 12 --minutes 12 --size 128

The file is a study's (docs/study.md): its tasks, tables, heads, folds, seed and resamples are taken; label fractions, draws and
repeats are not. Each of its encoders is begun with, and is what the encoders pretrained from it are compared with. The same
command goes on where it was stopped. ``results.json`` in OUT has all scores, ``results.md`` the tables. OUT holds frames of
patients, too. Needs lusfx[timm].
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np

from lusfx import pretrain
from lusfx.cache import Cache, clip_key
from lusfx.contracts import Bags, Encoder
from lusfx.durable import write_whole
from lusfx.engine.samples.labels import stated_target
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import fit_head
from lusfx.errors import LeakError, LusfxError, TableError, UsageError
from lusfx.identifiers import canonical
from lusfx.networks.frame_store import stored_keys
from lusfx.patients import dealt_jointly
from lusfx.plugins import Registry, load_registry
from lusfx.pretraining.run import FRAMES
from lusfx.pretraining.settings import Augmentation, Memory, Method
from lusfx.report import markdown_table
from lusfx.site_key import SiteKey
from lusfx.splits import Fold, check_split
from lusfx.studies.cells import Cell, Place
from lusfx.studies.config import LOCAL, TRAIN, Baseline, HeadWay, StudyConfig, read_config
from lusfx.studies.encoders import StudyEncoder
from lusfx.studies.figures import StudyRow, study_rows
from lusfx.studies.frozen import FrozenFeatures, HeadPlan, Tables
from lusfx.studies.questions import Question, resolve_questions
from lusfx.studies.units import AskedUnits, asked_units, check_apart, rows_of, shared_units
from lusfx.tables import read_table
from lusfx.task_model import UnitFeatures, raw_scores

DONE = "done.json"
PRETRAINED, BESIDE = "{start}, pretrained", "{start}, both side by side"
HEADER = ("encoder", "way", "task", "judged on", "units", "patients", "yes", "AUC", "difference from where it began")
Features = Mapping[tuple[str, str], Tables]
"""One encoder's samples of each table, by question and name of the features."""


@dataclass(frozen=True, slots=True)
class Clips:
    """The clips of all label tables, each content once.

    :param places: a file of each.
    :param patients: whose it is, in canonical form; one patient may be in several tables.
    :param fold_of: the fold that a clip's patient is in.
    """

    places: Mapping[str, Path]
    patients: Mapping[str, str]
    fold_of: Mapping[str, int]

    def outside(self, fold: int) -> list[str]:
        """Keys of the clips that may be pretrained on while a fold is judged."""
        return [key for key, its_fold in self.fold_of.items() if its_fold != fold]

    def check_unseen(self, fold: int, seen: Sequence[str]) -> None:
        """Refuse an encoder that saw a patient of the fold that it is to be judged on.

        :param seen: keys of the clips that it was pretrained on.
        :raises LeakError: if it did, or saw a clip that is nobody's.
        """
        unknown = [key for key in seen if key not in self.patients]
        judged = {patient for key, patient in self.patients.items() if self.fold_of[key] == fold}
        leaked = [key for key in seen if key in self.patients and self.patients[key] in judged]
        if unknown or leaked:
            raise LeakError(
                f"fold {fold + 1}: the encoder was pretrained on {len(leaked)} clips of judged patients and {len(unknown)} "
                "that no table names. Take another --out"
            )


def dealt_clips(questions: Sequence[Question], n_folds: int, seed: int) -> Clips:
    """Deal the patients of all tables into folds: each has both answers to each question in each table, if patients allow.

    :raises TableError: if a row has no patient or no file, or two patients have the same clip.
    """
    places: dict[str, Path] = {}
    patients: dict[str, str] = {}
    answers: dict[str, list[int]] = {}
    asked = [(question, table) for question in questions for table in question.tables.values()]
    for table in dict.fromkeys(table for _, table in asked):
        for row in read_table(table):
            patient = canonical(row["patient_id"])
            if not patient or not row["path"]:
                raise TableError(f"row {row.said}: every clip needs a patient and a file, in patient_id and path")
            place = table.resolve().parent / row["path"]
            key = clip_key(place)
            if patients.setdefault(key, patient) != patient:
                raise TableError(f"row {row.said}: another row has the same content and another patient")
            places.setdefault(key, place)
            known = answers.setdefault(key, [-1] * len(asked))
            for number, (question, its_table) in enumerate(asked):
                if table == its_table:
                    known[number] = question.task.outcome_targets(stated_target(question.task, row))[question.outcome]
    groups, targets = np.array(list(patients.values())), np.array(list(answers.values()), np.int64)
    folds = dealt_jointly(targets, groups, n_folds, np.random.default_rng(seed))
    return Clips(places, patients, dict(zip(places, folds.tolist(), strict=True)))


@dataclass(frozen=True, slots=True)
class Judging:
    """What is judged, opened.

    :param settings: of ``lusfx pretrain`` that decide an encoder.
    :param run: of ``lusfx pretrain`` that decide how it is made: minutes, threads, memory.
    :param side_by_side: whether heads are also given the features of both encoders, end to end.
    """

    config: StudyConfig
    out: Path
    settings: Mapping[str, Any]
    run: Mapping[str, Any]
    side_by_side: bool
    registry: Registry
    site_key: SiteKey
    questions: Sequence[Question]
    plans: Sequence[HeadPlan]
    clips: Clips
    frozen: FrozenFeatures = field(repr=False)

    @classmethod
    def of(
        cls, config: StudyConfig, out: Path, settings: Mapping[str, Any], run: Mapping[str, Any], side_by_side: bool
    ) -> Judging:
        """Check what is asked for; nothing is trained yet.

        :raises UsageError: if a way trains networks, or a task is not of clips.
        """
        registry, site_key = load_registry(), SiteKey.of(None)
        questions = resolve_questions(config, registry)
        ways = [way for way in config.ways if isinstance(way, HeadWay)]
        if len(ways) < len(config.ways):
            raise UsageError("encoders are judged by heads: leave ways out that train networks")
        if any(question.task.unit != "clip" for question in questions):
            raise UsageError("encoders are judged on tasks of clips")
        plans = [HeadPlan.of(question, way, registry) for way in ways for question in questions]
        frozen = FrozenFeatures(Cache.open(out / "cache", create=True), site_key, plans, config.trust_table)
        clips = dealt_clips(questions, config.folds, config.seed)
        return cls(config, out, settings, run, side_by_side, registry, site_key, questions, plans, clips, frozen)

    def pretrained(self, start: StudyEncoder, fold: int) -> Path:
        """The encoder that did not see a fold; made where it is not there.

        :raises LeakError: if it saw a patient of the fold.
        """
        sources = self.clips.outside(fold)
        place = self.out / "pretrained" / f"{start.entry.name}, fold {fold + 1}"
        of = {"settings": dict(self.settings), "seed": self.config.seed, "clips": _digest(sorted(sources))}
        done = place / DONE
        if not done.exists():
            result = pretrain(
                [self.clips.places[key] for key in sources],
                place / "run",
                encoder=start.name,
                name=PRETRAINED.format(start=start.entry.name),
                seed=self.config.seed,
                site_key=self.site_key,
                **self.settings,
                **self.run,
            )
            if not result.has_encoder:
                raise UsageError(
                    "the time was over before the first epoch: there is no encoder. Give it more --minutes"
                )
            facts = {"of": of, "epochs": result.epochs_done, "images": result.images, "seconds": result.seconds}
            content = facts | {"history": result.history, "warnings": result.warnings}
            write_whole(done, json.dumps(content | {"seen": stored_keys(place / "run" / FRAMES)}, indent=1).encode())
        stated = json.loads(done.read_bytes())
        if stated["of"] != of:
            raise UsageError(
                f"--out has an encoder of fold {fold + 1} with other settings or clips. Take another --out"
            )
        self.clips.check_unseen(fold, stated["seen"])
        return place / "run" / "encoder"

    def features(self, encoder: Encoder, fps: float | None) -> Features:
        """Samples of every question; clips that the cache lacks are encoded."""
        self.frozen.extract(encoder, fps, self.registry, None, threading.Event())
        return dict(self.frozen.samples(self.frozen.store(encoder, fps)))

    def cells(self) -> dict[str, dict[Place, Cell]]:
        """Scores of every start and of what was pretrained from it, by the start's name."""
        found: dict[str, dict[str, list[Features]]] = {}
        for entry in self.config.encoders:
            start = StudyEncoder(entry, self.out, self.registry, self.config.seed)
            before = self.features(start.open(), entry.fps)
            after = []
            for fold in range(self.config.folds):
                place = self.pretrained(start, fold)
                print(f"{entry.name}, fold {fold + 1} of {self.config.folds}: pretrained", flush=True)
                pretrained = StudyEncoder(replace_encoder(entry, place), self.out, self.registry, self.config.seed)
                after.append(self.features(pretrained.open(), entry.fps))
            variants = {entry.name: [before] * len(after), PRETRAINED.format(start=entry.name): after}
            if self.side_by_side:
                variants[BESIDE.format(start=entry.name)] = [side_by_side(before, one) for one in after]
            found[entry.name] = variants
        units = self._units([one for variants in found.values() for folds in variants.values() for one in folds])
        return {
            start: {
                (name, plan.way.name, plan.question.name, 1.0, test_set): self._cell(plan, test_set, of_folds, units)
                for name, of_folds in variants.items()
                for plan in self.plans
                for test_set in plan.question.test_sets
                if test_set != LOCAL or plan.question.cross_validated
            }
            for start, variants in found.items()
        }

    def _units(self, features: Sequence[Features]) -> dict[str, dict[str, AskedUnits]]:
        """The units that every encoder has, by question and table."""
        units: dict[str, dict[str, AskedUnits]] = {}
        for question in self.questions:
            names = [plan.features for plan in self.plans if plan.question is question]
            units[question.name] = {
                table: shared_units(
                    [
                        asked_units(one[question.name, name][table], question.outcome)
                        for one in features
                        for name in names
                    ]
                )
                for table in question.tables
            }
            tests = {name: of for name, of in units[question.name].items() if name != TRAIN}
            check_apart(units[question.name][TRAIN], tests, question.name)
        return units

    def _cell(
        self,
        plan: HeadPlan,
        test_set: str,
        of_folds: Sequence[Features],
        units: Mapping[str, Mapping[str, AskedUnits]],
    ) -> Cell:
        """Scores of a test set, each fold's by the features of the encoder that did not see it."""
        of_tables = units[plan.question.name]
        training, tested = of_tables[TRAIN], of_tables[TRAIN if test_set == LOCAL else test_set]
        folds = np.array([self.clips.fold_of[key] for key in tested.keys.tolist()], np.int64)
        scores, sizes = np.full(len(tested), np.nan), []
        for fold in np.unique(folds).tolist():
            samples = of_folds[fold][plan.question.name, plan.features]
            judged = np.flatnonzero(folds == fold)
            learnt = np.arange(len(training))
            if test_set == LOCAL:
                learnt = np.flatnonzero(folds != fold)
                check_split(Fold(learnt, judged), training.groups, training.keys)
            head_samples = _of_units(samples[TRAIN], training).take(learnt)
            head = fit_head(
                plan.candidate,
                head_samples,
                head_samples.targets[:, plan.question.outcome],
                plan.question.task.aggregate,
                plan.card.frames_per_clip,
                self.config.seed,
            )
            judged_units = _of_units(samples[TRAIN if test_set == LOCAL else test_set], tested).units.take(judged)
            scores[judged] = raw_scores(head, judged_units, plan.question.task.aggregate)
            sizes.append(head_samples.n_patients)
        return Cell(tested, [0], scores[None], folds[None], (min(sizes), max(sizes)), 0, None)

    def rows(self, cells: Mapping[str, Mapping[Place, Cell]]) -> list[StudyRow]:
        """Figures of every start with what was pretrained from it, compared with it in the same way."""
        rows = []
        for start, of_start in cells.items():
            for way in self.config.ways:
                baseline = Baseline(encoder=start, way=way.name)
                compared = self.config.model_copy(update={"baseline": baseline})
                rows += study_rows({place: cell for place, cell in of_start.items() if place[1] == way.name}, compared)
        return rows

    def write(self, cells: Mapping[str, Mapping[Place, Cell]], rows: Sequence[StudyRow]) -> None:
        """``results.json`` and ``results.md``; patients are pseudonyms, and no path is told."""
        scores = [
            {
                **dict(zip(("encoder", "way", "task", "fraction", "test_set"), place, strict=True)),
                **cell.units.as_dict(),
                "folds": cell.folds[0].tolist(),
                "scores": cell.scores[0].tolist(),
            }
            for of_start in cells.values()
            for place, cell in of_start.items()
        ]
        facts = {
            "format": "lusfx-judged-pretraining/1",
            "settings": dict(self.settings),
            "folds": self.config.folds,
            "seed": self.config.seed,
            "rows": [row.cells() for row in rows],
            "scores": scores,
        }
        write_whole(self.out / "results.json", (json.dumps(facts, indent=1) + "\n").encode())
        said = ", ".join(f"{name} {value}" for name, value in self.settings.items() if value is not None)
        text = (
            "# Pretraining, judged on patients whom no encoder saw\n\n"
            f"{self.config.folds} folds by patient; for each the encoder was pretrained on the others ({said}). "
            "AUC within folds, with 95% patient-bootstrap intervals; differences are of the same units and folds.\n\n"
        )
        write_whole(self.out / "results.md", (text + markdown_table(HEADER, map(_line, rows)) + "\n").encode())


def side_by_side(first: Features, second: Features) -> Features:
    """The units that both have, with the features of both end to end.

    :raises UsageError: if heads take single frames, which have no features of two encoders.
    """
    return {
        name: {table: _joined(samples, second[name][table]) for table, samples in tables.items()}
        for name, tables in first.items()
    }


def _joined(first: Samples[UnitFeatures], second: Samples[UnitFeatures]) -> Samples[UnitFeatures]:
    first = first.take(np.flatnonzero(np.isin(first.keys, second.keys)))
    place = {key: row for row, key in enumerate(second.keys.tolist())}
    second = second.take(np.array([place[key] for key in first.keys.tolist()], np.intp))
    before, after = first.units.features, second.units.features
    if isinstance(before, Bags) or isinstance(after, Bags):
        raise UsageError("features side by side are of pooled clips: leave ways out that take single frames")
    centres = np.concatenate([first.units.centres, second.units.centres], axis=1)
    return replace(first, units=UnitFeatures(np.concatenate([before, after], axis=1), centres))


def _of_units(samples: Samples[UnitFeatures], units: AskedUnits) -> Samples[UnitFeatures]:
    return samples.take(rows_of(samples, units))


def replace_encoder(entry: Any, place: Path) -> Any:
    """A study's entry for the encoder in a directory."""
    return entry.model_copy(update={"encoder": str(place), "architecture": None, "layer": None, "weights": None})


def _digest(keys: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(keys).encode("ascii")).hexdigest()


def _line(row: StudyRow) -> tuple[str, ...]:
    difference = "–" if row.difference is None else str(row.difference)
    judged_on = "other folds" if row.test_set == LOCAL else row.test_set
    numbers = (str(number) for number in (row.n_units, row.n_patients, row.n_positive))
    return (row.encoder, row.way, row.task, judged_on, *numbers, str(row.auc), difference)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--side-by-side", action="store_true", help="also heads on the features of both encoders")
    settings = parser.add_argument_group("of lusfx pretrain, and decide an encoder")
    settings.add_argument("--method", choices=get_args(Method), default="simclr")
    settings.add_argument("--augmentation", choices=get_args(Augmentation), default="ultrasound")
    settings.add_argument("--size", type=int)
    settings.add_argument("--epochs", type=int, default=12)
    settings.add_argument("--lr", type=float)
    settings.add_argument("--batch-size", type=int, default=64)
    settings.add_argument("--pairs-per-clip", type=int, default=4)
    run = parser.add_argument_group("of lusfx pretrain, for each fold")
    run.add_argument("--minutes", type=float)
    run.add_argument("--threads", type=int, default=0)
    run.add_argument("--memory", choices=get_args(Memory), default="less")
    given = vars(parser.parse_args())
    of_run = {name: given.pop(name) for name in ("minutes", "threads", "memory")}
    study, out, both = given.pop("study"), given.pop("out"), given.pop("side_by_side")
    try:
        judging = Judging.of(read_config(study), out, given, of_run, both)
        cells = judging.cells()
        judging.write(cells, judging.rows(cells))
    except LusfxError as error:
        sys.exit(f"error: {error}")
    print(f"results.md and results.json are written; {sum(map(len, cells.values()))} cells")


if __name__ == "__main__":
    main()
