"""Judge a task model on labelled clips of patients that it was not trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lusfx.cache import Cache
from lusfx.contracts import Task
from lusfx.engine.features import clip_features
from lusfx.engine.labels import LabelledClips, labels_of, read_labels
from lusfx.engine.task_report import evaluation_page
from lusfx.errors import LeakError, TableError
from lusfx.metrics import Interval, Performance, performance, summary
from lusfx.plugins import load_registry
from lusfx.report import render
from lusfx.site_key import SiteKey
from lusfx.splits import some_keys
from lusfx.task_model import TaskModel, load_task_model


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """What a task model achieves on labelled clips, at the thresholds that it was saved with."""

    model: TaskModel
    clips: LabelledClips
    metrics: Mapping[str, Interval]
    performances: Mapping[str, Performance]
    warnings: Sequence[str]

    def summary(self) -> str:
        """One line: the answer."""
        return (
            f"{self.model.name}: AUC {self.metrics['roc_auc']} on {len(self.clips.keys)} clips of "
            f"{len(np.unique(self.clips.groups))} patients ({int(self.clips.targets.sum())} events)"
        )

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx evaluate --json`` prints."""
        return {
            "model": self.model.name,
            "digest": self.model.digest,
            "fingerprint": self.model.card.features.fingerprint,
            "n_clips": len(self.clips.keys),
            "n_patients": len(np.unique(self.clips.groups)),
            "n_events": int(self.clips.targets.sum()),
            "n_not_known": self.clips.n_blank,
            "n_not_cached": len(self.clips.rows_not_cached),
            "metrics": {name: interval.as_dict() for name, interval in self.metrics.items()},
            "operating_points": {
                name: {"threshold": self.model.card.operating_points[name].threshold, **value.as_dict()}
                for name, value in self.performances.items()
            },
            "warnings": list(self.warnings),
        }


def evaluate(
    model: Path | str,
    labels: Path | str,
    cache: Path | str,
    *,
    seed: int = 0,
    report: Path | None = None,
    site_key: SiteKey | None = None,
) -> EvaluationResult:
    """Judge a task model on a label table's cached clips.

    :param model: task model directory.
    :param report: where to write an HTML report, if anywhere.
    :raises LeakError: if a patient or a clip was in training: the figures would be too good.
    :raises TableError: if clips have no patient: no interval could be given.
    """
    registry = load_registry()
    loaded = load_task_model(Path(model), registry.heads.as_mapping())
    task = registry.task(loaded.card.task.name)
    opened = Cache.open(Path(cache))
    store = opened.find(loaded.card.features.fingerprint)
    rows = read_labels(Path(labels), opened, store, site_key or SiteKey.load())
    clips = labels_of(task, rows)
    n_without = int((clips.groups == "").sum())
    if n_without:
        raise TableError(f"{n_without} clips have no patient. Give the label table a column patient_id")
    _check_unseen(loaded, clips)
    pooling = loaded.card.task.pooling
    features = clip_features(store, clips.keys.tolist(), [pooling])[pooling]
    probabilities = loaded.score(features, store.fingerprint)
    result = EvaluationResult(
        loaded,
        clips,
        summary(clips.targets, probabilities, clips.groups, seed=seed),
        {
            name: performance(clips.targets, probabilities >= point.threshold, clips.groups, seed=seed)
            for name, point in loaded.card.operating_points.items()
        },
        [*_warnings(loaded, task, clips), *clips.warnings()],
    )
    if report is not None:
        report.write_text(render(evaluation_page(result, probabilities)), encoding="utf-8")
    return result


def _check_unseen(model: TaskModel, clips: LabelledClips) -> None:
    trained = model.evidence["cross_validation"]
    for noun, seen, here in (("patients", trained["patient"], clips.groups), ("clips", trained["clip"], clips.keys)):
        shared = np.intersect1d(np.array(seen), here)
        if len(shared):
            raise LeakError(
                f"{len(shared)} {noun} of the label table were in this model's training ({some_keys(shared)}): its "
                "figures on them would be too good. Its cross-validated figures are in its report"
            )


def _warnings(model: TaskModel, task: Task, clips: LabelledClips) -> list[str]:
    warnings = []
    if task.version != model.card.task.version:
        warnings.append(
            f"the model was trained for version {model.card.task.version} of the task, labels are read by {task.version}"
        )
    if len(np.unique(clips.targets)) < 2:
        warnings.append("the labelled clips are all of one class: there is no AUC")
    return warnings
