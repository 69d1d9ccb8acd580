"""The probe of a pretraining run: how well labelled clips' findings can be read from their embeddings, on other patients."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.contracts import UNKNOWN, Task, TrainingSet
from lusfx.engine.samples.labels import LabelledUnits, LabelRow, decoded_label_rows, labels_of
from lusfx.errors import TableError, TrainingRefusedError
from lusfx.heads.linear import LogisticHeadSpec, LogisticSettings
from lusfx.metrics import pairs, roc_auc, within_folds
from lusfx.networks.decoded_frames import DecodingListener, FrameBounds, fill_store
from lusfx.networks.frame_store import FrameStore
from lusfx.plugins import Registry
from lusfx.pretraining.result import LINEAR, NEIGHBOURS
from lusfx.site_key import SiteKey
from lusfx.splits import inner_folds
from lusfx.tables import read_table

if TYPE_CHECKING:
    from lusfx.networks.network import PretrainingNetwork

MOST_NEIGHBOURS = 20
LINEAR_FOLDS = 5
FRAMES_PER_CLIP = 8
MAX_FRAMES = 100_000


@dataclass(frozen=True, slots=True)
class LabelledProbe:
    """Asks a network about labelled clips.

    :param units: the task's labelled units.
    :param outcomes: names of the task's outcomes.
    :param rows: of each unit, which frames of the store are its.
    """

    units: LabelledUnits
    outcomes: tuple[str, ...]
    store: FrameStore
    rows: Sequence[NDArray[np.int64]]

    def __call__(self, network: PretrainingNetwork) -> dict[str, dict[str, float]]:
        """Area under the ROC curve by reading and outcome; NaN where the labels allow none.

        A unit's embedding is the mean over its frames, as heads take it by default.
        """
        embeddings = network.embed(self.store.frames())
        areas: dict[str, dict[str, float]] = {LINEAR: {}, NEIGHBOURS: {}}
        if not np.isfinite(embeddings).all():
            return {reading: dict.fromkeys(self.outcomes, float("nan")) for reading in areas}
        means = np.stack([embeddings[rows].mean(axis=0) for rows in self.rows])
        means -= means.mean(axis=0)  # else, for neighbours, what all have in common hides how they differ
        for number, outcome in enumerate(self.outcomes):
            targets = self.units.targets[:, number]
            known = targets != UNKNOWN
            asked = means[known], targets[known], self.units.groups[known]
            areas[LINEAR][outcome] = linear_probe(*asked)
            areas[NEIGHBOURS][outcome] = neighbours_probe(*asked)
        return areas

    @property
    def facts(self) -> dict[str, Any]:
        """What the report says of the probe's data."""
        return {
            "units": len(self.units),
            "unit": self.units.unit,
            "patients": len(set(self.units.groups.tolist())),
            "clips": len(self.store.clips),
        }


def linear_probe(embeddings: NDArray[np.float32], targets: NDArray[np.int64], groups: NDArray[np.str_]) -> float:
    """How well the default head reads a finding: logistic regression, cross-validated by patient, judged within folds.

    :param embeddings: ``(n, d)``, finite.
    :param targets: ``(n,)`` 0 or 1.
    :param groups: ``(n,)`` patient keys. Folds are the same each time, so that two epochs differ by their embeddings only.
    :return: area under the ROC curve; NaN where an answer has fewer than two patients, or no fold has both.
    """
    spec, scores, fold_of = LogisticHeadSpec(), np.empty(len(targets)), np.empty(len(targets), np.int64)
    try:
        for number, fold in enumerate(inner_folds(targets, groups, LINEAR_FOLDS, seed=0)):
            training = TrainingSet(embeddings[fold.train], targets[fold.train], groups[fold.train])
            head = spec.fit(training, LogisticSettings(), seed=0)
            scores[fold.test], fold_of[fold.test] = head.predict_proba(embeddings[fold.test])[:, 1], number
    except TrainingRefusedError:
        return float("nan")
    return within_folds(roc_auc, fold_of, pairs)(targets, scores)


def neighbours_probe(embeddings: NDArray[np.float32], targets: NDArray[np.int64], groups: NDArray[np.str_]) -> float:
    """Whether nearest neighbours of other patients share a finding.

    :param embeddings: ``(n, d)``, centred; else as for :func:`linear_probe`.
    """
    from lusfx.pretraining.monitors import knn_probe

    # The root of the number: of 16 clips 20 neighbours would be all others, and say nothing.
    k = min(MOST_NEIGHBOURS, max(1, round(float(len(targets)) ** 0.5)))
    return float(knn_probe(embeddings, targets == 1, groups, k=k))


def open_probe(
    table: Path,
    task: Task,
    directory: Path,
    spec: PreprocessSpec,
    registry: Registry,
    site_key: SiteKey,
    *,
    progress: DecodingListener | None = None,
    stop: threading.Event,
) -> LabelledProbe | None:
    """Decode the table's clips, once, and read their labels.

    :param directory: of the probe's own frame store.
    :returns: None if the run was stopped meanwhile.
    :raises TableError: if the table does not name its clips by path, or a label is none.
    :raises TrainingRefusedError: if no clip has a label, or a patient is unknown.
    """
    store = FrameStore(
        directory, {"preprocess": spec.model_dump(mode="json"), "frames_per_clip": FRAMES_PER_CLIP}, spec.size
    )
    bounds = FrameBounds(FRAMES_PER_CLIP, MAX_FRAMES)
    if not fill_store(store, [table], spec, bounds, registry, site_key, seed=0, progress=progress, stop=stop):
        return None
    units = labels_of(task, _label_rows(table, store, site_key))
    if units.unit == "frame":
        raise TableError("the probe asks about clips and exams; this table labels single frames")
    if any(not group for group in units.groups):
        raise TrainingRefusedError(
            "the probe compares patients, and some labelled rows have none. Give a column patient_id"
        )
    rows_of = {clip.key: np.arange(clip.rows.start, clip.rows.stop) for clip in store.clips}
    rows = [np.concatenate([rows_of[key] for key in keys]) for keys in units.clips]
    return LabelledProbe(units, tuple(task.outcomes), store, rows)


def _label_rows(table: Path, store: FrameStore, site_key: SiteKey) -> list[LabelRow]:
    patient_of = {clip.key: clip.file_patient_key for clip in store.clips}
    folder = table.resolve().parent
    rows = read_table(table, required=("path",))
    places = {row.number: folder / row["path"] for row in rows}
    # The probe watches and decides nothing, so a table that differs from the files need not stop it.
    return decoded_label_rows(rows, places, patient_of, site_key, trust_table=True)
