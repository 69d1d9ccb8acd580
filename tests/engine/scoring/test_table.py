"""The score table: every place has its rows, whatever became of it, and each clip is read once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cache import Cache, Membership, Store
from lusfx.config import FeatureSpec
from lusfx.contracts import Abstention, Features, Gate, Head, MinSpecificity, Task, Youden, ZoneSummary
from lusfx.engine.extraction.extract import Trouble
from lusfx.engine.scoring import table as score_table
from lusfx.engine.scoring.answers import Panel
from lusfx.engine.scoring.table import Place, ScoreTable, columns_of
from lusfx.errors import CacheError
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModel,
    TaskModelFacts,
    TrainingCard,
)
from lusfx.task_model.card import make_card
from lusfx.types import ClipEmbeddings

THRESHOLDS = {"balanced": 0.5, "rule-in": 0.8}
RULES = {"balanced": Youden(), "rule-in": MinSpecificity(0.9)}


class Column(Head):
    """The probability is one of the features."""

    def __init__(self, column: int) -> None:
        self.column = column

    def predict_proba(self, features: Features) -> np.ndarray:
        assert isinstance(features, np.ndarray)
        yes = features[:, self.column].astype(np.float64)
        return np.stack([1 - yes, yes], axis=1)

    def files(self) -> Mapping[str, bytes]:
        return {"column": b""}


def make_task(name: str = "sign", **attributes: Any) -> Task:
    """A binary task about clips that is called so, with other attributes."""
    always = {"__doc__": "Is it?", "name": name, "label_columns": ("sign",), "pooling": "mean"}
    task: Task = type("Sign", (Task,), always | attributes)()
    return task


Making = Callable[..., TaskModel]


@pytest.fixture
def make_model(feature_spec: FeatureSpec) -> Making:
    """Makes a model whose outcomes are answered by the first columns of an embedding."""

    def make(task: Task, points: Sequence[str] = ("balanced", "rule-in")) -> TaskModel:
        card, dim = TaskCard.of(task), feature_spec.encoder.dim
        outcome: dict[str, Any] = {
            "head": HeadCard(name="column", settings={}),
            "calibration": None,
            "operating_points": {
                name: OperatingPointCard(rule=RuleCard.of(RULES[name]), threshold=THRESHOLDS[name]) for name in points
            },
            "decides": points[0],
            "n_units": 2,
            "n_events": 1,
        }
        training: dict[str, Any] = {"n_units": 2, "n_clips": 2, "n_patients": 2, "weak_labels": False, "seed": 0}
        facts = TaskModelFacts(
            task=card,
            features=FeaturesCard(fingerprint=feature_spec.fingerprint, encoder="test", dim=dim, n_features=dim),
            outcomes=tuple(OutcomeCard(name=name, **outcome) for name in card.outcomes),
            novelty=None,
            training=TrainingCard(**training, lusfx_version="0", created=datetime.now(UTC)),
        )
        numbers = range(len(card.outcomes))
        names = ["evidence.json", "report.html", *(f"{number + 1}-column" for number in numbers)]
        return TaskModel(
            card=make_card(facts, dict.fromkeys(names, b"")),
            heads=[Column(number) for number in numbers],
            calibrations=[None] * len(numbers),
            aggregation=None,
            novelty=None,
            task=None,
            evidence={},
            digest=hashlib.sha256(card.name.encode()).hexdigest(),
        )

    return make


class Read:
    """A store that counts how often each clip is read."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.fingerprint = store.fingerprint
        self.counts: dict[str, int] = {}

    def read_all(self, keys: Iterable[str], failed: Any = None) -> Iterator[tuple[str, ClipEmbeddings]]:
        for key, clip in self.store.read_all(keys, failed):
            self.counts[key] = self.counts.get(key, 0) + 1
            yield key, clip

    def size_of(self, key: str) -> int:
        return self.store.size_of(key)


@pytest.fixture
def store(tmp_path: Path, feature_spec: FeatureSpec) -> Store:
    return Cache.open(tmp_path / "cache", create=True).store(feature_spec)


def key_of(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def clip(store: Store, name: str, exam: str | None = None, zone: str | None = None, *values: float) -> Place:
    """Store a clip of two frames and say where it belongs."""
    embeddings = np.zeros((2, store.spec.encoder.dim), np.float16)
    embeddings[:, : len(values)] = values
    frames = np.arange(2, dtype=np.int64)
    stored = ClipEmbeddings(embeddings, frames * 0.1, frames, np.zeros(2, np.uint8), {"beam_confidence": 1.0})
    store.write(key_of(name), stored)
    return Place(key_of(name), Membership(exam and f"patient of {exam}", exam, zone))


def damage(store: Store, place: Place) -> None:
    path = store.path_of(place.key or "")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def rows_of(store: Any, places: Sequence[Place], *models: TaskModel, **panel: Any) -> list[dict[str, Any]]:
    """All rows of a table; none holds what its columns do not name."""
    rows = list(ScoreTable(places, Panel(models, **panel), store).rows())
    columns = set(columns_of(models, show_paths=True))
    assert all(set(row) <= columns for row in rows)
    return [dict(row) for row in rows]


# ---- answers ------------------------------------------------------------------------------------------------------


def test_a_row_says_whose_it_is_and_what_was_answered(store: Store, make_model: Making) -> None:
    model = make_model(make_task())
    (row,) = rows_of(store, [clip(store, "a", "exam 1", "L1", 0.625)], model)
    assert row == {
        "unit": "clip",
        "exam": "exam 1",
        "clip": key_of("a"),
        "frame": None,
        "time_s": None,
        "patient": "patient of exam 1",
        "zone": "L1",
        "task": "sign",
        "model": model.name,
        "outcome": "yes",
        "probability": 0.625,
        "at_balanced": True,
        "at_rule-in": False,
        "answer": "yes",
        "status": "scored",
        "in_training": False,
        "distance": pytest.approx(np.nan, nan_ok=True),
        "n_frames": 2,
        "beam_confidence": 1.0,
        "notes": None,
        "model_digest": model.digest,
        "fingerprint": store.fingerprint,
    }


def test_a_row_says_what_of_the_clip_its_answer_rests_on(store: Store, make_model: Making) -> None:
    place = clip(store, "a", "exam 1", "L1", 0.9)
    whole = store.read(place.key or "")
    facts = {"beam_confidence": 0.25, "notes": "truncated,region-ignored"}
    rows = whole.embeddings.copy()
    rows[1] = np.nan
    store.write(key_of("b"), replace(whole, embeddings=rows, status=np.array([0, 1], np.uint8), provenance=facts))
    cut, gone = replace(place, key=key_of("b")), replace(place, key=key_of("gone"))
    (row,) = rows_of(store, [cut], make_model(make_task()))
    assert (row["n_frames"], row["beam_confidence"], row["notes"]) == (1, 0.25, "truncated,region-ignored")
    (row,) = rows_of(store, [cut], make_model(make_task(abstain=Abstention(min_frames=2))))
    assert (row["status"], row["n_frames"]) == ("not assessable", 1)
    of_exam = make_model(make_task(unit="exam"))
    (alone,) = rows_of(store, [replace(cut, member=Membership())], of_exam)
    assert (alone["code"], alone["n_frames"]) == ("exam-unknown", 1)
    (row,) = rows_of(store, [cut], of_exam)
    assert "n_frames" not in row
    (row,) = rows_of(store, [gone], make_model(make_task()))
    assert "n_frames" not in row


def test_the_columns_are_those_of_all_models_operating_points(make_model: Making) -> None:
    models = [make_model(make_task("one"), ["rule-in"]), make_model(make_task("two"), ["balanced"])]
    columns = columns_of(models, show_paths=False)
    assert [name for name in columns if name.startswith("at_")] == ["at_balanced", "at_rule-in"]
    assert {columns[name] for name in columns if name.startswith("at_")} == {"flag"}
    assert "path" not in columns
    assert list(columns_of(models, show_paths=True)) == [*columns, "path"]


def test_a_row_has_only_its_own_models_operating_points(store: Store, make_model: Making) -> None:
    models = [make_model(make_task("one"), ["rule-in"]), make_model(make_task("two"), ["balanced"])]
    one, two = rows_of(store, [clip(store, "a", None, None, 0.9)], *models)
    assert ("at_rule-in" in one, "at_balanced" in one) == (True, False)
    assert ("at_rule-in" in two, "at_balanced" in two) == (False, True)


def test_each_outcome_has_a_row_with_the_answer_of_them_all(store: Store, make_model: Making) -> None:
    task = make_task(kind="ordinal", classes=("0", "1", "2", "3"))
    rows = rows_of(store, [clip(store, "a", None, None, 0.875, 0.5, 0.25)], make_model(task))
    assert [(row["outcome"], row["probability"], row["answer"]) for row in rows] == [
        ("at least 1", 0.875, "2"),
        ("at least 2", 0.5, "2"),
        ("at least 3", 0.25, "2"),
    ]
    assert [row["at_balanced"] for row in rows] == [True, True, False]  # a threshold that is just reached is a yes
    assert [row["at_rule-in"] for row in rows] == [True, False, False]


def test_each_frame_has_a_row(store: Store, make_model: Making) -> None:
    rows = rows_of(store, [clip(store, "a", None, None, 0.25)], make_model(make_task(unit="frame")))
    assert [(row["unit"], row["frame"], row["time_s"]) for row in rows] == [("frame", 0, 0.0), ("frame", 1, 0.1)]
    assert {row["clip"] for row in rows} == {key_of("a")}


def test_an_exam_has_a_row_of_its_own_without_a_clip(store: Store, make_model: Making) -> None:
    places = [clip(store, "a", "exam 1", "L1", 0.25), clip(store, "b", "exam 1", "R1", 0.75)]
    (row,) = rows_of(store, places, make_model(make_task(unit="exam")))
    assert (row["unit"], row["exam"], row["patient"]) == ("exam", "exam 1", "patient of exam 1")
    assert (row["clip"], row["zone"], row["probability"]) == (None, None, 0.5)


# ---- no answer ----------------------------------------------------------------------------------------------------


def test_what_is_not_assessable_has_a_reason_and_no_probability(store: Store, make_model: Making) -> None:
    model = make_model(make_task(kind="ordinal", classes=("0", "1", "2"), abstain=Abstention(min_frames=3)))
    (row,) = rows_of(store, [clip(store, "a", None, None, 0.9, 0.9)], model)
    assert (row["status"], row["code"]) == ("not assessable", "too-few-frames")
    assert row["reason"] == "2 readable frames, fewer than 3"
    assert not {"outcome", "probability", "answer", "at_balanced"} & set(row)


def test_a_closed_gate_is_not_a_no(store: Store, make_model: Making) -> None:
    models = [make_model(make_task("gated", requires=Gate(task="view", is_="yes"))), make_model(make_task("view"))]
    gated, view = rows_of(store, [clip(store, "a", None, None, 0.25)], *models)
    assert (gated["task"], gated["status"], gated["code"]) == ("gated", "not assessable", "gate")
    assert (view["task"], view["status"], view["answer"]) == ("view", "scored", "no")


def test_a_source_without_embeddings_has_a_row_a_model(store: Store, make_model: Making) -> None:
    trouble = {
        status: Trouble("file 1", "source", Path("/x/DOE.mp4"), status, f"{status}-code", "why")
        for status in ("failed", "skipped")
    }
    places = [
        Place(None, Membership("p", "e", "L1"), trouble=trouble["failed"]),
        Place(None, Membership(), Path("/x/DOE.mp4"), trouble["skipped"]),
        Place(None, Membership()),
    ]
    models = [make_model(make_task("one")), make_model(make_task("two", unit="exam"))]
    rows = rows_of(store, places, *models)
    assert [(row["task"], row["status"], row.get("code"), row.get("reason")) for row in rows] == [
        ("one", "failed", "failed-code", "why"),
        ("two", "failed", "failed-code", "why"),
        ("one", "skipped", "skipped-code", "why"),
        ("two", "skipped", "skipped-code", "why"),
        ("one", "not reached", None, None),
        ("two", "not reached", None, None),
    ]
    assert (rows[0]["patient"], rows[0]["exam"], rows[0]["zone"], rows[0]["clip"]) == ("p", "e", "L1", None)
    assert [row.get("path") for row in rows] == [None, None, "/x/DOE.mp4", "/x/DOE.mp4", None, None]


def test_a_damaged_clip_is_a_row_and_stops_nothing(store: Store, make_model: Making) -> None:
    places = [clip(store, name, "exam 1", name, 0.75) for name in ("L1", "L2", "R1")]
    damage(store, places[1])
    places.append(Place(key_of("gone"), Membership(None, "exam 2", None)))
    clips, exams = make_model(make_task("clips")), make_model(make_task("exams", unit="exam"))
    for model in (clips, exams):
        rows = rows_of(store, places, model)
        assert [row["clip"] for row in rows if row["status"] == "failed"] == [key_of("L2"), key_of("gone")]
        assert {row.get("code") for row in rows if row["status"] == "failed"} == {"damaged-in-cache"}
        scored = [row for row in rows if row["status"] == "scored"]
        assert len(scored) == (2 if model is clips else 1)
        assert len(rows) == len(scored) + 2


def test_a_cache_that_cannot_be_read_at_all_is_an_error(store: Store, make_model: Making) -> None:
    """A network disk that is gone is no damage of the clips: a table full of failures would be a lie."""

    class Gone(Read):
        def read_all(self, keys: Iterable[str], failed: Any = None) -> Iterator[tuple[str, ClipEmbeddings]]:
            raise CacheError("the disk is gone")

    place = clip(store, "a", None, None, 0.5)
    with pytest.raises(CacheError, match="the disk is gone"):
        rows_of(Gone(store), [place], make_model(make_task()))


def test_a_clip_of_no_known_exam_is_told_of_where_exams_are_asked_for(store: Store, make_model: Making) -> None:
    models = [make_model(make_task("clips")), make_model(make_task("exams", unit="exam"))]
    scored, unknown = rows_of(store, [clip(store, "a", None, None, 0.75)], *models)
    assert (scored["task"], scored["status"]) == ("clips", "scored")
    assert (unknown["task"], unknown["status"], unknown["code"]) == ("exams", "not assessable", "exam-unknown")
    assert (unknown["clip"], unknown["exam"]) == (key_of("a"), None)


# ---- order and portions -------------------------------------------------------------------------------------------


def test_rows_come_exam_by_exam(store: Store, make_model: Making) -> None:
    exams = ["two", "one", None, "two", None, "one", "three"]
    places = [clip(store, str(number), exam, None, 0.5) for number, exam in enumerate(exams)]
    models = [make_model(make_task("a")), make_model(make_task("b"))]
    rows = rows_of(store, places, *models)
    assert [row["clip"] for row in rows[::2]] == [key_of(str(number)) for number in (0, 3, 1, 5, 2, 4, 6)]
    assert [row["task"] for row in rows] == ["a", "b"] * 7


@pytest.mark.parametrize("at_once", [1, 2, 5, 1000])
def test_the_table_does_not_depend_on_its_portions(
    store: Store, make_model: Making, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    exams = ["one", "two", "one", None, "three", "two", "one"]
    generator = np.random.default_rng(0)
    places = [clip(store, str(n), exam, "L1", *generator.random(2)) for n, exam in enumerate(exams)]
    models = [make_model(make_task("clips")), make_model(make_task("exams", unit="exam"))]

    def answers() -> tuple[list[tuple[Any, ...]], list[float]]:
        rows = rows_of(store, places, *models)
        return [(row["task"], row["exam"], row["clip"]) for row in rows], [row.get("probability", -1) for row in rows]

    order, probabilities = answers()
    monkeypatch.setattr(score_table, "CLIPS_AT_ONCE", at_once)
    order_then, probabilities_then = answers()
    assert order_then == order
    assert probabilities_then == pytest.approx(probabilities, abs=1e-12)


def test_each_clip_is_read_once_whatever_the_number_of_models(store: Store, make_model: Making) -> None:
    places = [clip(store, str(number), f"exam {number % 3}", "L1", 0.5) for number in range(9)]
    models = [make_model(make_task(name)) for name in ("a", "b", "c")]
    reading = Read(store)
    rows = rows_of(reading, [*places, places[0]], *models, make_model(make_task("d", unit="exam")))
    assert reading.counts == {place.key: 1 for place in places}
    assert len([row for row in rows if row["task"] == "a"]) == 10  # one content in two files is two rows


def test_rows_are_made_as_they_are_asked_for(store: Store, make_model: Making, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(score_table, "CLIPS_AT_ONCE", 2)
    places = [clip(store, str(number), f"exam {number}", "L1", 0.5) for number in range(6)]
    reading: Any = Read(store)
    rows = ScoreTable(places, Panel([make_model(make_task())]), reading).rows()
    next(rows)
    assert len(reading.counts) == 2
    assert len(list(rows)) == 5


# ---- exams --------------------------------------------------------------------------------------------------------


def test_exams_are_summed_up_on_the_way(store: Store, make_model: Making) -> None:
    severity = make_task(kind="ordinal", classes=("0", "1", "2"), exam_summary=ZoneSummary(("L1", "R1")))
    places = [
        clip(store, "a", "one", "L1", 0.9, 0.9),
        clip(store, "b", "two", "L1", 0.9, 0.1),
        clip(store, "c", "one", "R1", 0.9, 0.1),
        clip(store, "d", None, "R1", 0.9, 0.9),
        clip(store, "e", "two", "R1", 0.9, 0.9),
    ]
    damage(store, places[4])
    places.append(replace(places[2], path=Path("/x/copy.mp4")))  # one content in two files
    failure = Trouble("row 7", "source", Path("/x/DOE.mp4"), "failed", "damaged", "cut short")
    places.append(Place(None, Membership("p", "three", "L1"), trouble=failure))
    table = ScoreTable(places, Panel([make_model(severity), make_model(make_task("plain"))]), store)
    assert table.exam_rows == []
    list(table.rows())
    found = {(row["exam"], row["zone"]): (row.get("worst"), row.get("sum"), row["status"]) for row in table.exam_rows}
    assert [row["n_clips"] for row in table.exam_rows if row["exam"] == "one"] == [1, 1, 2]
    assert found == {
        ("one", "L1"): ("2", None, "assessed"),
        ("one", "R1"): ("1", None, "assessed"),
        ("one", "all"): ("2", 3, "assessed"),
        ("two", "L1"): ("1", None, "assessed"),
        ("two", "R1"): (None, None, "not assessable"),
        ("two", "all"): ("1", None, "incomplete"),
        ("three", "L1"): (None, None, "not assessable"),
        ("three", "R1"): (None, None, "missing"),
        ("three", "all"): (None, None, "incomplete"),
    }
    assert {row["reason"] for row in table.exam_rows if row["status"] == "not assessable"} == {
        "run lusfx cache repair, then extract it again",
        "cut short",
    }
