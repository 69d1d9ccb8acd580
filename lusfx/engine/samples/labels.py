"""Label tables: which cached clip each row means, whose it is, and what a task says of its frame, clip or exam."""

from __future__ import annotations

import contextlib
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, StatIndex, Store, clip_key
from lusfx.contracts import UNKNOWN, Target, Task, Unit
from lusfx.errors import PluginError, TableError, TrainingRefusedError, UnreadableClipError
from lusfx.messages import first_few, short
from lusfx.site_key import SiteKey
from lusfx.tables import Row, read_table

MOST_DIGITS = 9
FRAME_COLUMN = "frame"
"""Position of a frame in its source, from 0, in tables that label single frames."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of a label table with its clip.

    :param key: clip key; None where the file is missing.
    :param patient_key: from the table's ``patient_id``, or else from the run ledgers (DICOM); None where nobody knows.
    :param exam_key: from the table's ``exam_id``, or else from the run ledgers; None where nobody knows.
    """

    row: Row
    key: str | None
    patient_key: str | None
    exam_key: str | None
    cached: bool


def decoded_label_row(
    row: Row, place: Path | None, patient_of: Mapping[str, str | None], site_key: SiteKey
) -> LabelRow:
    """A row with its clip among decoded ones, where no cache is.

    :param place: the file that the row names; None if it is not to be looked at.
    :param patient_of: patient keys that the files themselves gave, by the keys of the clips that were decoded.
    """
    key = None
    if place is not None:
        with contextlib.suppress(UnreadableClipError):
            key = clip_key(place)
    patient = site_key.patient(row["patient_id"]) if row["patient_id"] else patient_of.get(key or "")
    exam = site_key.exam(row["exam_id"]) if row["exam_id"] else None
    return LabelRow(row=row, key=key, patient_key=patient, exam_key=exam, cached=key in patient_of)


@dataclass(frozen=True, slots=True)
class LabelledUnits:
    """The units that a task has labels for, each once, in order of the table. Arrays have one element a unit.

    :param unit: what the labels are of. Of a ``frame`` task whose table labels clips it is ``clip``: the labels are weak.
    :param keys: clip keys, exam keys, or clip key, ``#`` and the frame's position.
    :param clips: clip keys of each unit.
    :param frames: position of each unit's frame; UNKNOWN where the unit is no frame.
    :param targets: ``(n, n_outcomes)`` 0, 1 or UNKNOWN.
    :param classes: ``(n,)`` number of the class; UNKNOWN of a multi-label task.
    :param groups: patient keys; blank where unknown.
    :param n_not_known: cached units of which no label is known.
    :param rows_not_cached: numbers of the rows whose clip the cache lacks.
    """

    unit: Unit
    keys: NDArray[np.str_]
    clips: Sequence[tuple[str, ...]]
    frames: NDArray[np.int64]
    targets: NDArray[np.int64]
    classes: NDArray[np.int64]
    groups: NDArray[np.str_]
    n_not_known: int
    rows_not_cached: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def warnings(self) -> list[str]:
        """What whoever reads a result must know of the table."""
        if not self.rows_not_cached:
            return []
        return [
            f"{len(self.rows_not_cached)} rows of the label table have no clip in the cache "
            f"({_some_rows(self.rows_not_cached)}). Run: lusfx extract LABELS --cache DIR"
        ]


def read_labels(table: Path, cache: Cache, store: Store, site_key: SiteKey) -> list[LabelRow]:
    """Find the clip, the patient and the exam of each row, by content.

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
            exam = site_key.exam(row["exam_id"]) if row["exam_id"] else member and member.exam
            labelled.append(
                LabelRow(row=row, key=key, patient_key=patient or None, exam_key=exam or None, cached=key in held)
            )
    return labelled


def _key_of(path: Path, index: StatIndex) -> str | None:
    try:
        return index.lookup(path) or clip_key(path)
    except UnreadableClipError:
        return None


@dataclass(slots=True)
class _Unit:
    """What the rows read so far say of one unit."""

    patient: str
    row: int
    target: Target = None
    frame: int = UNKNOWN
    clips: dict[str, None] = field(default_factory=dict)


def labels_of(task: Task, rows: list[LabelRow]) -> LabelledUnits:
    """What a task's label columns say of the cached units.

    :raises TableError: if a column is missing, a cell is neither blank nor a label, or a patient is spelt in two ways.
    :raises PluginError: if the task's own reading of labels fails.
    :raises TrainingRefusedError: if no labelled unit is in the cache, one unit has two labels or two patients, or the rows of
        an exam task have no exam.
    """
    require_label_columns(task, rows[0].row)
    _check_spelling(rows)
    unit: Unit = "clip" if task.unit == "frame" and FRAME_COLUMN not in rows[0].row.cells else task.unit
    found: dict[str, _Unit] = {}
    patient_of: dict[str, tuple[str, int]] = {}
    not_cached = []
    for entry in rows:
        target = stated_target(task, entry.row)
        if entry.key is None or not entry.cached:
            if target is not None:
                not_cached.append(entry.row.number)
            continue
        _check_patient(patient_of, entry)
        _admit(found, task, unit, entry, target)
    known = {key: entry for key, entry in found.items() if entry.target is not None}
    if not known:
        raise TrainingRefusedError(
            f"no labelled clip is in the cache under this fingerprint ({_some_rows(tuple(not_cached))} have none). "
            "Run: lusfx extract LABELS --cache DIR"
            if not_cached
            else f"no row of the label table has a label in {_columns(task)}"
        )
    return LabelledUnits(
        unit=unit,
        keys=np.array(list(known)),
        clips=[tuple(entry.clips) for entry in known.values()],
        frames=np.array([entry.frame for entry in known.values()], np.int64),
        targets=np.array([task.outcome_targets(entry.target) for entry in known.values()], np.int64),
        classes=np.array([_class(entry.target) for entry in known.values()], np.int64),
        groups=np.array([entry.patient for entry in known.values()]),
        n_not_known=len(found) - len(known),
        rows_not_cached=tuple(not_cached),
    )


def require_label_columns(task: Task, row: Row) -> None:
    """Refuse a table without the columns that a task reads.

    :raises TableError: naming the first that is missing.
    """
    for column in task.label_columns:
        if column not in row.cells:
            raise TableError(f"task '{task.name}' reads the column '{column}', which the label table lacks")


def stated_target(task: Task, row: Row) -> Target:
    """The target that a row states; None where it states nothing at all.

    :raises TableError: if a cell is neither blank nor a label.
    :raises PluginError: if the task's own reading of labels fails.
    """
    cells: Mapping[str, str] = {column: row[column] for column in task.label_columns}
    try:
        target = task.target(cells)
        outcomes = task.outcome_targets(target)
    except ValueError as error:
        # A plugin's own words, or Python's, may repeat the cell; where columns are mixed up, that may be a name.
        quotes = any(len(cell) > 2 and cell in str(error) for cell in cells.values())
        raise TableError(f"row {row.number}, {_columns(task)}: {'no label' if quotes else error}") from None
    except Exception as error:
        raise PluginError(
            f"task '{task.name}' failed on the labels of row {row.number}: {type(error).__name__}"
        ) from error
    return None if all(value == UNKNOWN for value in outcomes) else target


def spellings(identifier: str) -> set[str]:
    """The ways in which people write one identifier: capitals or not, spaces or not, letters and digits of full width."""
    plain = unicodedata.normalize("NFKC", identifier)
    return {
        way(text)
        for text in (identifier, plain, "".join(plain.split()), " ".join(plain.split()))
        for way in (str, str.lower, str.upper, str.title, str.capitalize)
    }


def _check_spelling(rows: Sequence[LabelRow]) -> None:
    """Refuse a table that writes a patient in two ways, who would stand on both sides of a split."""
    known: dict[str, tuple[str, int]] = {}
    for entry in rows:
        written, number = entry.row["patient_id"], entry.row.number
        folded = "".join(unicodedata.normalize("NFKC", written).split()).casefold()
        first, first_number = known.setdefault(folded, (written, number))
        if first != written:
            raise TableError(
                f"rows {first_number} and {number} name patients that differ in capitals or spaces only. Write a patient in "
                "one way; if they are two people, name them more differently"
            )


def _check_patient(patient_of: dict[str, tuple[str, int]], entry: LabelRow) -> None:
    """Refuse one content that is two patients': it would stand on both sides of a split."""
    clip, patient, number = entry.key or "", entry.patient_key or "", entry.row.number
    known, first = patient_of.setdefault(clip, (patient, number))
    if known != patient:
        raise TrainingRefusedError(_conflict("clip", first, number, "patients", clip))


def _admit(found: dict[str, _Unit], task: Task, unit: Unit, entry: LabelRow, target: Target) -> None:
    """Take a row's unit once; another label or patient for the same content means that the table is wrong."""
    clip, patient, number = entry.key or "", entry.patient_key or "", entry.row.number
    name, frame = clip, UNKNOWN
    if unit == "exam":
        if entry.exam_key is None:
            raise TrainingRefusedError(
                f"row {number} has no exam, and task '{task.name}' is asked of exams. Give the label table a column exam_id"
            )
        name = entry.exam_key
    elif unit == "frame":
        position = entry.row[FRAME_COLUMN]
        if not position.isdecimal() or len(position) > MOST_DIGITS:
            raise TableError(f"row {number}, column '{FRAME_COLUMN}': expected a frame's position, from 0")
        frame = int(position)
        name = f"{clip}#{frame}"
    known = found.setdefault(name, _Unit(patient, number, frame=frame))
    if known.patient != patient:
        raise TrainingRefusedError(_conflict(unit, known.row, number, "patients", name))
    if known.target is not None and target is not None and list(_flat(known.target)) != list(_flat(target)):
        raise TrainingRefusedError(_conflict(unit, known.row, number, "labels", name))
    if known.target is None:
        known.target, known.row = target, number
    known.clips[clip] = None


def _conflict(unit: Unit, first: int, second: int, differing: str, name: str) -> str:
    same = "are of the same exam and have" if unit == "exam" else "have the same content and"
    return f"rows {first} and {second} {same} different {differing} ({unit} {short(name)})"


def _flat(target: Target) -> Sequence[int | None]:
    return target if isinstance(target, Sequence) else (target,)


def _class(target: Target) -> int:
    return int(target) if isinstance(target, Integral) else UNKNOWN  # numpy's whole numbers too, which are no int


def _columns(task: Task) -> str:
    named = ", ".join(f"'{column}'" for column in task.label_columns)
    return f"column {named}" if len(task.label_columns) == 1 else f"columns {named}"


def _some_rows(numbers: tuple[int, ...]) -> str:
    return f"rows {first_few([str(number) for number in numbers])}"
