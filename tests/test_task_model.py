"""A task model directory is loaded only if it is whole, and nothing in it is executed."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
import stat
import struct
import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from lusfx.config import canonical_json
from lusfx.contracts import Head, HeadSettings, HeadSpec, MinSensitivity, MinSpecificity, TrainingSet, Youden
from lusfx.errors import FingerprintMismatchError, LusfxError, TaskModelError
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    OperatingPointCard,
    RuleCard,
    TaskCard,
    TaskModelFacts,
    TrainingCard,
    load_task_model,
    save_task_model,
    verify_task_model,
)

REPOSITORY = Path(__file__).resolve().parents[1]
SPECS: dict[str, HeadSpec] = {spec.name: spec for spec in lusfx_register_heads()}
HEAD_FILES = {"logistic": "head.safetensors", "mlp": "head.safetensors", "lightgbm": "head.lightgbm.txt"}
FINGERPRINT = "91cc" * 16
OTHER_FINGERPRINT = "3f2a" * 16
EVIDENCE = {"patients": ["p-0", "p-1"], "auc": 0.81, "folds": [{"scores": [0.25, 0.5]}]}
REPORT = "<!doctype html><title>B-lines – évidence</title>\n"
N_FEATURES = 12


def make_training() -> TrainingSet:
    generator = np.random.default_rng(0)
    targets = np.arange(80) % 2
    features = generator.normal(size=(80, N_FEATURES)) + targets[:, None]
    return TrainingSet(features.astype(np.float32), targets, np.array([f"p-{row // 4}" for row in range(80)]))


def make_facts(kind: str, **changes: Any) -> TaskModelFacts:
    parts: dict[str, Any] = {
        "task": TaskCard(
            name="b-lines", version=1, question="B-lines?", unit="clip", classes=("no", "yes"), pooling="mean"
        ),
        "head": HeadCard(name=kind, settings=SPECS[kind].settings().model_dump()),
        "features": FeaturesCard(fingerprint=FINGERPRINT, encoder="mobilenetv3-small", n_features=N_FEATURES),
        "operating_points": {
            "screen": OperatingPointCard(rule=RuleCard.of(MinSensitivity(0.95)), threshold=0.2),
            "balanced": OperatingPointCard(rule=RuleCard.of(Youden()), threshold=0.5),
            "rule-in": OperatingPointCard(rule=RuleCard.of(MinSpecificity(0.95)), threshold=0.9),
        },
        "training": TrainingCard(
            n_clips=80,
            n_patients=20,
            n_events=40,
            seed=0,
            lusfx_version="0.1.0",
            created=datetime(2026, 11, 24, 12, tzinfo=UTC),
        ),
    }
    return TaskModelFacts(**(parts | changes))


@pytest.fixture(scope="module")
def heads() -> dict[str, Head]:
    return {name: spec.fit(make_training(), spec.settings(), seed=0) for name, spec in SPECS.items()}


@pytest.fixture(params=sorted(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def saved(kind: str, heads: dict[str, Head], tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "b-lines"
    save_task_model(directory, make_facts(kind), heads[kind], EVIDENCE, REPORT)
    return directory


@pytest.fixture
def logistic(heads: dict[str, Head], tmp_path: Path) -> Path:
    directory = tmp_path / "models" / "b-lines"
    save_task_model(directory, make_facts("logistic"), heads["logistic"], EVIDENCE, REPORT)
    return directory


def refusal(directory: Path) -> str:
    """The message with which a directory is refused, by loading and by verifying alike."""
    with pytest.raises(TaskModelError) as error:
        load_task_model(directory, SPECS)
    problems = verify_task_model(directory, SPECS)
    assert problems
    assert str(error.value).startswith(problems[0])
    assert str(directory.parent.name) not in str(error.value).replace("task model", "")
    return str(error.value)


def edit_card(directory: Path, change: dict[str, Any]) -> None:
    """Change values of ``task_model.json`` and its digest, as a hostile author would; a key with slashes leads inwards."""
    path = directory / "task_model.json"
    card = json.loads(path.read_text())
    for key, value in change.items():
        *parents, last = key.split("/")
        part = card
        for parent in parents:
            part = part[parent]
        part[last] = value
    card.pop("card_sha256")
    try:
        card["card_sha256"] = hashlib.sha256(canonical_json(card).encode()).hexdigest()
    except ValueError:  # infinity: refused before any digest is looked at
        card["card_sha256"] = "0" * 64
    path.write_text(json.dumps(card))


# ---- sound models -------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_saved_one(saved: Path, kind: str, heads: dict[str, Head]) -> None:
    model = load_task_model(saved, SPECS)
    features = make_training().features
    assert np.array_equal(model.score(features, FINGERPRINT), heads[kind].predict_proba(features)[:, 1])
    assert model.evidence == EVIDENCE
    facts = make_facts(kind)
    assert {name: getattr(model.card, name) for name in TaskModelFacts.model_fields} == dict(facts)
    assert sorted(model.card.files) == sorted(["evidence.json", "report.html", HEAD_FILES[kind]])
    assert (saved / "report.html").read_bytes() == REPORT.encode()
    assert verify_task_model(saved, SPECS) == []


def test_a_fresh_process_without_torch_gives_the_same_scores(saved: Path, kind: str, heads: dict[str, Head]) -> None:
    features = make_training().features
    np.save(saved.parent / "features.npy", features)
    code = f"""
import sys
from importlib.abc import MetaPathFinder
class NoTorch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from pathlib import Path
import numpy as np
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import load_task_model
model = load_task_model(Path("b-lines"), {{spec.name: spec for spec in lusfx_register_heads()}})
np.save("scores.npy", model.score(np.load("features.npy"), "{FINGERPRINT}"))
print("torch" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=saved.parent, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
    expected = heads[kind].predict_proba(features)[:, 1]
    np.testing.assert_allclose(np.load(saved.parent / "scores.npy"), expected, rtol=0, atol=1e-6)


def test_a_threshold_changed_by_hand_is_found(logistic: Path) -> None:
    path = logistic / "task_model.json"
    path.write_text(path.read_text().replace('"threshold": 0.2', '"threshold": 0.3'))
    assert "task_model.json does not have the content that was written" in refusal(logistic)


def test_the_digest_names_the_model(saved: Path, kind: str, heads: dict[str, Head]) -> None:
    model = load_task_model(saved, SPECS)
    digest = save_task_model(saved, make_facts(kind), heads[kind], EVIDENCE, REPORT)
    assert digest == model.digest
    assert model.name == f"b-lines@{digest[:12]}"
    assert save_task_model(saved, make_facts(kind), heads[kind], {**EVIDENCE, "auc": 0.82}, REPORT) != digest


def test_only_the_owner_can_read_it(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o600}


def test_answers_at_each_operating_point(logistic: Path) -> None:
    model = load_task_model(logistic, SPECS)
    assert model.answers(0.5) == {"screen": True, "balanced": True, "rule-in": False}
    assert model.answers(0.19999) == {"screen": False, "balanced": False, "rule-in": False}


def test_moving_the_directory_changes_nothing(logistic: Path, tmp_path: Path) -> None:
    digest = load_task_model(logistic, SPECS).digest
    moved = shutil.move(logistic, tmp_path / "elsewhere")
    assert load_task_model(Path(moved), SPECS).digest == digest


# ---- scoring refuses ----------------------------------------------------------------------------------------------


def test_features_of_another_fingerprint_are_refused_by_name(logistic: Path) -> None:
    model = load_task_model(logistic, SPECS)
    with pytest.raises(FingerprintMismatchError) as error:
        model.score(make_training().features, OTHER_FINGERPRINT, "efficientnet-lite0")
    assert str(error.value) == (
        f"the features were made by efficientnet-lite0@3f2a3f2a3f2a; {model.name} needs those of "
        "mobilenetv3-small@91cc91cc91cc. Run: lusfx extract SOURCES... --encoder mobilenetv3-small"
    )
    with pytest.raises(FingerprintMismatchError, match=r"made by @3f2a3f2a3f2a;"):
        model.require_fingerprint(OTHER_FINGERPRINT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(saved: Path, value: float) -> None:
    features = make_training().features
    features[[3, 7], 2] = value
    with pytest.raises(TaskModelError, match="not finite in 2 of 80 rows, first in 3"):
        load_task_model(saved, SPECS).score(features, FINGERPRINT)


def test_features_of_another_length_are_refused(saved: Path) -> None:
    features = make_training().features
    model = load_task_model(saved, SPECS)
    for wrong in (features[:, 1:], features[0], np.concatenate([features, features], axis=1)):
        with pytest.raises(TaskModelError, match=r"\(n, 12\)"):
            model.score(wrong, FINGERPRINT)
    assert model.score(features[:0], FINGERPRINT).shape == (0,)


# ---- damaged and hostile directories ------------------------------------------------------------------------------


def test_any_flipped_byte_is_found(saved: Path) -> None:
    generator = np.random.default_rng(0)
    for path in sorted(saved.iterdir()):
        content = path.read_bytes()
        for _ in range(20):
            edited = bytearray(content)
            edited[generator.integers(len(edited))] ^= 1 << generator.integers(8)
            path.write_bytes(edited)
            assert path.name in refusal(saved)
        path.write_bytes(content)
    assert verify_task_model(saved, SPECS) == []


def load_digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def test_truncated_longer_empty_and_missing_files_are_found(saved: Path) -> None:
    for path in sorted(saved.iterdir()):
        content = path.read_bytes()
        for wrong in (content[:-2], content[: len(content) // 2], b"", content + b"x"):
            path.write_bytes(wrong)
            assert path.name in refusal(saved)
        path.unlink()
        assert f"{path.name} is missing" in refusal(saved)
        path.write_bytes(content)
    assert verify_task_model(saved, SPECS) == []


def test_verify_names_every_damaged_file(saved: Path, kind: str) -> None:
    (saved / "report.html").unlink()
    (saved / HEAD_FILES[kind]).write_bytes(b"")
    (saved / "notes.txt").write_text("mine")
    problems = verify_task_model(saved, SPECS)
    assert len(problems) == 3
    assert any("report.html" in problem for problem in problems)
    assert any(HEAD_FILES[kind] in problem for problem in problems)
    assert not any("notes" in problem for problem in problems)  # a name that people chose may name a patient


def with_true_digest(directory: Path, name: str, content: bytes) -> None:
    """As a hostile author would: the file is bad, and the card says that it is right."""
    (directory / name).write_bytes(content)
    edit_card(directory, {f"files/{name}/sha256": load_digest(content), f"files/{name}/n_bytes": len(content)})


class Bomb:
    """Unpickled, it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("bomb-went-off",))


def test_a_pickle_under_the_heads_name_is_not_executed(
    saved: Path, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with_true_digest(saved, HEAD_FILES[kind], pickle.dumps(Bomb(), protocol))
        assert HEAD_FILES[kind] in refusal(saved) or "LightGBM" in refusal(saved)
    assert not (tmp_path / "bomb-went-off").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "bomb-went-off").exists()  # it would have


def test_a_hostile_head_with_a_true_digest_is_refused(saved: Path, kind: str) -> None:
    content = (saved / HEAD_FILES[kind]).read_bytes()
    for wrong in (b"", content[:-9], struct.pack("<Q", 1 << 62) + content[8:], b"\xff" * 100, content + content):
        with_true_digest(saved, HEAD_FILES[kind], wrong)
        refusal(saved)


def test_a_head_for_features_of_another_length_is_refused(saved: Path, kind: str) -> None:
    edit_card(saved, {"features/n_features": N_FEATURES + 1})
    assert "(n, 12)" in refusal(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"surprise": 1},
        {"task/surprise": 1},
        {"format": "other"},
        {"format_version": 2},
        {"format_version": "1"},
        {"task/unit": "exam"},
        {"task/classes": ["no"]},
        {"task/classes": ["no", "yes", "maybe"]},
        {"task/name": "../b-lines"},
        {"task/name": "a" * 101},
        {"task/version": 0},
        {"task/version": True},
        {"task/pooling": "median"},
        {"features/fingerprint": "91cc"},
        {"features/fingerprint": "91CC" * 16},
        {"features/n_features": 0},
        {"features/n_features": 1 << 40},
        {"operating_points/balanced/threshold": "0.5"},
        {"operating_points/balanced/threshold": -0.1},
        {"operating_points/balanced/threshold": 1e999},
        {"operating_points/balanced/rule": {"kind": "youden", "value": 0.5}},
        {"operating_points/balanced/rule": {"kind": "min-sensitivity", "value": None}},
        {"operating_points/balanced/rule": {"kind": "random"}},
        {"training/n_patients": 81},
        {"training/n_events": 81},
        {"training/created": "yesterday"},
        {"training/created": "2026-11-24T12:00:00"},
        {"training/created": "2026-11-24T12:00:00+01:00"},
        {"files": {}},
        {"files/task_model.json": {"sha256": "0" * 64, "n_bytes": 0}},
        {"files/..%2Fx": {"sha256": "0" * 64, "n_bytes": 0}},
        {"files/missing.bin": {"sha256": "0" * 64, "n_bytes": 0}},
        {"files/report.html/n_bytes": -1},
        {"files/report.html/n_bytes": 1 << 60},
        {"files/report.html/sha256": "0" * 64},
        {"head/name": "svm"},
        {"head/settings": {"no_such": 1}},
        {"head/settings": {"logit_variance": [[1]]}},
        {"head/settings": {"logit_variance": -1}},
    ],
)
def test_a_card_that_makes_no_sense_is_refused(logistic: Path, change: dict[str, Any]) -> None:
    edit_card(logistic, change)
    refusal(logistic)


def test_a_link_out_of_the_directory_is_refused(saved: Path, kind: str, tmp_path: Path) -> None:
    for name in ("task_model.json", "evidence.json", HEAD_FILES[kind]):
        path = saved / name
        outside = path.rename(tmp_path / name)
        path.symlink_to(outside)
        assert name in refusal(saved)
        path.unlink()
        os.mkfifo(path)
        assert "is not a plain file" in refusal(saved)
        path.unlink()
        path.mkdir()
        assert name in refusal(saved)
        path.rmdir()
        outside.rename(path)
    assert verify_task_model(saved, SPECS) == []


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
        (b"[" * 1_000_000, "nested too deeply"),
    ],
)
def test_json_that_is_not_one_plain_object_is_refused(logistic: Path, content: bytes, complaint: str) -> None:
    with_true_digest(logistic, "evidence.json", content)
    assert f"evidence.json is {'nested' if 'nested' in complaint else 'not'}" in refusal(logistic)
    assert complaint in refusal(logistic)
    (logistic / "task_model.json").write_bytes(content)
    assert complaint in refusal(logistic)


def test_a_card_of_any_size_is_not_read(logistic: Path) -> None:
    (logistic / "task_model.json").write_bytes(b" " * ((1 << 20) + 1))
    assert "larger than 1048576 bytes" in refusal(logistic)


def test_what_is_no_directory_is_refused(logistic: Path) -> None:
    assert "no task model directory" in refusal(logistic / "nowhere")
    assert "no task model directory" in refusal(logistic / "report.html")
    (logistic.parent / "empty").mkdir()
    assert "task_model.json is missing" in refusal(logistic.parent / "empty")


def test_files_that_the_card_does_not_list_are_refused(logistic: Path) -> None:
    (logistic / ".DS_Store").write_bytes(b"left by a file manager")
    assert verify_task_model(logistic, SPECS) == []
    (logistic / "DOE^JANE.txt").write_text("x")
    assert "does not list (1)" in refusal(logistic)
    assert "DOE" not in refusal(logistic)


def test_no_message_repeats_a_value_of_the_card(logistic: Path) -> None:
    for key in ("task/name", "task/unit", "features/fingerprint", "training/created", "training/n_clips"):
        edit_card(logistic, {key: "DOE^JANE"})
        assert "DOE" not in refusal(logistic)


def test_an_unknown_head_says_which_there_are(logistic: Path) -> None:
    with pytest.raises(TaskModelError, match="needs the head 'logistic', which no plugin provides; there are mlp"):
        load_task_model(logistic, {"mlp": SPECS["mlp"]})


class RowCounter(Head):
    """A plugin's head that does what its file says."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    def predict_proba(self, features: np.ndarray) -> np.ndarray:
        n_rows = len(features)
        return {
            "sound": np.full((n_rows, 2), 0.5),
            "three classes": np.full((n_rows, 3), 1 / 3),
            "not summing": np.full((n_rows, 2), 0.6),
            "negative": np.tile([-0.5, 1.5], (n_rows, 1)),
            "nan": np.full((n_rows, 2), np.nan),
        }[self.answer]

    def save(self, directory: Path) -> None:
        (directory / "answer.txt").write_text(self.answer)


class RowCounterSpec(HeadSpec):
    name = "counter"
    summary = "for tests"
    settings = HeadSettings

    def fit(self, training: TrainingSet, settings: HeadSettings, seed: int) -> Head:
        return RowCounter("sound")

    def load(self, directory: Path) -> Head:
        return RowCounter((directory / "answer.txt").read_text())


@pytest.mark.parametrize("answer", ["sound", "three classes", "not summing", "negative", "nan", "unheard of"])
def test_a_plugins_head_must_give_probabilities(answer: str, tmp_path: Path) -> None:
    specs = {"counter": RowCounterSpec()}
    facts = make_facts("logistic", head=HeadCard(name="counter", settings={}))
    save_task_model(tmp_path / "model", facts, RowCounter(answer), EVIDENCE, REPORT)
    if answer == "sound":
        assert (
            load_task_model(tmp_path / "model", specs).score(np.zeros((3, N_FEATURES)), FINGERPRINT).tolist()
            == [0.5] * 3
        )
        return
    with pytest.raises(TaskModelError):
        load_task_model(tmp_path / "model", specs)


# ---- writing ------------------------------------------------------------------------------------------------------


def snapshot(directory: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(directory)): p.read_bytes() if p.is_file() else None for p in directory.rglob("*")}


def test_a_foreign_directory_is_left_as_it_is(heads: dict[str, Head], tmp_path: Path) -> None:
    for name, content in {"thesis.txt": "years of work", "task_model.json": "{}"}.items():
        directory = tmp_path / name.replace(".", "-")
        directory.mkdir()
        (directory / name).write_text(content)
        before = snapshot(directory)
        with pytest.raises(TaskModelError, match="no task model: it is left as it is"):
            save_task_model(directory, make_facts("logistic"), heads["logistic"], EVIDENCE, REPORT)
        assert snapshot(directory) == before
    assert len(list(tmp_path.iterdir())) == 2


def test_a_task_model_with_a_file_of_the_users_is_left_as_it_is(logistic: Path, heads: dict[str, Head]) -> None:
    (logistic / "notes.txt").write_text("mine")
    before = snapshot(logistic)
    with pytest.raises(TaskModelError, match="more than a task model"):
        save_task_model(logistic, make_facts("mlp"), heads["mlp"], EVIDENCE, REPORT)
    assert snapshot(logistic) == before


def test_a_file_or_a_link_is_left_as_it_is(logistic: Path, heads: dict[str, Head], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(logistic)
    for taken in (tmp_path / "file", tmp_path / "link"):
        with pytest.raises(TaskModelError, match="not a directory"):
            save_task_model(taken, make_facts("logistic"), heads["logistic"], EVIDENCE, REPORT)
    assert (tmp_path / "file").read_text() == "x"
    assert verify_task_model(logistic, SPECS) == []


def test_a_task_model_and_an_empty_directory_are_replaced(logistic: Path, heads: dict[str, Head]) -> None:
    empty = logistic.parent / "empty"
    empty.mkdir()
    for target in (logistic, empty):
        save_task_model(target, make_facts("lightgbm"), heads["lightgbm"], EVIDENCE, REPORT)
        assert load_task_model(target, SPECS).card.head.name == "lightgbm"
        assert len(list(target.iterdir())) == 4
    assert sorted(path.name for path in logistic.parent.iterdir()) == ["b-lines", "empty"]


@pytest.mark.parametrize("step", ["_write_card", "_make_durable", "_take_the_name"])
def test_a_failure_before_the_rename_leaves_the_old_model(
    step: str, logistic: Path, heads: dict[str, Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(logistic)

    def full_disk(*_arguments: object) -> None:
        raise OSError(28, "No space left on device", "/secret/DOE^JANE")

    monkeypatch.setattr(f"lusfx.task_model.directory.{step}", full_disk)
    with pytest.raises(TaskModelError, match="cannot be written: No space left on device") as error:
        save_task_model(logistic, make_facts("mlp"), heads["mlp"], EVIDENCE, REPORT)
    assert "DOE" not in str(error.value)
    assert snapshot(logistic) == before
    assert [path.name for path in logistic.parent.iterdir()] == ["b-lines"]


def test_a_failed_rename_brings_the_old_model_back(
    logistic: Path, heads: dict[str, Head], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = snapshot(logistic)
    rename = Path.rename

    def fails_for_the_new(self: Path, target: Path) -> Path:
        if not self.name.endswith(".old") and target == logistic:
            raise PermissionError(13, "Permission denied")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fails_for_the_new)
    with pytest.raises(TaskModelError, match="Permission denied"):
        save_task_model(logistic, make_facts("mlp"), heads["mlp"], EVIDENCE, REPORT)
    assert snapshot(logistic) == before
    assert [path.name for path in logistic.parent.iterdir()] == ["b-lines"]


def test_a_killed_process_leaves_the_old_model(logistic: Path, heads: dict[str, Head]) -> None:
    """Killed when all is written and nothing renamed, as by a power cut: no handler runs."""
    before = snapshot(logistic)
    code = f"""
import os
from pathlib import Path
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import directory, load_task_model, save_task_model
specs = {{spec.name: spec for spec in lusfx_register_heads()}}
model = load_task_model(Path({str(logistic)!r}), specs)
directory._take_the_name = lambda new, old: os._exit(9)
save_task_model(Path({str(logistic)!r}), model.card, model.head, {{"auc": 0.5}}, "new")
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False)
    assert done.returncode == 9
    assert snapshot(logistic) == before
    (left_over,) = [path for path in logistic.parent.iterdir() if path != logistic]
    assert left_over.name.startswith(".b-lines.new-")
    assert verify_task_model(left_over, SPECS) == []
    save_task_model(logistic, make_facts("mlp"), heads["mlp"], EVIDENCE, REPORT)
    assert load_task_model(logistic, SPECS).card.head.name == "mlp"


def test_evidence_that_could_not_be_read_back_is_not_written(heads: dict[str, Head], tmp_path: Path) -> None:
    deep: dict[str, Any] = {}
    for _ in range(40):
        deep = {"a": deep}
    for evidence in (deep, {1: "a", "1": "b"}, ["a list"]):
        with pytest.raises(TaskModelError):
            save_task_model(tmp_path / "model", make_facts("mlp"), heads["mlp"], evidence, REPORT)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_report_of_any_text_can_be_written(heads: dict[str, Head], tmp_path: Path) -> None:
    save_task_model(tmp_path / "model", make_facts("mlp"), heads["mlp"], {}, "half a pair: \ud800\r\n")
    assert (tmp_path / "model" / "report.html").read_bytes() == b"half a pair: ?\r\n"
    assert verify_task_model(tmp_path / "model", SPECS) == []


@pytest.mark.parametrize("evidence", [{"auc": float("nan")}, {"auc": {1, 2}}, {"auc": object()}, {1: 1, "a": 2}])
def test_evidence_that_is_not_json_is_refused(evidence: Any, heads: dict[str, Head], tmp_path: Path) -> None:
    with pytest.raises(TaskModelError, match="evidence cannot be written as JSON"):
        save_task_model(tmp_path / "model", make_facts("mlp"), heads["mlp"], evidence, REPORT)
    assert not list(tmp_path.iterdir())


class Disorderly(RowCounter):
    """Writes what no head may write."""

    def save(self, directory: Path) -> None:
        match self.answer:
            case "nothing":
                return
            case "a folder":
                (directory / "folder").mkdir()
            case "a link":
                (directory / "head.bin").symlink_to("/etc/hostname")
            case "an odd name":
                (directory / "my head.bin").write_bytes(b"x")
            case "the card":
                (directory / "task_model.json").write_bytes(b"x")


@pytest.mark.parametrize("what", ["nothing", "a folder", "a link", "an odd name", "the card"])
def test_a_head_that_writes_something_else_is_refused(what: str, tmp_path: Path) -> None:
    with pytest.raises(TaskModelError):
        save_task_model(tmp_path / "model", make_facts("mlp"), Disorderly(what), EVIDENCE, REPORT)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_a_typed_error(heads: dict[str, Head], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(LusfxError, match="cannot be written"):
        save_task_model(tmp_path / "file" / "model", make_facts("mlp"), heads["mlp"], EVIDENCE, REPORT)


def test_facts_are_checked_when_they_are_stated() -> None:
    local = datetime(2026, 11, 24, tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(ValidationError, match="UTC"):
        TrainingCard(n_clips=1, n_patients=1, n_events=0, seed=0, lusfx_version="1", created=local)
    with pytest.raises(ValidationError):
        OperatingPointCard(rule=RuleCard(kind="youden"), threshold=float("nan"))
    assert RuleCard.of(MinSpecificity(0.9)) == RuleCard(kind="min-specificity", value=0.9)
