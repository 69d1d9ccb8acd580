"""What no result could be trusted of is refused, and the message says what is wrong and what to do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import Abstention, LongestRun, Task
from lusfx.engine.training.result import SomeRefusedError, TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import (
    CacheError,
    CorruptRecordError,
    LusfxError,
    PluginError,
    TableError,
    TaskModelError,
    TrainingRefusedError,
    UsageError,
)
from lusfx.testing.small_cache import SmallCache

MakeSmall = Callable[..., SmallCache]
Rows = list[dict[str, str]]
Train = Callable[..., list[TrainingResult]]
pytestmark = pytest.mark.usefixtures("few_resamples")


class Plain(Task):
    """Effusion, one answer a clip."""

    name = "plain"
    label_columns = ("effusion",)


class OfExam(Plain):
    """Effusion, one answer an exam."""

    unit = "exam"


class OfFrame(Plain):
    """Effusion, one answer a frame."""

    unit = "frame"


class ByRun(Plain):
    """Effusion, by the longest run."""

    aggregate = LongestRun()


class Signs(Task):
    """A-lines and B-lines, each seen or not."""

    name, kind = "signs", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a", "b")


@pytest.fixture
def small(small_cache_of: MakeSmall) -> SmallCache:
    return small_cache_of(Plain(), n_patients=12)


@pytest.fixture
def rows(small: SmallCache, label_rows: Callable[[SmallCache], Rows]) -> Rows:
    """The table of the small cache, for the test to change."""
    return label_rows(small)


@pytest.fixture
def train(small: SmallCache, tmp_path: Path, write_labels: Callable[[Rows], Path]) -> Train:
    """Trains on a changed table; whatever is refused has left nothing behind."""

    def run(rows: Rows | None = None, task: Task | None = None, **wanted: Any) -> list[TrainingResult]:
        labels = small.labels if rows is None else write_labels(rows)
        facts = {"n_folds": 2, "n_repeats": 1, "site_key": small.site_key} | wanted
        cache = facts.pop("cache", small.cache)
        out = tmp_path / "model"
        try:
            return train_task([task or Plain()], labels, cache, out, **facts)
        except LusfxError:
            assert not out.exists()
            raise

    return run


def test_good_data_are_not_refused(train: Train, rows: Rows) -> None:
    (result,) = train(rows)
    assert len(result.samples) == 36


# ---- patients and labels ----------------------------------------------------------------------------------------------


def test_units_without_a_patient_are_refused(
    train: Train, rows: Rows, small: SmallCache, tmp_path: Path, feature_spec: Any
) -> None:
    """Neither the table nor any run says whose they are."""
    other = Cache.open(tmp_path / "no-ledger", create=True).store(small.store.spec)
    for row in rows:
        other.write(row["clip"], small.store.read(row["clip"]))
        if row is rows[0] or row is rows[1]:
            row["patient_id"] = ""
    with pytest.raises(TrainingRefusedError, match=r"2 units have no patient \(.*column patient_id"):
        train(rows, cache=tmp_path / "no-ledger")


def test_the_same_content_of_two_patients_is_refused(train: Train, rows: Rows) -> None:
    """It would stand on both sides of a split."""
    rows.append(rows[0] | {"patient_id": "someone else"})
    with pytest.raises(
        TrainingRefusedError,
        match=r"rows 1 \(line 2\) and 37 \(line 38\) are of one patient .* and of two by the label table",
    ):
        train(rows)
    with pytest.raises(
        TrainingRefusedError, match=r"rows 1 \(line 2\) and 37 \(line 38\) have the same content and different patients"
    ):
        train(rows, trust_table=True)


def test_an_exam_of_two_patients_is_refused(train: Train, rows: Rows) -> None:
    for row in rows:
        row["effusion"] = str(int(row["patient_id"][-1]) % 2)
    rows[1]["patient_id"] = "someone else"
    with pytest.raises(
        TrainingRefusedError,
        match=r"rows 1 \(line 2\) and 2 \(line 3\) are of one patient .* and of two by the label table",
    ):
        train(rows, OfExam())
    with pytest.raises(
        TrainingRefusedError,
        match=r"rows 1 \(line 2\) and 2 \(line 3\) are of the same exam and have different patients",
    ):
        train(rows, OfExam(), trust_table=True)


def test_one_answer_alone_is_refused(train: Train, rows: Rows) -> None:
    for row in rows:
        row["effusion"] = "0"
    with pytest.raises(TrainingRefusedError, match="all 36 labelled units are 'no' to 'plain: yes': nothing to learn"):
        train(rows)


def test_an_answer_with_fewer_patients_than_folds_is_refused(train: Train, rows: Rows) -> None:
    for row in rows:
        row["effusion"] = str(int(row["patient_id"] in ("made-up-0003", "made-up-0007")))
    with pytest.raises(TrainingRefusedError, match="'plain: yes' has 2 patients with yes, fewer than the 3 folds"):
        train(rows, n_folds=3)


def test_too_few_patients_to_choose_a_threshold_on_are_refused(train: Train, rows: Rows) -> None:
    """Two patients with yes can be tested one by one, and then a single one is left to learn and to choose from."""
    for row in rows:
        row["effusion"] = str(int(row["patient_id"] in ("made-up-0003", "made-up-0007")))
    with pytest.raises(TrainingRefusedError, match="needs two of each class, and one class has 1 on a training side"):
        train(rows, n_folds=2)


def test_the_outcome_that_cannot_be_learnt_is_named(
    train: Train, small_cache_of: MakeSmall, label_rows: Callable[[SmallCache], Rows]
) -> None:
    small = small_cache_of(Signs(), n_patients=12)
    rows = label_rows(small)
    for row in rows:
        row["b"] = "" if row["b"] == "0" else row["b"]
    with pytest.raises(TrainingRefusedError, match="labelled units are 'yes' to 'signs: B-lines'"):
        train(rows, Signs(), cache=small.cache)
    for row in rows:
        row["b"] = ""
    with pytest.raises(TrainingRefusedError, match="no unit has a label that answers 'signs: B-lines'"):
        train(rows, Signs(), cache=small.cache)


def test_labels_that_match_no_clip_are_refused_by_row(train: Train, rows: Rows) -> None:
    for number, row in enumerate(rows):
        row["clip"] = f"{number:064x}"
    with pytest.raises(
        TrainingRefusedError,
        match=r"no labelled clip is in the cache.*rows 1 \(line 2\), 2 \(line 3\), 3 \(line 4\), \.\.\. have none",
    ):
        train(rows)


def test_no_label_at_all_is_refused(train: Train, rows: Rows) -> None:
    for row in rows:
        row["effusion"] = "indeterminate"
    with pytest.raises(TrainingRefusedError, match="no row of the label table has a label in column 'effusion'"):
        train(rows)


def test_a_label_that_makes_no_sense_stops_training_at_its_row(train: Train, rows: Rows) -> None:
    rows[4]["effusion"] = "perhaps"
    with pytest.raises(TableError, match=r"row 5 \(line 6\), column 'effusion': expected 0 or 1"):
        train(rows)


def test_a_label_that_a_plugin_repeats_in_its_own_words_is_not_told(train: Train, rows: Rows) -> None:
    """Where the columns of a table are mixed up, it may be a name."""

    class Quotes(Plain):
        """Effusion, in words."""

        def label(self, cell: str) -> int | None:
            return ["0", "1"].index(cell)  # whose error repeats what it did not find

    rows[4]["effusion"] = "Doe, Jane"
    with pytest.raises(TableError, match=r"row 5 \(line 6\), column 'effusion': ") as told:
        train(rows, Quotes())
    assert "Doe" not in str(told.value)


def test_contradicting_labels_are_refused(train: Train, rows: Rows) -> None:
    rows.append(rows[3] | {"effusion": str(1 - int(rows[3]["effusion"]))})
    with pytest.raises(
        TrainingRefusedError, match=r"rows 4 \(line 5\) and 37 \(line 38\) have the same content and different labels"
    ):
        train(rows)


def test_frames_without_an_embedding_are_refused(train: Train, rows: Rows) -> None:
    for row in rows:
        row["frame"] = "0"
    rows[0]["frame"] = "2"  # which could not be read
    with pytest.raises(TrainingRefusedError, match=r"frame 2 of clip .* has a label and no embedding"):
        train(rows, OfFrame())


def test_nothing_that_can_be_assessed_is_refused(train: Train, small: SmallCache, tmp_path: Path) -> None:
    """Clips without times, of a task that counts seconds."""
    timeless = Cache.open(tmp_path / "timeless", create=True).store(small.store.spec)
    for key, clip in small.clips().items():
        if clip.n_frames > 1:
            timeless.write(key, replace(clip, times_s=np.full(clip.n_frames, np.nan)))
    with pytest.raises(TrainingRefusedError, match="none of the 24 labelled units is assessable: frame-times-unknown"):
        train(task=ByRun(), cache=tmp_path / "timeless")


# ---- features ---------------------------------------------------------------------------------------------------------


def test_features_that_are_not_finite_are_refused(train: Train, small: SmallCache) -> None:
    class Divides(Plain):
        """Effusion, by a ratio that a still does not have."""

        pooling = "custom"

        def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
            return embeddings.mean(axis=0) * (np.nan if len(embeddings) == 1 else 1.0)

    with pytest.raises(TrainingRefusedError, match="the features of 12 units are not finite: "):
        train(task=Divides())


def test_pooling_that_fails_is_told_of(train: Train) -> None:
    class Fails(Plain):
        """Effusion, by what is not there."""

        pooling = "custom"

        def pool(self, embeddings: np.ndarray, times_s: np.ndarray) -> np.ndarray:
            raise KeyError("Jane Doe")

    with pytest.raises(PluginError, match="'pool' of task 'plain' failed: KeyError") as told:
        train(task=Fails())
    assert "Jane" not in str(told.value)


def test_isotonic_calibration_of_a_handful_is_refused(train: Train) -> None:
    with pytest.raises(
        TrainingRefusedError, match=r"isotonic calibration needs 1000 units .* Use the calibration 'platt'"
    ):
        train(calibration="isotonic")


def test_frames_of_few_clips_are_few_units_to_isotonic_calibration(train: Train) -> None:
    """Frames that share a clip count as the one clip that they are."""
    with pytest.raises(TrainingRefusedError, match="and there are 18 and "):
        train(task=OfFrame(), calibration="isotonic")


def test_a_fingerprint_that_is_not_there_is_told_with_those_that_are(train: Train, small: SmallCache) -> None:
    with pytest.raises(
        CacheError, match=f"0 fingerprints in the cache begin with abc; it holds: {small.store.fingerprint[:12]}"
    ):
        train(fingerprint="abc")


def test_one_of_several_fingerprints_must_be_named(
    train: Train, small: SmallCache, tmp_path: Path, feature_spec: Any
) -> None:
    cache = Cache.open(tmp_path / "several", create=True)
    cache.store(feature_spec)
    store = cache.store(small.store.spec)
    for key, clip in small.clips().items():
        store.write(key, clip)
    with pytest.raises(
        UsageError, match=r"several fingerprints: .*\(made-up\).*Name one with --encoder or --fingerprint"
    ):
        train(cache=cache.directory)
    with pytest.raises(TrainingRefusedError, match="no labelled clip is in the cache under this fingerprint"):
        train(cache=cache.directory, fingerprint=feature_spec.fingerprint)
    (result,) = train(cache=cache.directory, fingerprint=store.fingerprint[:8])
    assert result.fingerprint == store.fingerprint


def test_a_cache_that_is_none_and_one_that_is_empty_are_refused(train: Train, tmp_path: Path) -> None:
    with pytest.raises(CacheError, match="no cache in this directory"):
        train(cache=tmp_path / "nowhere")
    Cache.open(tmp_path / "empty", create=True)
    with pytest.raises(CacheError, match="the cache holds no features yet"):
        train(cache=tmp_path / "empty")


def test_a_damaged_clip_stops_training_and_is_not_skipped(train: Train, small: SmallCache, tmp_path: Path) -> None:
    store = Cache.open(tmp_path / "damaged", create=True).store(small.store.spec)
    for key, clip in small.clips().items():
        store.write(key, clip)
    place = store.path_of(key)
    content = bytearray(place.read_bytes())
    content[-20] ^= 1
    place.write_bytes(bytes(content))
    with pytest.raises(CorruptRecordError, match=f"clip {key[:12]} is damaged on disk"):
        train(cache=tmp_path / "damaged")


# ---- what is asked for ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"head": "logistics"}, "unknown head 'logistics'; known: attention, lightgbm, logistic, mlp"),
        ({"settings": {"depth": "3"}}, "head 'mlp', setting 'depth': .*; it has: hidden, members, linear_variance"),
        ({"settings": {"unit_variance": "-1"}}, "head 'mlp', setting 'unit_variance': it must be greater"),
        ({"settings": {"unit_variance": "1"}, "search": True}, "--search chooses the settings itself"),
        ({"settings": {"unit_variance": "1"}, "head": "auto"}, "--head auto chooses the settings itself"),
        ({"head": "attention", "pooling": "mean"}, "weighs frames by itself"),
        ({"head": "logistic", "pooling": "attention"}, "takes pooled vectors"),
        ({"pooling": "custom"}, "has no pooling of its own"),
        ({"task": ByRun(), "head": "attention"}, "aggregates the probabilities of frames"),
    ],
)
def test_what_does_not_go_together_is_a_mistake_of_the_call(train: Train, wanted: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        train(**wanted)


def test_a_place_that_holds_something_else_is_left_as_it_is(small: SmallCache, tmp_path: Path) -> None:
    """Before anything is read or trained."""
    place = tmp_path / "thesis"
    place.mkdir()
    (place / "chapter.txt").write_text("two years of work")
    with pytest.raises(TaskModelError, match="holds no task model: it is left as it is"):
        train_task([Plain()], tmp_path / "no-table.csv", small.cache, place)
    assert (place / "chapter.txt").read_text() == "two years of work"


# ---- one of several -----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_one_refused_task_stops_no_other(small_cache_of: MakeSmall, tmp_path: Path) -> None:
    class TooLong(Plain):
        """Effusion, in clips that nobody has."""

        name, abstain = "too-long", Abstention(min_frames=1000)

    class Conflicting(Plain):
        """Effusion, by a column in which every exam says both."""

        name, unit = "conflicting", "exam"

    small = small_cache_of(Plain(), n_patients=12, signal=4.0)
    facts: dict[str, Any] = {"n_folds": 2, "n_repeats": 1, "head": "logistic", "site_key": small.site_key}
    with pytest.raises(SomeRefusedError) as caught:
        train_task([TooLong(), Plain(), Conflicting()], small.labels, small.cache, tmp_path / "models", **facts)
    assert set(caught.value.refused) == {"too-long", "conflicting"}
    assert "none of the 36 labelled units is assessable" in caught.value.refused["too-long"]
    (trained,) = caught.value.results
    assert (trained.out, trained.card.name) == (tmp_path / "models" / "plain", "plain")
    assert trained.out.is_dir()
    for task, reason in caught.value.refused.items():
        assert f"{task} is refused: {reason}" in str(caught.value)
        assert not (tmp_path / "models" / task).exists()
    with pytest.raises(SomeRefusedError) as none_left:
        train_task([Conflicting(), type("Other", (Conflicting,), {"name": "other", "__doc__": "Is it?"})()], small.labels,
                   small.cache, tmp_path / "none", **facts)  # fmt: skip
    assert none_left.value.results == []
