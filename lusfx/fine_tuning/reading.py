"""From a label table to what a network is fine-tuned on: the frames of labelled clips, decoded once."""

from __future__ import annotations

import hashlib
import os
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lusfx.config import PreprocessSpec, canonical_json
from lusfx.contracts import Abstention, Task
from lusfx.engine.samples.labels import (
    LabelledUnits,
    decoded_label_rows,
    labels_of,
    require_label_columns,
    stated_targets,
)
from lusfx.engine.samples.samples import Samples
from lusfx.errors import TrainingRefusedError, UsageError
from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.messages import short
from lusfx.networks.decoded_frames import NOT_ASSESSABLE, DecodedClip, DecodingListener, FrameBounds, fill_store
from lusfx.networks.frame_store import FrameStore
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.tables import read_table

MAX_FRAMES = 1 << 40
"""All frames of labelled clips are kept, ``frames_per_clip`` of each."""


@dataclass(frozen=True, slots=True)
class FramedSamples:
    """What is learnt from.

    :param n_not_known: rows of the table without a label.
    :param n_not_decoded: labelled rows without frames.
    :param warnings: what whoever reads the result must know of them.
    """

    samples: Samples[FrameUnits]
    n_not_known: int
    n_not_decoded: int
    warnings: Sequence[str]


def require_pooled_task(task: Task) -> None:
    """Refuse a task that a network with mean pooling cannot answer, before anything is done.

    :raises UsageError: saying what can be done in its place.
    """
    instead = "Fine-tune on a task about clips, extract with that model's encoder, and train this one with train-task"
    if task.unit == "frame":
        raise UsageError(
            f"task '{task.name}' is asked of single frames, and fine-tuning is of clips and exams. {instead}"
        )
    if task.aggregate is not None:
        raise UsageError(
            f"task '{task.name}' aggregates the probabilities of frames, and a fine-tuned network pools their embeddings. "
            f"{instead}"
        )


@dataclass(frozen=True, slots=True)
class SampleReader:
    """Reads a label table and decodes the frames of the clips that have a label.

    :param directory: of frames; those of the same table, clips and preparation are found again there.
    :param spec: how frames are prepared.
    :param frames_per_clip: kept at most, evenly spaced.
    :param progress: told how many clips are gone through, and of how many.
    """

    task: Task
    table: Path
    directory: Path
    spec: PreprocessSpec
    frames_per_clip: int
    registry: Registry
    site_key: SiteKey
    progress: DecodingListener | None
    stop: threading.Event
    trust_table: bool = False

    def read(self) -> FramedSamples | None:
        """Samples; None if the run was stopped meanwhile.

        :raises TableError: if the table does not name its clips by path, or a label is none.
        :raises TrainingRefusedError: if no labelled clip could be decoded; see also
            :func:`lusfx.engine.samples.labels.labels_of`.
        """
        task, rows = self.task, read_table(self.table, required=("path",))
        require_label_columns(task, rows[0])
        base = self.table.resolve().parent
        targets = stated_targets(task, rows)
        labelled = [row for row, target in zip(rows, targets, strict=True) if target is not None]
        if not labelled:
            raise TrainingRefusedError(f"no row of the label table has a label for task '{task.name}'")
        # A clip without a label of its own may belong to an exam that has one.
        wanted = rows if task.unit == "exam" else labelled
        place_of = {row.number: Path(os.path.normpath(base / row["path"])) for row in wanted}
        store = self._store(set(place_of.values()))
        if store is None:
            return None
        outcomes = Counter((store.report or {}).get("outcomes", {}))
        if not store.clips:
            raise TrainingRefusedError(f"none of the {len(wanted)} labelled clips could be used: {_said(outcomes)}")
        patient_of = {clip.key: clip.file_patient_key for clip in store.clips}
        entries = decoded_label_rows(rows, place_of, patient_of, self.site_key, trust_table=self.trust_table)
        found = labels_of(task, entries)
        missing = Counter({name: count for name, count in outcomes.items() if name.startswith(("failed", "skipped"))})
        warnings = [f"{missing.total()} labelled clips could not be decoded: {_said(missing)}"] if missing else []
        samples = _samples(found, store, outcomes)
        return FramedSamples(samples, len(rows) - len(labelled), len(found.rows_not_cached), warnings)

    def _store(self, places: set[Path]) -> FrameStore | None:
        """The frames of the wanted files; None if the run was stopped meanwhile."""
        # What is kept must say what it is of, and paths can name patients: digests tell as well.
        named = "\0".join(sorted(map(str, places))).encode("utf-8", "surrogateescape")
        abstain = self.task.abstain
        facts = {
            "preprocess": self.spec.model_dump(mode="json"),
            "frames_per_clip": self.frames_per_clip,
            "min_frames": abstain.min_frames,
            "min_beam_confidence": abstain.min_beam_confidence,
            "table": hashlib.sha256(self.table.read_bytes()).hexdigest(),
            "clips": hashlib.sha256(named).hexdigest(),
        }
        name = short(hashlib.sha256(canonical_json(facts).encode("ascii")).hexdigest())
        store = FrameStore(self.directory / f"frames-{name}", facts, self.spec.size)
        complete = fill_store(
            store,
            [self.table],
            self.spec,
            FrameBounds(self.frames_per_clip, MAX_FRAMES),
            self.registry,
            self.site_key,
            seed=0,
            wanted=lambda source: source.path in places,
            refusal=lambda clip: _refusal(abstain, clip),
            progress=self.progress,
            stop=self.stop,
        )
        return store if complete else None


def _samples(found: LabelledUnits, store: FrameStore, outcomes: Counter[str]) -> Samples[FrameUnits]:
    rows_of = {clip.key: np.arange(clip.rows.start, clip.rows.stop) for clip in store.clips}
    return Samples(
        keys=found.keys,
        groups=found.groups,
        targets=found.targets,
        classes=found.classes,
        weights=np.ones(len(found)),
        units=FrameUnits(store.frames(), [[rows_of[key] for key in unit] for unit in found.clips]),
        clips=sorted({key for unit in found.clips for key in unit}),
        reasons={
            name.removeprefix(NOT_ASSESSABLE): count
            for name, count in sorted(outcomes.items())
            if name.startswith(NOT_ASSESSABLE)
        },
        pseudonyms=found.pseudonyms,
    )


def _refusal(abstain: Abstention, clip: DecodedClip) -> str | None:
    """The code for which a clip is not assessable, as in scoring."""
    if clip.n_readable < abstain.min_frames:
        return "too-few-frames"
    return "low-beam-confidence" if clip.beam_confidence < abstain.min_beam_confidence else None


def _said(outcomes: Counter[str]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(outcomes.items())) or "they have no frame"
