"""The small cache holds what a task can learn from, and example rows say yes and no to everything."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import Abstention, Task, ZoneSummary
from lusfx.errors import UsageError
from lusfx.testing import SmallCache, example_rows, make_small_cache
from lusfx.types import FrameStatus


def task_of(**attributes: Any) -> Task:
    kind = type(
        "Made", (Task,), {"__doc__": "A question.", "name": "made-up", "label_columns": ("seen",), **attributes}
    )
    return kind()


def rows_of(small: SmallCache) -> list[dict[str, str]]:
    with small.labels.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def by_name(cells: Mapping[str, str]) -> int:
    return ["none", "some"].index(cells["seen"])


# ---- example rows


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, ["0", "1"]),
        ({"classes": ("absent", "present")}, ["0", "1"]),
        ({"kind": "multi-class", "classes": ("a", "b", "c")}, ["a", "b", "c"]),
        ({"kind": "ordinal", "classes": ("none", "few", "many", "all")}, ["0", "1", "2", "3"]),
        (
            {"classes": ("none", "some"), "target": lambda self, cells: by_name(cells)},
            ["none", "some"],
        ),
    ],
)
def test_example_rows_of_one_column(attributes: dict[str, Any], expected: list[str]) -> None:
    assert [row["seen"] for row in example_rows(task_of(**attributes))] == expected


def test_example_rows_of_two_labels_are_all_four() -> None:
    task = task_of(kind="multi-label", classes=("A", "B"), label_columns=("a", "b"))
    assert sorted(tuple(row.values()) for row in example_rows(task)) == [
        ("0", "0"),
        ("0", "1"),
        ("1", "0"),
        ("1", "1"),
    ]


def test_example_rows_of_many_labels_are_few() -> None:
    names = tuple("abcdefghijkl")
    task = task_of(kind="multi-label", classes=names, label_columns=names)
    rows = example_rows(task)
    assert len(rows) == len(names) + 2
    answers = np.array([task.outcome_targets(task.target(row)) for row in rows])
    assert set(answers.min(axis=0)) == {0}
    assert set(answers.max(axis=0)) == {1}


def test_example_rows_of_a_task_that_reads_two_columns_as_one_question() -> None:
    def target(self: Task, cells: Mapping[str, str]) -> int | None:
        return 1 if cells["b"] == "1" else 0 if (cells["a"], cells["b"]) == ("1", "0") else None

    rows = example_rows(task_of(label_columns=("a", "b"), target=target))
    assert [row["b"] for row in rows] == ["1", "0"] or [row["b"] for row in rows] == ["0", "1"]


def test_labels_that_are_read_in_an_unusual_way_need_examples(tmp_path: Path) -> None:
    def label(self: Task, cell: str) -> int | None:
        return {"L1": 0, "L3": 1}.get(cell)

    task = task_of(label=label)
    for call in (lambda: example_rows(task), lambda: make_small_cache(tmp_path / "none", task)):
        with pytest.raises(UsageError, match="'made-up' reads its labels in its own way: name example rows"):
            call()
    small = make_small_cache(tmp_path / "some", task, examples=[{"seen": "L1"}, {"seen": "L3"}], n_patients=4)
    assert {row["seen"] for row in rows_of(small)} == {"L1", "L3"}


def test_a_task_that_takes_its_cells_away_leaves_the_rows() -> None:
    def target(self: Task, cells: dict[str, str]) -> int:
        return int(cells.pop("seen"))

    assert [row["seen"] for row in example_rows(task_of(target=target))] == ["0", "1"]


# ---- the cache


def test_a_cache_and_its_table_fit_each_other(tmp_path: Path) -> None:
    small = make_small_cache(tmp_path / "small", task_of(), n_patients=5, clips_per_patient=4, dim=7)
    clips, rows = small.clips(), rows_of(small)
    assert sorted(clips) == sorted(row["clip"] for row in rows)
    assert len(rows) == len(clips) == 20
    assert len({row["patient_id"] for row in rows}) == 5
    assert {clip.embeddings.shape[1] for clip in clips.values()} == {7}
    assert sorted({clip.n_frames for clip in clips.values()}) == [1, 7, 12]
    members = Cache.open(small.cache).memberships()
    for row in rows:
        assert members[row["clip"]].patient == small.site_key.patient(row["patient_id"])
        assert members[row["clip"]].exam == small.site_key.exam(row["exam_id"])
    assert Cache.open(small.cache).stores()[0].fingerprint == small.store.fingerprint


def test_the_longest_clips_have_a_frame_that_could_not_be_read(tmp_path: Path) -> None:
    small = make_small_cache(tmp_path / "small", task_of(), n_patients=2)
    for clip in small.clips().values():
        gaps = np.flatnonzero(clip.status == FrameStatus.UNREADABLE).tolist()
        assert gaps == ([2] if clip.n_frames == 12 else [])
        assert np.isnan(clip.embeddings[gaps].astype(np.float32)).all()
        assert np.isfinite(np.delete(clip.embeddings.astype(np.float32), gaps, axis=0)).all()


def test_the_same_call_makes_the_same_clips_and_another_seed_others(tmp_path: Path) -> None:
    task = task_of()
    first, again, other, beyond = (
        make_small_cache(tmp_path / name, task, n_patients=3, seed=seed, first_patient=patient)
        for name, seed, patient in (("first", 0, 0), ("again", 0, 0), ("other", 1, 0), ("beyond", 0, 3))
    )
    assert first.labels.read_bytes() == again.labels.read_bytes()
    for key, clip in first.clips().items():
        np.testing.assert_array_equal(clip.embeddings, again.clips()[key].embeddings)
    assert not set(first.clips()) & (set(other.clips()) | set(beyond.clips()))
    assert not {row["patient_id"] for row in rows_of(first)} & {row["patient_id"] for row in rows_of(beyond)}


def test_the_signal_is_the_difference_between_the_answers(tmp_path: Path) -> None:
    for signal in (0.0, 3.0):
        small = make_small_cache(tmp_path / f"{signal}", task_of(), signal=signal, n_patients=30)
        of_answer: dict[str, list[float]] = {"0": [], "1": []}
        for row in rows_of(small):
            of_answer[row["seen"]].append(float(np.nanmean(small.store.read(row["clip"]).embeddings[:, 0])))
        assert abs(np.mean(of_answer["1"]) - np.mean(of_answer["0"]) - signal) < 0.4


def test_the_clips_of_an_exam_share_its_label_where_the_exam_is_the_unit(tmp_path: Path) -> None:
    small = make_small_cache(tmp_path / "small", task_of(unit="exam"))
    of_exam: dict[str, set[str]] = {}
    for row in rows_of(small):
        of_exam.setdefault(row["exam_id"], set()).add(row["seen"])
    assert all(len(labels) == 1 for labels in of_exam.values())
    assert set.union(*of_exam.values()) == {"0", "1"}


def test_zones_are_those_of_the_summary(tmp_path: Path) -> None:
    task = task_of(exam_summary=ZoneSummary(("left", "right")))
    small = make_small_cache(tmp_path / "small", task, n_patients=2, clips_per_patient=3)
    assert [row["zone"] for row in rows_of(small)] == ["left", "right", "left"] * 2


def test_clips_are_as_long_as_the_task_asks(tmp_path: Path) -> None:
    task = task_of(abstain=Abstention(min_frames=40, min_beam_confidence=0.99))
    small = make_small_cache(tmp_path / "small", task, n_patients=2)
    readable = sorted({int((clip.status == FrameStatus.OK).sum()) for clip in small.clips().values()})
    assert readable == [1, 40, 44]
    assert all(clip.provenance["beam_confidence"] >= 0.99 for clip in small.clips().values())


def test_embeddings_that_are_too_short_are_refused(tmp_path: Path) -> None:
    task = task_of(kind="ordinal", classes=("0", "1", "2", "3"))
    with pytest.raises(UsageError, match="embeddings of 3 dimensions cannot tell 3 outcomes"):
        make_small_cache(tmp_path / "small", task, dim=3)
