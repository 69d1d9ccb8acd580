"""Train heads on cached features, judge them on patients they have not seen, and save what was learnt with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from lusfx.cache import Cache, Store
from lusfx.contracts import HeadSettings, HeadSpec, Task, TrainingSet
from lusfx.engine.features import choose_store, clip_features
from lusfx.engine.labels import LabelledClips, labels_of, read_labels
from lusfx.engine.task_report import training_page
from lusfx.errors import UsageError
from lusfx.metrics import Interval, Performance, choose_threshold, performance, summary
from lusfx.plugins import load_registry
from lusfx.report import render
from lusfx.site_key import SiteKey
from lusfx.splits import check_split, check_trainable, patient_folds, training_warnings
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    RuleCard,
    TaskCard,
    TaskModelFacts,
    TrainingCard,
    check_replaceable,
    save_task_model,
)
from lusfx.version import __version__

DEFAULT_HEAD = "logistic"
"""Needs no torch, and on a few hundred clips no other head was clearly better (docs/results.md)."""
N_FOLDS = 5
N_REPEATS = 5
"""How often the cross-validation is done with other folds: on 42 patients one split's AUC is up to 0.1 from another's."""
FOLD_SEEDS_APART = 1000


@dataclass(frozen=True, slots=True)
class CrossValidation:
    """Scores of every clip by heads that were not trained on its patient. Arrays are ``(n_repeats, n_clips)``.

    :param probabilities: of class 1.
    :param folds: number of the fold in which the clip was tested.
    :param answers: operating point -> yes or no, at a threshold chosen on the *other* folds of the repeat.
    """

    probabilities: NDArray[np.float64]
    folds: NDArray[np.int64]
    answers: dict[str, NDArray[np.bool_]]


@dataclass(frozen=True, slots=True)
class TrainingResult:
    """A saved task model, and what cross-validation says of it.

    :param thresholds: a threshold an operating point, chosen on the cross-validated scores of all patients.
    :param performances: what thresholds chosen in the same way achieve on patients that neither head nor threshold saw.
    """

    task: Task
    out: Path
    digest: str
    head: str
    settings: Mapping[str, Any]
    store: Store
    clips: LabelledClips
    validation: CrossValidation
    metrics: Mapping[str, Interval]
    thresholds: Mapping[str, float]
    performances: Mapping[str, Performance]
    warnings: Sequence[str]
    seed: int

    def summary(self) -> str:
        """One line: the answer."""
        return (
            f"{self.task.name}: cross-validated AUC {self.metrics['roc_auc']} from {len(self.clips.keys)} clips of "
            f"{len(np.unique(self.clips.groups))} patients ({int(self.clips.targets.sum())} '{self.task.classes[1]}', "
            f"{self.clips.n_blank} not known); model {self.digest[:12]}"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx train-task --json`` prints."""
        return {
            "task": self.task.name,
            "model": f"{self.task.name}@{self.digest[:12]}",
            "digest": self.digest,
            "head": self.head,
            "settings": dict(self.settings),
            "fingerprint": self.store.fingerprint,
            "seed": self.seed,
            "n_clips": len(self.clips.keys),
            "n_patients": len(np.unique(self.clips.groups)),
            "n_events": int(self.clips.targets.sum()),
            "n_repeats": len(self.validation.probabilities),
            "n_not_known": self.clips.n_blank,
            "n_not_cached": len(self.clips.rows_not_cached),
            "cross_validated": {name: interval.as_dict() for name, interval in self.metrics.items()},
            "operating_points": {
                name: {"threshold": threshold, **self.performances[name].as_dict()}
                for name, threshold in self.thresholds.items()
            },
            "warnings": list(self.warnings),
        }


def train_task(
    tasks: Sequence[str],
    labels: Path | str,
    cache: Path | str,
    out: Path | str,
    *,
    head: str = DEFAULT_HEAD,
    settings: Mapping[str, str] | None = None,
    n_folds: int = N_FOLDS,
    n_repeats: int = N_REPEATS,
    seed: int = 0,
    fingerprint: str | None = None,
    site_key: SiteKey | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[TrainingResult]:
    """Train a head a task on the cached features of labelled clips. The features are read once for all tasks.

    :param tasks: names of tasks.
    :param labels: label table.
    :param out: directory of the task model; with several tasks, the directory that gets one for each.
    :param head: kind of head.
    :param settings: the head's settings that are not to have their defaults, as text.
    :param n_folds: of the cross-validation, by patient.
    :param n_repeats: times that the cross-validation is done, each with other folds; its figures are averaged.
    :param fingerprint: which features, where the cache holds several.
    :param progress: called with a sentence now and then.
    :raises TrainingRefusedError: where no result could be trusted.
    """
    registry = load_registry()
    chosen = [registry.task(name) for name in tasks]
    spec = registry.head(head)
    parsed = _parse_settings(spec, settings or {})
    outs = [Path(out)] if len(chosen) == 1 else [Path(out) / task.name for task in chosen]
    for directory in outs:
        check_replaceable(directory)
    opened = Cache.open(Path(cache))
    store = choose_store(opened, fingerprint)
    rows = read_labels(Path(labels), opened, store, site_key or SiteKey.load())
    labelled = [labels_of(task, rows) for task in chosen]
    keys = sorted({key for clips in labelled for key in clips.keys.tolist()})
    features = clip_features(store, keys, [task.pooling for task in chosen])
    row_of = {key: row for row, key in enumerate(keys)}
    results = []
    for task, clips, directory in zip(chosen, labelled, outs, strict=True):
        matrix = features[task.pooling][[row_of[key] for key in clips.keys.tolist()]]
        trainer = _Trainer(task, clips, matrix, spec, parsed, n_folds, n_repeats, seed, progress or (lambda text: None))
        results.append(trainer.train(store, opened.encoder_name(store.fingerprint), directory))
    return results


def _parse_settings(spec: HeadSpec, settings: Mapping[str, str]) -> HeadSettings:
    try:
        return spec.settings.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        known = ", ".join(spec.settings.model_fields)
        raise UsageError(f"head '{spec.name}', setting '{place}': {first['msg']}; it has: {known}") from None


class _Trainer:
    """Trains one task; each step is one method."""

    def __init__(
        self,
        task: Task,
        clips: LabelledClips,
        features: NDArray[np.float32],
        head: HeadSpec,
        settings: HeadSettings,
        n_folds: int,
        n_repeats: int,
        seed: int,
        progress: Callable[[str], None],
    ) -> None:
        self.task = task
        self.clips = clips
        self.features = features
        self.head = head
        self.settings = settings
        self.n_folds = n_folds
        self.n_repeats = n_repeats
        self.seed = seed
        self.progress = progress

    def train(self, store: Store, encoder: str, out: Path) -> TrainingResult:
        """Check, cross-validate, fit on everything, save."""
        clips = self.clips
        check_trainable(clips.targets, clips.groups, clips.keys, self.features, self.n_folds, self.task.classes)
        validation = self._cross_validate()
        metrics = summary(clips.targets, validation.probabilities, clips.groups, seed=self.seed)
        thresholds = {
            name: choose_threshold(rule, np.tile(clips.targets, self.n_repeats), validation.probabilities.ravel())
            for name, rule in self.task.operating_points.items()
        }
        performances = {
            name: performance(clips.targets, answers, clips.groups, seed=self.seed)
            for name, answers in validation.answers.items()
        }
        self.progress(f"{self.task.name}: fitting the final head on all patients")
        final = self.head.fit(self._training_set(np.arange(len(clips.keys))), self.settings, self.seed)
        result = TrainingResult(
            task=self.task,
            out=out,
            digest="",  # known once the files are written
            head=self.head.name,
            settings=self.settings.model_dump(mode="json"),
            store=store,
            clips=clips,
            validation=validation,
            metrics=metrics,
            thresholds=thresholds,
            performances=performances,
            warnings=[*training_warnings(clips.targets, self.task.classes), *clips.warnings()],
            seed=self.seed,
        )
        facts = self._facts(result, encoder)
        digest = save_task_model(out, facts, final, _evidence(result), render(training_page(result, encoder)))
        return replace(result, digest=digest)

    def _training_set(self, rows: NDArray[np.intp]) -> TrainingSet:
        return TrainingSet(self.features[rows], self.clips.targets[rows], self.clips.groups[rows])

    def _cross_validate(self) -> CrossValidation:
        repeats = [self._one_cross_validation(repeat) for repeat in range(self.n_repeats)]
        return CrossValidation(
            np.stack([repeat.probabilities for repeat in repeats]),
            np.stack([repeat.folds for repeat in repeats]),
            {name: np.stack([repeat.answers[name] for repeat in repeats]) for name in self.task.operating_points},
        )

    def _one_cross_validation(self, repeat: int) -> CrossValidation:
        """One repeat; its arrays have one element a clip."""
        targets, groups = self.clips.targets, self.clips.groups
        folds = patient_folds(targets, groups, self.n_folds, self.seed + FOLD_SEEDS_APART * repeat)
        probabilities = np.full(len(targets), np.nan)
        numbers = np.full(len(targets), -1, np.int64)
        for number, fold in enumerate(folds):
            check_split(fold, groups, self.clips.keys)
            self.progress(
                f"{self.task.name}: repeat {repeat + 1} of {self.n_repeats}, fold {number + 1} of {len(folds)}"
            )
            head = self.head.fit(self._training_set(fold.train), self.settings, self.seed)
            probabilities[fold.test] = head.predict_proba(self.features[fold.test])[:, 1]
            numbers[fold.test] = number
        answers = {name: np.zeros(len(targets), np.bool_) for name in self.task.operating_points}
        for fold in folds:
            for name, rule in self.task.operating_points.items():
                threshold = choose_threshold(rule, targets[fold.train], probabilities[fold.train])
                answers[name][fold.test] = probabilities[fold.test] >= threshold
        return CrossValidation(probabilities, numbers, answers)

    def _facts(self, result: TrainingResult, encoder: str) -> TaskModelFacts:
        task, clips = self.task, self.clips
        return TaskModelFacts(
            task=TaskCard(
                name=task.name,
                version=task.version,
                question=task.question,
                unit=task.unit,
                classes=task.classes,
                pooling=task.pooling,
            ),
            head=HeadCard(name=self.head.name, settings=dict(result.settings)),
            features=FeaturesCard(
                fingerprint=result.store.fingerprint, encoder=encoder, n_features=self.features.shape[1]
            ),
            operating_points={
                name: OperatingPointCard(rule=RuleCard.of(rule), threshold=result.thresholds[name])
                for name, rule in task.operating_points.items()
            },
            training=TrainingCard(
                n_clips=len(clips.keys),
                n_patients=len(np.unique(clips.groups)),
                n_events=int(clips.targets.sum()),
                seed=self.seed,
                lusfx_version=__version__,
                created=datetime.now(UTC).replace(microsecond=0),
            ),
        )


def _evidence(result: TrainingResult) -> dict[str, Any]:
    """Everything that the report's figures can be computed again from."""
    clips, validation = result.clips, result.validation
    return {
        "metrics": {name: interval.as_dict() for name, interval in result.metrics.items()},
        "operating_points": {name: value.as_dict() for name, value in result.performances.items()},
        "cross_validation": {
            "clip": clips.keys.tolist(),
            "patient": clips.groups.tolist(),
            "target": clips.targets.tolist(),
            "repeats": [
                {
                    "probability": validation.probabilities[repeat].tolist(),
                    "fold": validation.folds[repeat].tolist(),
                    "answers": {name: answers[repeat].tolist() for name, answers in validation.answers.items()},
                }
                for repeat in range(len(validation.probabilities))
            ],
        },
        "warnings": list(result.warnings),
    }
