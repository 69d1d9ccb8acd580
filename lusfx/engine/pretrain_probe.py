"""The probe of a pretraining run: whether labelled clips' nearest neighbours, of other patients, share their finding."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import clip_key
from lusfx.config import PreprocessSpec
from lusfx.contracts import UNKNOWN, Task
from lusfx.engine.labels import LabelledUnits, LabelRow, labels_of
from lusfx.engine.pretrain_frames import FrameBounds, Told, fill_store
from lusfx.errors import TableError, TrainingRefusedError, UnreadableClipError
from lusfx.plugins import Registry
from lusfx.pretraining.frame_store import FrameStore
from lusfx.pretraining.network import PretrainingNetwork
from lusfx.site_key import SiteKey
from lusfx.tables import read_table

MOST_NEIGHBOURS = 20
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

    def __call__(self, network: PretrainingNetwork) -> dict[str, float]:
        """Area under the ROC curve of each outcome; NaN where the labels allow none.

        A unit's embedding is the mean over its frames, as heads take it by default.
        """
        from lusfx.pretraining.monitors import knn_probe

        embeddings = network.embed(self.store.frames())
        if not np.isfinite(embeddings).all():
            return dict.fromkeys(self.outcomes, float("nan"))
        means = np.stack([embeddings[rows].mean(axis=0) for rows in self.rows])
        areas = {}
        for number, outcome in enumerate(self.outcomes):
            targets = self.units.targets[:, number]
            known = targets != UNKNOWN
            centred = means[known] - means.mean(axis=0)  # else what all have in common hides how they differ
            # The root of the number: of 16 clips 20 neighbours would be all others, and say nothing.
            k = min(MOST_NEIGHBOURS, max(1, round(float(known.sum()) ** 0.5)))
            areas[outcome] = float(knn_probe(centred, targets[known] == 1, self.units.groups[known], k=k))
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


def open_probe(
    table: Path,
    task: Task,
    directory: Path,
    spec: PreprocessSpec,
    registry: Registry,
    site_key: SiteKey,
    *,
    told: Told | None = None,
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
    if not fill_store(store, [table], spec, bounds, registry, site_key, seed=0, told=told, stop=stop):
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
    patient_of: Mapping[str, str | None] = {clip.key: clip.patient_key for clip in store.clips}
    labelled = []
    for row in read_table(table, required=("path",)):
        try:
            key = clip_key(table.resolve().parent / row["path"])
        except UnreadableClipError:
            key = None
        patient = site_key.patient(row["patient_id"]) if row["patient_id"] else patient_of.get(key or "")
        exam = site_key.exam(row["exam_id"]) if row["exam_id"] else None
        labelled.append(LabelRow(row, key, patient, exam, key in patient_of))
    return labelled
