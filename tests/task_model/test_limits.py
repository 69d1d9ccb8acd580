"""A model that is small on disk and heavy in memory is refused by counting, before anything is built of it."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors

from lusfx.contracts import TrainingSet
from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.heads.forest import MAX_ALL_LEAVES, MAX_TREES, Forest, Tree
from lusfx.heads.lightgbm import LightGbmHeadSpec, LightGbmSettings

HEAVY = "holds more values than any that lusfx writes"


def many_arrays(n: int) -> bytes:
    header = {str(number): {"dtype": "F64", "shape": [0], "data_offsets": [0, 0]} for number in range(n)}
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text


def test_a_header_of_many_arrays_is_not_parsed(logistic: Path, models: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    models.with_true_digest(logistic, "1-head.safetensors", many_arrays(5000))
    monkeypatch.setattr(safetensors, "deserialize", lambda content: pytest.fail("it was parsed"))
    assert "head.safetensors describes its arrays in more than" in models.refusal(logistic)


STUMP = Tree((0,), (0.5,), (2,), (-1,), (-2,), (0.25, -0.25))


def chain(n_leaves: int) -> Tree:
    nodes = range(n_leaves - 1)
    left = tuple(node + 1 if node + 2 < n_leaves else -n_leaves for node in nodes)
    n = n_leaves - 1
    return Tree((0,) * n, (0.5,) * n, (2,) * n, left, tuple(~node for node in nodes), (0.25,) * n_leaves)


@pytest.mark.parametrize(
    ("tree", "n", "message"),
    [(STUMP, 2 * MAX_TREES, f"more than {MAX_TREES} trees"), (chain(4000), 80, f"more than {MAX_ALL_LEAVES} leaves")],
)
def test_trees_and_leaves_are_counted_before_they_are_read(
    monkeypatch: pytest.MonkeyPatch, tree: Tree, n: int, message: str
) -> None:
    text = Forest(1, (tree,)).text()
    text = text.replace(tree.text(0), tree.text(0) * n)
    monkeypatch.setattr(Tree, "read", lambda fields: pytest.fail("it was read"))
    with pytest.raises(TaskModelError, match=message):
        Forest.parse(text)


def test_as_many_as_are_trained_are_read() -> None:
    for forest in (Forest(1, (STUMP,) * MAX_TREES), Forest(1, (chain(4000),) * 8)):
        assert Forest.parse(forest.text()) == forest


def test_more_leaves_than_a_model_may_have_are_not_trained(models: Any) -> None:
    features, rows = models.units_of("lightgbm").features, np.arange(80)
    training = TrainingSet(features, rows % 2, np.array([f"p{row // 4}" for row in rows]))
    settings = LightGbmSettings(rounds=10_000, num_leaves=1024, min_data_in_leaf=1)
    with pytest.raises(TrainingRefusedError, match="Set fewer"):
        LightGbmHeadSpec().fit(training, settings, 0)


def evidence(models: Any, **more: Any) -> bytes:
    return json.dumps(models.make_evidence(models.make_facts().task.outcomes) | more).encode()


@pytest.mark.parametrize(
    "more",
    [
        {"clips": [f"{number:064}" for number in range(300_000)]},
        {"patients": [""] * 300_000},
        {"unused": [{}] * 140_000},
        {"unused": [[]] * 140_000},
        {"unused": [0] * ((1 << 24) + 2)},
        {"unused": {str(number): 0 for number in range(300_000)}},
    ],
    ids=["clips", "patients", "objects", "lists", "numbers", "names"],
)
def test_evidence_of_more_than_was_trained_on_is_not_parsed(logistic: Path, models: Any, more: dict[str, Any]) -> None:
    models.with_true_digest(logistic, "evidence.json", evidence(models, **more))
    assert f"evidence.json {HEAVY}" in models.refusal(logistic)


def test_evidence_of_a_large_training_is_read(logistic: Path, models: Any) -> None:
    """As much as its card says that there was, up to two million clips."""
    card = json.loads((logistic / "task_model.json").read_text())
    models.edit_card(
        logistic,
        {"training": card["training"] | {"n_clips": 100_000, "n_units": 100_000}, "outcomes/0/n_units": 100_000},
    )
    keys = [f"{number:064}" for number in range(100_000)]
    models.with_true_digest(
        logistic, "evidence.json", evidence(models, clips=keys, patients=keys, unit=keys, patient=keys)
    )
    assert models.verify(logistic) == []
    models.edit_card(logistic, {"training": card["training"] | {"n_clips": 3_000_000, "n_units": 3_000_000}})
    assert "training.n_units: " in models.refusal(logistic)


@pytest.mark.parametrize(
    "change",
    [
        {"outcomes/0/head": {"name": "logistic", "settings": {f"s{number}": 1 for number in range(101)}}},
        {"task/exam_summary": {"zones": ["L1"] * 1001}},
        {"task/aggregate": {"kind": "mean", "parameters": {f"p{number}": 1.0 for number in range(21)}}},
        {"outcomes/0/calibration": {"kind": "isotonic", "scores": [0.5] * 140_000, "probabilities": [0.5] * 140_000}},
        {"more": [{}] * 140_000},
        {"more": [""] * 140_000},
    ],
)
def test_lists_of_the_card_are_limited(logistic: Path, models: Any, change: dict[str, Any]) -> None:
    models.edit_card(logistic, change)
    assert models.refusal(logistic).startswith("task_model.json")


def test_operating_points_are_limited(logistic: Path, models: Any) -> None:
    outcome = json.loads((logistic / "task_model.json").read_text())["outcomes"][0]
    points = dict.fromkeys([f"p{number}" for number in range(101)], outcome["operating_points"]["balanced"])
    models.edit_card(logistic, {"outcomes/0": outcome | {"operating_points": points, "decides": "p0"}})
    assert "at most 100 items" in models.refusal(logistic)


@pytest.mark.parametrize(("n", "message"), [(1, "that it does not have (1)"), (15, "(15)"), (16, "more than 16 files")])
def test_files_that_a_head_does_not_name_are_refused(saved: Path, models: Any, n: int, message: str) -> None:
    for number in range(n):
        models.with_true_digest(saved, f"1-more-{number}", b"x")
    assert message in models.refusal(saved)


@pytest.mark.skipif(os.name == "nt", reason="no pipes")
@pytest.mark.parametrize("kind", ["pipe", "directory", "link", "file"])
def test_entries_of_any_kind_that_the_card_does_not_list_are_refused(logistic: Path, models: Any, kind: str) -> None:
    place = logistic / "1-more"
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "link":
        place.symlink_to(logistic / "1-head.safetensors")
    else:
        place.write_bytes(b"x")
    assert "there are entries that task_model.json does not list (1)" in models.refusal(logistic)


def test_files_are_limited_together(logistic: Path, models: Any) -> None:
    card = json.loads((logistic / "task_model.json").read_text())
    large = {"sha256": "0" * 64, "n_bytes": 1 << 29}
    models.edit_card(logistic, {"files": card["files"] | {f"1-more-{number}": large for number in range(5)}})
    assert "bytes in all" in models.refusal(logistic)
