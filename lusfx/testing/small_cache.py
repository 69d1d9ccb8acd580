"""A small cache of made-up embeddings with a label table that a task can learn from: a second's work, and no clip is encoded.

The embeddings are noise, a shift a patient, and along the dimensions of an outcome a step where its answer is yes. What is
learnt from them says that a task works, and nothing about lungs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, LedgerEntry, Membership, Store
from lusfx.config import EncoderIdentity, FeatureSpec, PreprocessSpec
from lusfx.contracts import UNKNOWN, Task
from lusfx.errors import UsageError
from lusfx.site_key import SECRET_BYTES, SiteKey
from lusfx.tables import write_table
from lusfx.types import ClipEmbeddings, FrameStatus

N_FRAMES = (12, 7, 1)
"""Frames of the clips, in turn: a clip, a short one, a still; a task that asks for more than these has longer clips."""
FRAME_TIME_S = 0.04
ENCODER = "made-up"


@dataclass(frozen=True, slots=True)
class SmallCache:
    """A cache of made-up embeddings.

    :param cache: its directory.
    :param labels: the label table; it names clips by their keys.
    :param store: the only features that it holds.
    :param site_key: what its patients' and exams' pseudonyms were made with.
    """

    cache: Path
    labels: Path
    store: Store
    site_key: SiteKey

    def clips(self) -> dict[str, ClipEmbeddings]:
        """All clips by their keys."""
        return {key: self.store.read(key) for key in sorted(self.store.keys())}


def make_small_cache(
    directory: Path,
    task: Task,
    *,
    examples: Sequence[Mapping[str, str]] = (),
    n_patients: int = 24,
    clips_per_patient: int = 3,
    dim: int = 24,
    signal: float = 2.0,
    seed: int = 0,
    first_patient: int = 0,
) -> SmallCache:
    """Write a cache and a label table for a task.

    :param directory: missing or empty.
    :param examples: rows of the table's label cells, each class at least once; by default those of :func:`example_rows`.
    :param n_patients: at least one a class and fold; each has one exam.
    :param dim: length of the embeddings; more than the task has outcomes.
    :param signal: step of an embedding along each of an outcome's dimensions where it is yes, in standard deviations of the
        noise.
    :param first_patient: number of the first patient; other numbers are other patients with other clips.
    """
    rows = list(examples) or example_rows(task)
    outcomes = [task.outcome_targets(task.target(dict(row))) for row in rows]
    if dim <= len(task.outcomes):
        raise UsageError(f"embeddings of {dim} dimensions cannot tell {len(task.outcomes)} outcomes")
    site_key = SiteKey(bytes(range(SECRET_BYTES)))
    cache = Cache.open(directory / "cache", create=True)
    store = cache.store(_feature_spec(dim))
    lengths = _lengths(task)
    table: list[dict[str, str]] = []
    with cache.start_run(store.fingerprint, ENCODER) as ledger:
        for patient in range(first_patient, first_patient + n_patients):
            generator = np.random.default_rng((seed, patient))
            shift = generator.normal(scale=0.5, size=dim)
            of_exam = (patient + int(generator.integers(len(rows)))) % len(rows)
            for clip in range(clips_per_patient):
                # Each class in turn, so that a small table has all; the clips of an exam that is the unit share one.
                number = of_exam if task.unit == "exam" else (patient + clip) % len(rows)
                name = f"{ENCODER} {seed} {patient} {clip}"
                key = hashlib.sha256(name.encode()).hexdigest()
                steps = np.maximum(outcomes[number], 0) * signal
                n_frames = lengths[clip % len(lengths)]
                store.write(key, _clip(generator, shift, steps, n_frames))
                person, exam = f"made-up-{patient:04d}", f"made-up-{patient:04d}-1"
                zone = _zone(task, clip)
                member = Membership(site_key.patient(person), site_key.exam(exam), zone)
                ledger.record(LedgerEntry(site_key.source(name), "encoded", key, member, n_frames=n_frames))
                table.append({"clip": key, "patient_id": person, "exam_id": exam, "zone": zone} | dict(rows[number]))
    labels = directory / "labels.csv"
    write_table(labels, dict.fromkeys(table[0], "text"), table)
    return SmallCache(directory / "cache", labels, store, site_key)


def example_rows(task: Task) -> list[dict[str, str]]:
    """Rows of label cells that together say yes and no to each outcome of a task, found by trying numbers and class names.

    :raises UsageError: if that finds no such rows, because the task reads its labels in its own way.
    """
    words = [*map(str, range(max(len(task.classes), 2))), *task.classes]
    columns = task.label_columns
    # Of many labels each is tried alone and all together: that has every answer, and 2^n rows have no more.
    cells = product(words, repeat=len(columns)) if len(columns) <= 2 else _one_at_a_time(len(columns))
    found: dict[tuple[int, ...], dict[str, str]] = {}
    for row in (dict(zip(columns, line, strict=True)) for line in cells):
        try:
            outcomes = task.outcome_targets(task.target(dict(row)))
        except ValueError:
            continue
        if UNKNOWN not in outcomes:
            found.setdefault(outcomes, row)
    said = [set(answers) for answers in zip(*found, strict=True)]
    if len(said) != len(task.outcomes) or any(answers != {0, 1} for answers in said):
        raise UsageError(f"task '{task.name}' reads its labels in its own way: name example rows for each class")
    return list(found.values())


def _one_at_a_time(n_columns: int) -> list[tuple[str, ...]]:
    alone = [tuple("1" if column == here else "0" for column in range(n_columns)) for here in range(n_columns)]
    return [("0",) * n_columns, *alone, ("1",) * n_columns]


def _lengths(task: Task) -> tuple[int, ...]:
    """All but the still long enough for the task, with a frame more for the one that cannot be read."""
    longest, short, still = N_FRAMES
    fewest = task.abstain.min_frames
    return max(longest, fewest + 5), short if fewest <= short else fewest + 1, still


def _zone(task: Task, clip: int) -> str:
    zones = ("L1",) if task.exam_summary is None else task.exam_summary.zones
    return zones[clip % len(zones)]


def _clip(
    generator: np.random.Generator, shift: NDArray[np.float64], steps: NDArray[np.float64], n_frames: int
) -> ClipEmbeddings:
    """One clip; of the longer ones the third frame could not be read."""
    embeddings = generator.normal(size=(n_frames, len(shift))) + shift
    embeddings += np.resize(
        steps, len(shift)
    )  # each outcome in many dimensions: a head that shrinks needs more than one
    status = np.full(n_frames, FrameStatus.OK, np.uint8)
    if n_frames > 7:
        status[2], embeddings[2] = FrameStatus.UNREADABLE, np.nan
    times_s = np.arange(n_frames, dtype=np.float64) * FRAME_TIME_S
    return ClipEmbeddings(
        embeddings.astype(np.float16), times_s, np.arange(n_frames, dtype=np.int64), status, {"beam_confidence": 1.0}
    )


def _feature_spec(dim: int) -> FeatureSpec:
    identity = EncoderIdentity(
        architecture=ENCODER,
        weights_sha256=hashlib.sha256(ENCODER.encode()).hexdigest(),
        layer="none",
        pooling="none",
        dim=dim,
        channels=1,
        mean=(0.0,),
        std=(1.0,),
    )
    return FeatureSpec(encoder=identity, preprocess=PreprocessSpec())
