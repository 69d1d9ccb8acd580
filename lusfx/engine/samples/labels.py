"""Label tables: which cached clip each row means, whose it is, and what a task says of its frame, clip or exam."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, Membership, Store, clip_key
from lusfx.contracts import UNKNOWN, Target, Task, Unit
from lusfx.engine.samples.patient_statements import PatientStatements, patients_of
from lusfx.errors import PluginError, TableError, TrainingRefusedError, UnreadableClipError
from lusfx.identifiers import canonical
from lusfx.messages import counted, first_few, have, short
from lusfx.site_key import SiteKey
from lusfx.tables import Row, read_table

MOST_DIGITS = 9
MOST_PROBLEMS = 10
"""Cells that one message names."""
FRAME_COLUMN = "frame"
"""Position of a frame in its source, from 0, in tables that label single frames."""


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One row of a label table with its clip.

    :param key: clip key; None where the file is missing.
    :param patient_key: from the table's ``patient_id``, or else from the run ledgers (DICOM); None where nobody knows.
    :param exam_key: from the table's ``exam_id``, or else from the run ledgers; None where nobody knows.
    :param pseudonyms: all that are known of the patient.
    """

    row: Row
    key: str | None
    patient_key: str | None
    exam_key: str | None
    cached: bool
    pseudonyms: frozenset[str] = frozenset()


def decoded_label_rows(
    rows: Sequence[Row],
    places: Mapping[int, Path],
    patient_of: Mapping[str, str | None],
    site_key: SiteKey,
    *,
    trust_table: bool = False,
) -> list[LabelRow]:
    """Rows with their clips among decoded ones, where no cache is.

    :param places: the files that rows name, by the rows' numbers; those of other rows are not looked at.
    :param patient_of: patient keys that the files themselves gave, by the keys of the clips that were decoded.
    :param trust_table: as :func:`read_labels` takes it.
    :raises TrainingRefusedError: as :func:`read_labels` does.
    """
    keys = [_content_key(places.get(row.number)) for row in rows]
    members = {key: Membership(file_patient=patient) for key, patient in patient_of.items()}
    return _label_rows(rows, keys, members, patient_of.keys(), site_key, trust_table)


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
    :param pseudonyms: all that are known of each patient, by patient key.
    :param n_not_known: cached units of which no label is known.
    :param rows_not_cached: the rows whose clip the cache lacks, as messages name them.
    :param notes: what was assumed of the label table.
    """

    unit: Unit
    keys: NDArray[np.str_]
    clips: Sequence[tuple[str, ...]]
    frames: NDArray[np.int64]
    targets: NDArray[np.int64]
    classes: NDArray[np.int64]
    groups: NDArray[np.str_]
    n_not_known: int
    rows_not_cached: tuple[str, ...]
    pseudonyms: Mapping[str, frozenset[str]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.keys)

    def warnings(self) -> list[str]:
        """What whoever reads a result must know of the table."""
        notes = [f"the label table: {note}" for note in self.notes]
        n_rows = len(self.rows_not_cached)
        if not n_rows:
            return notes
        return [
            *notes,
            f"{counted(n_rows, 'row')} of the label table {have(n_rows)} no clip in the cache "
            f"({_some_rows(self.rows_not_cached)}). Run: lusfx extract LABELS --cache DIR",
        ]


def read_labels(
    table: Path, cache: Cache, store: Store, site_key: SiteKey, *, trust_table: bool = False
) -> list[LabelRow]:
    """Find the clip, the patient and the exam of each row, by content.

    A row names its clip by ``clip`` (a clip key) or by ``path`` relative to the table.

    :param trust_table: believe the table's patients where the ledgers say otherwise, or were made with another site key.
    :raises TableError: if the table has neither column.
    :raises TrainingRefusedError: if the table and the ledgers differ on who is one patient.
    :raises SiteKeyError: if the ledgers were made with another site key, so that nobody can be compared.
    """
    rows = read_table(table)
    if "path" not in rows[0] and "clip" not in rows[0]:
        raise TableError("a label table names its clips in a column 'path' or 'clip'; this one has neither")
    if not trust_table and any(_states_patient(row) for row in rows):
        cache.require_site_key(site_key)
    folder = table.resolve().parent
    with cache.stat_index(site_key) as index:
        keys = [row["clip"] or index.lookup(folder / row["path"]) or _content_key(folder / row["path"]) for row in rows]
    return _label_rows(rows, keys, cache.memberships(), store.keys(), site_key, trust_table)


def site_keys_of(cache: Cache, site_key: SiteKey, rows: Sequence[LabelRow]) -> list[str]:
    """Checks of the site keys that the rows' pseudonyms are made with: the ledgers' keys, and the one in use for patients that
    the table names.
    """
    in_use = {site_key.check} if any(_states_patient(entry.row) for entry in rows) else set()
    return sorted(cache.site_keys() | in_use)


def _content_key(path: Path | None) -> str | None:
    if path is not None:
        with contextlib.suppress(UnreadableClipError):
            return clip_key(path)
    return None


def _label_rows(
    rows: Sequence[Row],
    keys: Sequence[str | None],
    members: Mapping[str, Membership],
    held: Container[str | None],
    site_key: SiteKey,
    trust_table: bool,
) -> list[LabelRow]:
    """Rows with their clips, and whose these are by all that is said of it."""
    _check_spelling(rows)
    known = [members.get(key or "", Membership()) for key in keys]
    statements = [
        PatientStatements(
            row.said,
            table=site_key.patient(row["patient_id"]) if _states_patient(row) else None,
            run=member.patient,
            file=member.file_patient,
        )
        for row, member in zip(rows, known, strict=True)
    ]
    return [
        LabelRow(
            row=row,
            key=key,
            patient_key=None if patient is None else patient.key,
            exam_key=site_key.exam(row["exam_id"]) if row["exam_id"] else member.exam,
            cached=key in held,
            pseudonyms=frozenset() if patient is None else patient.pseudonyms,
        )
        for row, key, member, patient in zip(
            rows, keys, known, patients_of(statements, trust_table=trust_table), strict=True
        )
    ]


def _states_patient(row: Row) -> bool:
    return canonical(row["patient_id"]) != ""


@dataclass(slots=True)
class _Unit:
    """What the rows read so far say of one unit."""

    patient: str
    row: str
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
    unit: Unit = "clip" if task.unit == "frame" and FRAME_COLUMN not in rows[0].row else task.unit
    found: dict[str, _Unit] = {}
    patient_of: dict[str, tuple[str, str]] = {}
    not_cached = []
    for entry, target in zip(rows, stated_targets(task, [entry.row for entry in rows]), strict=True):
        if entry.key is None or not entry.cached:
            if target is not None:
                not_cached.append(entry.row.said)
            continue
        _check_patient(patient_of, entry)
        _admit(found, task, unit, entry, target)
    known = {key: entry for key, entry in found.items() if entry.target is not None}
    if not known:
        raise TrainingRefusedError(
            f"no labelled clip is in the cache under this fingerprint ({_some_rows(not_cached)} {have(len(not_cached))} none). "
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
        pseudonyms={entry.patient_key: entry.pseudonyms for entry in rows if entry.patient_key is not None},
        notes=rows[0].row.form.notes,
    )


def require_label_columns(task: Task, row: Row) -> None:
    """Refuse a table without the columns that a task reads.

    :raises TableError: naming the first that is missing.
    """
    for column in task.label_columns:
        if column not in row:
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
        raise TableError(f"row {row.said}, {_columns(task)}: {'no label' if quotes else error}") from None
    except Exception as error:
        raise PluginError(
            f"task '{task.name}' failed on the labels of row {row.said}: {type(error).__name__}"
        ) from error
    return None if all(value == UNKNOWN for value in outcomes) else target


def stated_targets(task: Task, rows: Iterable[Row]) -> list[Target]:
    """:func:`stated_target` of each row; whoever mends a table is told all that is wrong with it.

    :raises TableError: naming the first ten cells that are neither blank nor a label, and how many more there are.
    """
    targets: list[Target] = []
    problems: list[str] = []
    for row in rows:
        try:
            targets.append(stated_target(task, row))
        except TableError as error:
            problems.append(str(error))
    if problems:
        more = len(problems) - MOST_PROBLEMS
        raise TableError("; ".join(problems[:MOST_PROBLEMS]) + (f"; and {more} more" if more > 0 else ""))
    return targets


def _check_spelling(rows: Sequence[Row]) -> None:
    """Refuse a table that writes a patient in two ways: it was put together from several, or somebody was careless."""
    known: dict[str, tuple[str, str]] = {}
    for row in rows:
        written = row["patient_id"]
        first, first_number = known.setdefault(canonical(written), (written, row.said))
        if first != written:
            raise TableError(
                f"rows {first_number} and {row.said} name patients that differ in capitals, spaces, invisible characters or "
                "how a number is written only. Write a patient in one way; if they are two people, name them more differently"
            )


def _check_patient(patient_of: dict[str, tuple[str, str]], entry: LabelRow) -> None:
    """Refuse one content that is two patients': it would stand on both sides of a split."""
    clip, patient, number = entry.key or "", entry.patient_key or "", entry.row.said
    known, first = patient_of.setdefault(clip, (patient, number))
    if known != patient:
        raise TrainingRefusedError(_conflict("clip", first, number, "patients", clip))


def _admit(found: dict[str, _Unit], task: Task, unit: Unit, entry: LabelRow, target: Target) -> None:
    """Take a row's unit once; another label or patient for the same content means that the table is wrong."""
    clip, patient, number = entry.key or "", entry.patient_key or "", entry.row.said
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


def _conflict(unit: Unit, first: str, second: str, differing: str, name: str) -> str:
    same = "are of the same exam and have" if unit == "exam" else "have the same content and"
    return f"rows {first} and {second} {same} different {differing} ({unit} {short(name)})"


def _flat(target: Target) -> Sequence[int | None]:
    return target if isinstance(target, Sequence) else (target,)


def _class(target: Target) -> int:
    return int(target) if isinstance(target, Integral) else UNKNOWN  # numpy's whole numbers too, which are no int


def _columns(task: Task) -> str:
    named = ", ".join(f"'{column}'" for column in task.label_columns)
    return f"column {named}" if len(task.label_columns) == 1 else f"columns {named}"


def _some_rows(rows: Sequence[str]) -> str:
    return f"{'row' if len(rows) == 1 else 'rows'} {first_few(rows)}"
