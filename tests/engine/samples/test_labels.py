"""What label tables say: whose each clip is, what is known of it, and what makes no sense."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, LedgerEntry, Membership, Store, clip_key
from lusfx.config import FeatureSpec
from lusfx.contracts import UNKNOWN, Target, Task
from lusfx.engine.samples.labels import LabelledUnits, LabelRow, labels_of, read_labels
from lusfx.errors import PluginError, TableError, TrainingRefusedError
from lusfx.site_key import SiteKey, same_patient
from lusfx.tables import Row, TableForm
from lusfx.testing.small_cache import SmallCache
from lusfx.types import ClipEmbeddings


class Effusion(Task):
    """Effusion, one answer a clip."""

    name = "effusion"
    label_columns = ("effusion",)


class EffusionOfExam(Effusion):
    """Effusion, one answer an exam."""

    unit = "exam"


class EffusionOfFrame(Effusion):
    """Effusion, one answer a frame."""

    unit = "frame"


class Grade(Task):
    """How severe it is."""

    name, kind = "grade", "ordinal"
    classes = ("none", "mild", "severe")
    label_columns = ("grade",)


class Organ(Task):
    """What is shown."""

    name, kind = "organ", "multi-class"
    classes = ("lung", "liver", "spleen")
    label_columns = ("organ",)


class Signs(Task):
    """A-lines, B-lines and consolidation, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = label_columns = ("a", "b", "c")


def key_of(clip: str) -> str:
    """A clip key that is told apart in messages by its letter."""
    return clip * 64


def rows_of(
    cells: Sequence[Mapping[str, str]],
    *,
    clips: str = "",
    patients: Sequence[str | None] | None = None,
    exams: Sequence[str | None] | None = None,
    cached: Sequence[bool] | None = None,
) -> list[LabelRow]:
    """Rows of a table; by default each has another clip of another patient, and no exam."""
    letters = clips or "0123456789abcdef"[: len(cells)]
    return [
        LabelRow(
            Row(number, row),
            key_of(letters[number - 1]),
            patients[number - 1] if patients else f"p-{letters[number - 1]}",
            exams[number - 1] if exams else None,
            cached is None or cached[number - 1],
        )
        for number, row in enumerate(cells, start=1)
    ]


def said(task: Task, *words: str, **facts: object) -> LabelledUnits:
    """What the words in the task's only column say."""
    (column,) = task.label_columns
    return labels_of(task, rows_of([{column: word} for word in words], **facts))


# ---- what cells say ---------------------------------------------------------------------------------------------------


def test_a_binary_label() -> None:
    units = said(Effusion(), "0", "1", "1.0")
    assert units.targets.tolist() == [[0], [1], [1]]
    assert units.classes.tolist() == [0, 1, 1]
    assert units.keys.tolist() == [key_of(letter) for letter in "012"]
    assert units.groups.tolist() == ["p-0", "p-1", "p-2"]
    assert units.clips == [(key,) for key in units.keys]
    assert units.unit == "clip"
    assert (units.frames == UNKNOWN).all()
    assert units.warnings() == []


def test_an_ordinal_label_says_which_steps_are_reached() -> None:
    units = said(Grade(), "0", "1", "2")
    assert units.targets.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert units.classes.tolist() == [0, 1, 2]


def test_a_class_stands_against_the_rest() -> None:
    units = said(Organ(), "spleen", "lung")
    assert units.targets.tolist() == [[0, 0, 1], [1, 0, 0]]
    assert units.classes.tolist() == [2, 0]


def test_labels_of_several_columns_may_be_known_in_part() -> None:
    cells = [{"a": "1", "b": "", "c": "0"}, {"a": "Indeterminate", "b": "1", "c": ""}, {"a": "", "b": "", "c": ""}]
    units = labels_of(Signs(), rows_of(cells))
    assert units.targets.tolist() == [[1, UNKNOWN, 0], [UNKNOWN, 1, UNKNOWN]]
    assert units.classes.tolist() == [UNKNOWN, UNKNOWN]
    assert units.n_not_known == 1


@pytest.mark.parametrize("word", ["", "indeterminate", "INDETERMINATE"])
def test_what_is_not_known_is_counted_and_never_a_negative(word: str) -> None:
    units = said(Effusion(), "1", word, "0", word)
    assert units.keys.tolist() == [key_of("0"), key_of("2")]
    assert units.targets.tolist() == [[1], [0]]
    assert units.n_not_known == 2


def test_numpy_s_whole_numbers_are_labels_like_any_other() -> None:
    class Binned(Grade):
        """How severe it is, from a measurement."""

        def label(self, cell: str) -> int | None:
            return np.searchsorted([0.5, 1.5], float(cell))

    units = labels_of(Binned(), rows_of([{"grade": word} for word in ("0.1", "1", "7", "7.0")], clips="0122"))
    assert units.targets.tolist() == [[0, 0], [1, 0], [1, 1]]
    assert units.classes.tolist() == [0, 1, 2]


def test_a_task_may_read_several_columns_as_one_label() -> None:
    class Either(Task):
        """One or the other."""

        name, label_columns = "either", ("left", "right")

        def target(self, cells: Mapping[str, str]) -> Target:
            sides = [self.known(cells[side]) for side in self.label_columns]
            return 1 if 1 in sides else None if None in sides else 0

    cells = [{"left": "1", "right": ""}, {"left": "0", "right": "0"}, {"left": "0", "right": ""}]
    units = labels_of(Either(), rows_of(cells))
    assert units.targets.tolist() == [[1], [0]]
    assert units.n_not_known == 1


@pytest.mark.parametrize(
    ("task", "cell", "expected"),
    [
        (Effusion(), "2", "row 2, column 'effusion': expected 0 or 1"),
        (Effusion(), "Doe, Jane", "row 2, column 'effusion': expected 0 or 1"),
        (Effusion(), "nan", "row 2, column 'effusion': expected 0 or 1"),
        (Grade(), "3", "row 2, column 'grade': expected a whole number from 0 to 2"),
        (Organ(), "Lung", "row 2, column 'organ': expected one of lung, liver, spleen"),
    ],
)
def test_a_label_that_makes_no_sense_is_named_by_its_row_and_not_repeated(task: Task, cell: str, expected: str) -> None:
    with pytest.raises(TableError, match=expected) as told:
        said(task, "", cell)
    assert cell not in str(told.value).removeprefix(expected)
    assert "Doe" not in str(told.value)


def test_a_label_that_makes_no_sense_is_told_of_where_the_clip_is_not_cached_too() -> None:
    with pytest.raises(TableError, match="row 2"):
        said(Effusion(), "1", "perhaps", cached=[True, False])


@pytest.mark.parametrize(("n_bad", "more"), [(2, ""), (10, ""), (12, "; and 2 more")])
def test_all_labels_that_make_no_sense_are_told_at_once(n_bad: int, more: str) -> None:
    with pytest.raises(TableError) as told:
        said(Effusion(), "1", *["Doe"] * n_bad)
    named = [f"row {number}, column 'effusion': expected 0 or 1, or no or yes" for number in range(2, n_bad + 2)]
    assert str(told.value) == "; ".join(named[:10]) + more


def test_what_was_assumed_of_a_table_is_told_with_the_result() -> None:
    rows = rows_of([{"Effusion": "YES"}, {"Effusion": "no"}])
    form = TableForm({"effusion": "Effusion"}, ("read as Windows-1252",))
    units = labels_of(Effusion(), [replace(entry, row=replace(entry.row, form=form)) for entry in rows])
    assert units.targets.ravel().tolist() == [1, 0]
    assert units.warnings() == ["the label table: read as Windows-1252"]


def test_one_of_several_labels_that_makes_no_sense_names_the_columns() -> None:
    with pytest.raises(TableError, match="row 1, columns 'a', 'b', 'c': expected 0 or 1"):
        labels_of(Signs(), rows_of([{"a": "1", "b": "3", "c": ""}]))


def test_a_task_that_fails_on_a_label_is_told_of_by_name_and_row() -> None:
    class Broken(Effusion):
        """Looks a word up that there is not."""

        def label(self, cell: str) -> int | None:
            return {"present": 1}[cell]

    with pytest.raises(PluginError, match="task 'effusion' failed on the labels of row 2: KeyError") as told:
        said(Broken(), "present", "Doe, Jane")
    assert "Doe" not in str(told.value)


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(TableError, match="task 'signs' reads the column 'b'"):
        labels_of(Signs(), rows_of([{"a": "1", "c": "0"}]))


# ---- which clips, and whose -------------------------------------------------------------------------------------------


def test_rows_without_a_cached_clip_are_named() -> None:
    words = ["1", "0", "1", "1", "1", ""]
    units = said(Effusion(), *words, cached=[True, True, False, False, False, False])
    assert len(units) == 2
    assert units.rows_not_cached == ("3", "4", "5")  # the last one says nothing, and is not missed
    (warning,) = units.warnings()
    assert "3 rows of the label table have no clip in the cache (rows 3, 4, 5)" in warning
    many = said(Effusion(), "1", *("0" * 5), cached=[True] + [False] * 5)
    assert "(rows 2, 3, 4, ...)" in many.warnings()[0]


def test_labels_that_match_no_clip_are_refused_by_row() -> None:
    with pytest.raises(TrainingRefusedError, match=r"no labelled clip is in the cache.*\(rows 1, 2 have none\)"):
        said(Effusion(), "1", "0", cached=[False, False])
    with pytest.raises(TrainingRefusedError, match="no row of the label table has a label in column 'effusion'"):
        said(Effusion(), "", "indeterminate")


def test_the_same_content_twice_is_one_unit() -> None:
    units = said(Effusion(), "1", "", "1", "0", clips="aaab", patients=["p-1", "p-1", "p-1", "p-2"])
    assert units.keys.tolist() == [key_of("a"), key_of("b")]
    assert units.targets.tolist() == [[1], [0]]
    assert units.n_not_known == 0  # one row of that clip says it


def test_a_blank_row_before_the_label_does_not_hide_it() -> None:
    units = said(Effusion(), "", "1", "0", clips="aab", patients=["p-1", "p-1", "p-2"])
    assert units.targets.tolist() == [[1], [0]]


def test_the_same_content_with_two_labels_is_refused() -> None:
    with pytest.raises(
        TrainingRefusedError, match=r"rows 2 and 3 have the same content and different labels \(clip aaaa"
    ):
        said(Effusion(), "", "1", "0", clips="aaa", patients=["p-1"] * 3)
    cells = [{"a": "1", "b": "0", "c": ""}, {"a": "1", "b": "1", "c": ""}]
    with pytest.raises(TrainingRefusedError, match="rows 1 and 2 have the same content and different labels"):
        labels_of(Signs(), rows_of(cells, clips="aa", patients=["p-1", "p-1"]))


@pytest.mark.parametrize("second", ["p-2", None])
def test_the_same_content_of_two_patients_is_refused(second: str | None) -> None:
    with pytest.raises(TrainingRefusedError, match="rows 1 and 2 have the same content and different patients"):
        said(Effusion(), "1", "1", clips="aa", patients=["p-1", second])


def test_the_same_content_of_two_patients_is_refused_where_exams_differ_too() -> None:
    with pytest.raises(TrainingRefusedError, match=r"rows 1 and 3 have .* different patients \(clip aaaa"):
        said(
            EffusionOfExam(),
            "1",
            "0",
            "",
            clips="aba",
            patients=["p-1", "p-2", "p-2"],
            exams=["e-1", "e-2", "e-2"],
        )


# ---- frames and exams -------------------------------------------------------------------------------------------------


def frame_rows(*cells: tuple[str, str, str]) -> list[LabelRow]:
    """Rows of a clip's letter, a frame and a label."""
    rows = [{"frame": frame, "effusion": label} for _, frame, label in cells]
    letters = "".join(letter for letter, _, _ in cells)
    return rows_of(rows, clips=letters, patients=[f"p-{letter}" for letter in letters])


def test_a_table_with_frames_labels_single_frames() -> None:
    units = labels_of(EffusionOfFrame(), frame_rows(("a", "0", "1"), ("a", "7", "0"), ("a", "8", ""), ("b", "7", "1")))
    assert units.unit == "frame"
    assert units.keys.tolist() == [f"{key_of('a')}#0", f"{key_of('a')}#7", f"{key_of('b')}#7"]
    assert units.frames.tolist() == [0, 7, 7]
    assert units.targets.tolist() == [[1], [0], [1]]
    assert units.groups.tolist() == ["p-a", "p-a", "p-b"]
    assert units.n_not_known == 1


def test_a_table_without_frames_labels_the_frames_of_whole_clips() -> None:
    assert said(EffusionOfFrame(), "0", "1").unit == "clip"


def test_a_frame_with_two_labels_is_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="rows 1 and 2 have the same content and different labels"):
        labels_of(EffusionOfFrame(), frame_rows(("a", "3", "1"), ("a", "3", "0")))


@pytest.mark.parametrize("frame", ["", "-1", "1.5", "first"])
def test_a_frame_that_is_no_position_is_named_by_its_row(frame: str) -> None:
    with pytest.raises(TableError, match="row 2, column 'frame': expected a frame's position"):
        labels_of(EffusionOfFrame(), frame_rows(("a", "3", "1"), ("a", frame, "0")))


def test_a_column_of_frames_means_nothing_to_a_task_of_clips() -> None:
    units = labels_of(Effusion(), frame_rows(("a", "3", "1"), ("a", "4", "1"), ("b", "x", "0")))
    assert units.unit == "clip"
    assert len(units) == 2


def test_rows_of_an_exam_that_agree_are_one_unit() -> None:
    exams = ["e-1", "e-1", "e-2", "e-1"]
    units = said(EffusionOfExam(), "1", "", "0", "1", clips="abca", patients=["p-1", "p-1", "p-2", "p-1"], exams=exams)
    assert units.unit == "exam"
    assert units.keys.tolist() == ["e-1", "e-2"]
    assert units.clips == [(key_of("a"), key_of("b")), (key_of("c"),)]
    assert units.targets.tolist() == [[1], [0]]


def test_rows_of_an_exam_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(
        TrainingRefusedError, match=r"rows 1 and 3 are of the same exam and have different labels \(exam e-1"
    ):
        said(EffusionOfExam(), "1", "", "0", patients=["p-1"] * 3, exams=["e-1"] * 3)
    with pytest.raises(TrainingRefusedError, match="rows 1 and 2 are of the same exam and have different patients"):
        said(EffusionOfExam(), "1", "1", patients=["p-1", "p-2"], exams=["e-1", "e-1"])


def test_a_row_without_an_exam_is_refused_where_exams_are_asked() -> None:
    with pytest.raises(TrainingRefusedError, match=r"row 2 has no exam.*column exam_id"):
        said(EffusionOfExam(), "1", "0", exams=["e-1", None])


# ---- reading a table --------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path, feature_spec: FeatureSpec) -> Store:
    return Cache.open(tmp_path / "cache", create=True).store(feature_spec)


def test_a_clip_is_found_by_its_content_whatever_its_name(
    tmp_path: Path, store: Store, site_key: SiteKey, write_labels: Callable[..., Path]
) -> None:
    for name, content in (("one.mp4", b"one"), ("copy-of-one.mp4", b"one"), ("two.mp4", b"two")):
        (tmp_path / name).write_bytes(content)
    key = clip_key(tmp_path / "one.mp4")
    clip = ClipEmbeddings(np.zeros((1, 5), np.float16), np.zeros(1), np.zeros(1, np.int64), np.zeros(1, np.uint8))
    store.write(key, clip)
    names = ("one.mp4", "copy-of-one.mp4", "two.mp4", "three.mp4")
    table = write_labels([{"path": name, "patient_id": "Jane", "exam_id": "7", "effusion": "1"} for name in names])
    rows = read_labels(table, Cache.open(tmp_path / "cache"), store, site_key)
    assert [row.key for row in rows] == [key, key, clip_key(tmp_path / "two.mp4"), None]
    assert [row.cached for row in rows] == [True, True, False, False]
    assert {row.patient_key for row in rows} == {same_patient(site_key.patient("Jane"))}
    assert {row.exam_key for row in rows} == {site_key.exam("7")}


def test_a_table_that_names_no_clips_is_refused(
    tmp_path: Path, store: Store, site_key: SiteKey, write_labels: Callable[..., Path]
) -> None:
    table = write_labels([{"file": "one.mp4", "effusion": "1"}])
    with pytest.raises(TableError, match="'path' or 'clip'"):
        read_labels(table, Cache.open(tmp_path / "cache"), store, site_key)


def test_patients_and_exams_come_from_the_ledgers_where_the_table_does_not_say(
    tmp_path: Path, store: Store, site_key: SiteKey, write_labels: Callable[..., Path]
) -> None:
    cache = Cache.open(tmp_path / "cache")
    with cache.start_run(store.fingerprint, "test") as ledger:
        member = Membership("p-ledger", "e-ledger", "L1")
        ledger.record(LedgerEntry("s-1", "encoded", key_of("a"), member, n_frames=1))
    cells = {"patient_id": "", "exam_id": "", "effusion": "1"}
    table = write_labels(
        [
            {"clip": key_of("a")} | cells,
            {"clip": key_of("b")} | cells | {"patient_id": "Jane"},
            {"clip": key_of("b")} | cells,
        ]
    )
    rows = read_labels(table, cache, store, site_key)
    assert [row.patient_key for row in rows] == ["p-ledger", same_patient(site_key.patient("Jane")), None]
    assert [row.exam_key for row in rows] == ["e-ledger", None, None]


def test_a_small_cache_s_table_is_read_whole(small_cache_of: Callable[..., SmallCache]) -> None:
    small = small_cache_of(Effusion(), n_patients=4)
    rows = read_labels(small.labels, Cache.open(small.cache), small.store, small.site_key)
    units = labels_of(Effusion(), rows)
    assert len(units) == 12
    assert len(set(units.groups.tolist())) == 4
    exams = labels_of(EffusionOfExam(), [row for row in rows if row.row["effusion"] == "1"])
    assert len(exams) == 4
