"""Label tables: which cached clip each row means, whose it is, and what a task says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, StatIndex, Store, clip_key
from lusfx.contracts import Task
from lusfx.errors import TableError, TrainingRefusedError, UnreadableClipError
from lusfx.site_key import SiteKey
from lusfx.tables import Row, read_table

NAMED = 3
"""How many offenders a message names."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of a label table with its clip.

    :param key: clip key; None where the file is missing.
    :param patient_key: from the table's ``patient_id``, or else from the run ledgers (DICOM); None where nobody knows.
    """

    row: Row
    key: str | None
    patient_key: str | None
    cached: bool


@dataclass(frozen=True, slots=True)
class LabelledClips:
    """The clips that a task has labels for, each once, in order of the table. Arrays have one element a clip.

    :param keys: clip keys.
    :param targets: class numbers.
    :param groups: patient keys; blank where unknown.
    :param n_blank: cached clips whose label is not known.
    :param rows_not_cached: numbers of the rows whose clip the cache lacks.
    """

    keys: NDArray[np.str_]
    targets: NDArray[np.int64]
    groups: NDArray[np.str_]
    n_blank: int
    rows_not_cached: tuple[int, ...]

    def warnings(self) -> list[str]:
        """What whoever reads a result must know of the table."""
        if not self.rows_not_cached:
            return []
        return [
            f"{len(self.rows_not_cached)} rows of the label table have no clip in the cache "
            f"({_some_rows(self.rows_not_cached)}). Run: lusfx extract LABELS --cache DIR"
        ]


def read_labels(table: Path, cache: Cache, store: Store, site_key: SiteKey) -> list[LabelRow]:
    """Find the clip and the patient of each row, by content.

    A row names its clip by ``clip`` (a clip key) or by ``path`` relative to the table.

    :raises TableError: if the table has neither column.
    """
    rows = read_table(table)
    columns = rows[0].cells
    if "path" not in columns and "clip" not in columns:
        raise TableError("a label table names its clips in a column 'path' or 'clip'; this one has neither")
    held = store.keys()
    members = cache.memberships()
    labelled = []
    with cache.stat_index(site_key) as index:
        for row in rows:
            key = row["clip"] or _key_of(table.resolve().parent / row["path"], index)
            member = members.get(key) if key is not None else None
            patient = site_key.patient(row["patient_id"]) if row["patient_id"] else member and member.patient
            labelled.append(LabelRow(row, key, patient or None, key in held))
    return labelled


def _key_of(path: Path, index: StatIndex) -> str | None:
    try:
        return index.lookup(path) or clip_key(path)
    except UnreadableClipError:
        return None


def labels_of(task: Task, rows: list[LabelRow]) -> LabelledClips:
    """What a task's label column says of the cached clips.

    :raises TableError: if the column is missing, or a cell is neither blank nor a label.
    :raises TrainingRefusedError: if no labelled clip is in the cache, or one content has two labels or two patients.
    """
    if task.label_column not in rows[0].row.cells:
        raise TableError(f"task '{task.name}' reads the column '{task.label_column}', which the label table lacks")
    chosen: dict[str, tuple[int, str, int]] = {}
    n_blank = 0
    not_cached = []
    for entry in rows:
        target = _target(task, entry.row)
        if target is None:
            n_blank += 1
        elif entry.key is None or not entry.cached:
            not_cached.append(entry.row.number)
        else:
            _admit(chosen, entry.key, target, entry)
    if not chosen:
        raise TrainingRefusedError(
            f"no labelled clip is in the cache under this fingerprint ({_some_rows(tuple(not_cached))} have none). "
            "Run: lusfx extract LABELS --cache DIR"
            if not_cached
            else f"no row of the label table has a label in column '{task.label_column}'"
        )
    return LabelledClips(
        keys=np.array(list(chosen)),
        targets=np.array([target for target, _, _ in chosen.values()], np.int64),
        groups=np.array([patient for _, patient, _ in chosen.values()]),
        n_blank=n_blank,
        rows_not_cached=tuple(not_cached),
    )


def _target(task: Task, row: Row) -> int | None:
    cell = row[task.label_column]
    if not cell:
        return None
    try:
        target = task.label(cell)
    except ValueError as error:
        raise TableError(f"row {row.number}, column '{task.label_column}': {error}") from None
    if target not in (None, 0, 1):
        raise TableError(f"task '{task.name}' made class {target} of row {row.number}; it has classes 0 and 1")
    return target


def _admit(chosen: dict[str, tuple[int, str, int]], key: str, target: int, entry: LabelRow) -> None:
    """Take a clip once; the same content with another label or patient means that the table is wrong."""
    patient = entry.patient_key or ""
    first = chosen.setdefault(key, (target, patient, entry.row.number))
    if first[:2] != (target, patient):
        differing = "labels" if first[0] != target else "patients"
        raise TrainingRefusedError(
            f"rows {first[2]} and {entry.row.number} have the same content and different {differing} (clip {key[:12]})"
        )


def _some_rows(numbers: tuple[int, ...]) -> str:
    named = ", ".join(str(number) for number in numbers[:NAMED])
    return f"rows {named}{', ...' if len(numbers) > NAMED else ''}"
