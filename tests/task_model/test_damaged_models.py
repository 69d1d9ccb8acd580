"""A directory is loaded only if it is whole: every file there, none more, each a plain file with what was written."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Abstention, Task
from lusfx.novelty import fit_novelty
from lusfx.task_model import NOVELTY_FILE, NoveltyCard


class Familiar(Task):
    """Lines?"""

    name, kind = "lines", "multi-label"
    classes = ("A-lines", "B-lines")
    label_columns = ("a_lines", "b_lines")
    abstain = Abstention(familiar=0.9)


@pytest.fixture
def whole(models: Any, tmp_path: Path) -> Path:
    """A model with all that a model can have: two heads and a novelty."""
    novelty = fit_novelty(models.units_of("logistic").centres, np.array([f"p-{row // 4}" for row in range(80)]))
    facts = models.make_facts(task=Familiar(), novelty=NoveltyCard(limit=2.0))
    files = models.files_of(models.plain_head(), models.plain_head(1)) | {NOVELTY_FILE: novelty.to_bytes()}
    models.save(tmp_path / "canary" / "lines", facts, files)
    return tmp_path / "canary" / "lines"


def test_the_files_are_those_of_each_head_and_the_rest(whole: Path, models: Any) -> None:
    assert {path.name for path in whole.iterdir()} == {
        "task_model.json",
        "evidence.json",
        "report.html",
        "novelty.safetensors",
        "1-head.safetensors",
        "2-head.safetensors",
    }
    assert models.verify(whole) == []


def flipped(content: bytes, generator: np.random.Generator) -> bytes:
    edited = bytearray(content)
    edited[generator.integers(len(edited))] ^= 1 << generator.integers(8)
    return bytes(edited)


def test_any_flipped_bit_is_found(saved: Path, models: Any) -> None:
    generator = np.random.default_rng(0)
    for path in sorted(saved.iterdir()):
        content = path.read_bytes()
        for _ in range(20):
            path.write_bytes(flipped(content, generator))
            assert path.name in models.refusal(saved)
        path.write_bytes(content)
    assert models.verify(saved) == []


def test_any_flipped_bit_of_a_model_with_all_parts_is_found(whole: Path, models: Any) -> None:
    generator = np.random.default_rng(1)
    for path in sorted(whole.iterdir()):
        content = path.read_bytes()
        for _ in range(20):
            path.write_bytes(flipped(content, generator))
            assert path.name in models.refusal(whole)
        path.write_bytes(content)


def test_truncated_longer_empty_and_missing_files_are_found(whole: Path, models: Any) -> None:
    for path in sorted(whole.iterdir()):
        content = path.read_bytes()
        for wrong in (content[:-2], content[: len(content) // 2], b"", content + b"x"):
            path.write_bytes(wrong)
            assert path.name in models.refusal(whole)
        path.unlink()
        assert f"{path.name} is missing" in models.refusal(whole)
        path.write_bytes(content)
    assert models.verify(whole) == []


def test_heads_that_changed_places_are_found(whole: Path, models: Any) -> None:
    first, second = (whole / f"{number}-head.safetensors" for number in (1, 2))
    contents = first.read_bytes(), second.read_bytes()
    first.write_bytes(contents[1])
    second.write_bytes(contents[0])
    assert len(models.verify(whole)) == 2
    assert "1-head.safetensors does not have the content that was written" in models.refusal(whole)


def test_a_threshold_changed_by_hand_is_found(logistic: Path, models: Any) -> None:
    path = logistic / "task_model.json"
    path.write_text(path.read_text().replace('"threshold": 0.2', '"threshold": 0.3'))
    assert "task_model.json does not have the content that was written" in models.refusal(logistic)


def test_the_first_problem_is_told_with_what_to_do(logistic: Path, models: Any) -> None:
    (logistic / "report.html").write_bytes(b"")
    assert "Restore the task model from where it was trained, or train it again." in models.refusal(logistic)


def test_verify_names_every_damaged_file(whole: Path, models: Any) -> None:
    (whole / "report.html").unlink()
    (whole / "2-head.safetensors").write_bytes(b"")
    (whole / "novelty.safetensors").write_bytes(b"x" * (whole / "novelty.safetensors").stat().st_size)
    (whole / "notes.txt").write_text("mine")
    problems = models.verify(whole)
    assert [problem.partition(" ")[0] for problem in problems[:3]] == [
        "2-head.safetensors",
        "novelty.safetensors",
        "report.html",
    ]
    assert len(problems) == 4
    assert "notes" not in problems[3]  # a name that people chose may name a patient


def test_files_that_the_card_does_not_list_are_refused(logistic: Path, models: Any) -> None:
    (logistic / ".DS_Store").write_bytes(b"left by a file manager")
    assert models.verify(logistic) == []
    (logistic / "DOE^JANE.txt").write_text("x")
    assert "does not list (1)" in models.refusal(logistic)
    assert "DOE" not in models.refusal(logistic)
    (logistic / "2-head.safetensors").mkdir()
    assert "does not list (2)" in models.refusal(logistic)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes of this kind, and links need a privilege")
def test_what_is_no_plain_file_is_refused(saved: Path, models: Any, head_file_name: str, tmp_path: Path) -> None:
    for name in ("task_model.json", "evidence.json", head_file_name):
        path = saved / name
        outside = path.rename(tmp_path / name)
        path.symlink_to(outside)
        assert name in models.refusal(saved)
        path.unlink()
        os.mkfifo(path)
        assert "is not a plain file" in models.refusal(saved)
        path.unlink()
        path.mkdir()
        assert name in models.refusal(saved)
        path.rmdir()
        outside.rename(path)
    assert models.verify(saved) == []


def test_what_is_no_directory_is_refused(logistic: Path, models: Any) -> None:
    assert "no task model directory" in models.refusal(logistic / "nowhere")
    assert "no task model directory" in models.refusal(logistic / "report.html")
    (logistic.parent / "empty").mkdir()
    assert "task_model.json is missing" in models.refusal(logistic.parent / "empty")


# ---- JSON ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "not valid JSON"),
        (b"\xff", "not UTF-8"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b'{"a": 1, "a": 1}', "a key stands twice"),
        (b'{"a": {"b": 1, "b": 2}}', "a key stands twice"),
        (b'{"a": NaN}', "NaN"),
        (b'{"a": -Infinity}', "infinities"),
        (b'{"a": 1e999}', "too large"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b'{"a": ' * 40 + b"1" + b"}" * 40, "nested too deeply"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (b"[" * 120_000, "nested too deeply"),
    ],
)
def test_json_that_is_not_one_plain_object_is_refused(
    logistic: Path, models: Any, content: bytes, complaint: str
) -> None:
    models.with_true_digest(logistic, "evidence.json", content)
    assert f"evidence.json is {'nested' if 'nested' in complaint else 'not'}" in models.refusal(logistic)
    assert complaint in models.refusal(logistic)
    (logistic / "task_model.json").write_bytes(content)
    assert complaint in models.refusal(logistic)


def test_a_card_of_any_size_is_not_read(logistic: Path, models: Any) -> None:
    (logistic / "task_model.json").write_bytes(b" " * ((1 << 22) + 1))
    assert "larger than 4194304 bytes" in models.refusal(logistic)


def without(evidence: dict[str, Any], part: str) -> dict[str, Any]:
    return {name: value for name, value in evidence.items() if name != part}


def test_evidence_lacks_nothing_that_is_read_again(logistic: Path, models: Any) -> None:
    """Without the patients of training nobody could tell that an evaluation judges the model on them."""
    sound = models.make_evidence(["yes"])
    figures = sound["outcomes"]["yes"]
    for wrong in (
        without(sound, "patients"),
        without(sound, "clips"),
        without(sound, "outcomes"),
        sound | {"patients": "canary"},
        sound | {"patients": ["p-0", 1]},
        sound | {"outcomes": {}},
        sound | {"outcomes": {"no": figures}},
        sound | {"outcomes": {"yes": figures, "canary": figures}},
        sound | {"outcomes": {"yes": {"metrics": {}}}},
        sound | {"outcomes": {"yes": {"metrics": {"roc_auc": {"value": "0.5", "low": 0.4, "high": 0.6}}}}},
        sound | {"outcomes": {"yes": {"metrics": {"roc_auc": {"value": 0.5}}}}},
    ):
        models.with_true_digest(logistic, "evidence.json", json.dumps(wrong).encode())
        assert "evidence.json must name the patients, the clips, and the figures" in models.refusal(logistic)
    models.with_true_digest(logistic, "evidence.json", json.dumps(sound | {"more": [1]}).encode())
    assert models.verify(logistic) == []


# ---- the order of checks ------------------------------------------------------------------------------------------


def test_the_card_is_looked_at_before_files_and_files_before_heads(logistic: Path, models: Any) -> None:
    """Each damage hides those behind it, so that what is told first is what to mend first."""
    models.with_true_digest(logistic, "evidence.json", b"[]")
    assert "evidence.json is not a JSON object" in models.refusal(logistic)
    models.with_true_digest(logistic, "1-head.safetensors", b"nonsense")
    assert "head.safetensors is not a valid safetensors file" in models.refusal(logistic)
    models.edit_card(logistic, {"outcomes/0/head/settings": {"no_such": 1}})
    assert "the head's settings are invalid: no_such" in models.refusal(logistic)
    (logistic / "report.html").unlink()
    assert "report.html is missing" in models.refusal(logistic)
    models.edit_card(logistic, {"training/seed": "0"})
    assert "task_model.json is invalid: training.seed" in models.refusal(logistic)
    card = json.loads((logistic / "task_model.json").read_text())
    (logistic / "task_model.json").write_text(json.dumps(card | {"format_version": 1}))
    assert "has format version 1" in models.refusal(logistic)
