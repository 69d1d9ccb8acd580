"""Pretraining is judged on patients whom the encoder never saw, whatever table they are in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="pretraining needs torch")
pytest.importorskip("timm", reason="pretraining needs timm")

from lusfx.cache import clip_key
from lusfx.contracts import Task
from lusfx.engine.samples.samples import Samples
from lusfx.errors import LeakError, TableError, UsageError
from lusfx.studies.questions import Question
from lusfx.task_model import UnitFeatures

FOLDS = 3


class Seen(Task):
    """Something is seen."""

    name, version = "seen", 1
    label_columns = ("seen",)


def table(folder: Path, name: str, rows: list[tuple[str, str, str]]) -> Path:
    """A label table of (patient, content, answer), with a file for each content."""
    folder.mkdir(exist_ok=True)
    lines = ["path,patient_id,seen"]
    for number, (patient, content, answer) in enumerate(rows):
        (folder / f"{name}-{number}.bin").write_bytes(content.encode())
        lines.append(f"{name}-{number}.bin,{patient},{answer}")
    place = folder / f"{name}.csv"
    place.write_text("\n".join(lines) + "\n")
    return place


def question(train: Path, tests: Mapping[str, Path] | None = None) -> Question:
    return Question("seen", Seen(), 0, train, tests or {})


def two_tables(folder: Path) -> Question:
    """Nine patients of two clips; three of them are in another table, too, spelt otherwise, with three who are not."""
    first = [(f"P{n}", f"clip {n} {m}", str(n % 2)) for n in range(9) for m in range(2)]
    second = [(f"p{n} ", f"other clip {n}", str(n % 2)) for n in (0, 1, 2, 20, 21, 22)]
    return question(table(folder, "first", first), {"external": table(folder, "second", second)})


def test_a_patient_is_in_one_fold_in_all_tables(tool: Any, tmp_path: Path) -> None:
    clips = tool.dealt_clips([two_tables(tmp_path)], FOLDS, seed=0)
    assert len(clips.places) == 24
    assert len(set(clips.patients.values())) == 12
    folds: dict[str, set[int]] = {}
    for key, patient in clips.patients.items():
        folds.setdefault(patient, set()).add(clips.fold_of[key])
    assert all(len(of_patient) == 1 for of_patient in folds.values())
    assert set(clips.fold_of.values()) == set(range(FOLDS))


def test_every_fold_has_both_answers(tool: Any, tmp_path: Path) -> None:
    asked = two_tables(tmp_path)
    clips = tool.dealt_clips([asked], FOLDS, seed=1)
    answers = {
        clip_key(tmp_path / line.split(",")[0]): line.split(",")[2] for line in asked.train.read_text().splitlines()[1:]
    }
    for fold in range(FOLDS):
        assert {answer for key, answer in answers.items() if clips.fold_of[key] == fold} == {"0", "1"}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_sources_hold_no_patient_of_the_held_out_fold(tool: Any, tmp_path: Path, seed: int) -> None:
    clips = tool.dealt_clips([two_tables(tmp_path)], FOLDS, seed=seed)
    for fold in range(FOLDS):
        sources = clips.outside(fold)
        judged = {patient for key, patient in clips.patients.items() if clips.fold_of[key] == fold}
        assert judged
        assert judged.isdisjoint(clips.patients[key] for key in sources)
        assert len(sources) + sum(its == fold for its in clips.fold_of.values()) == len(clips.places)
        clips.check_unseen(fold, sources)


def test_an_encoder_that_saw_a_judged_patient_is_refused(tool: Any, tmp_path: Path) -> None:
    clips = tool.dealt_clips([two_tables(tmp_path)], FOLDS, seed=0)
    (judged, *_) = [key for key, fold in clips.fold_of.items() if fold == 1]
    with pytest.raises(LeakError, match=r"fold 2: .* 1 clips of judged patients and 0 that no table names"):
        clips.check_unseen(1, [*clips.outside(1), judged])
    with pytest.raises(LeakError, match="0 clips of judged patients and 1 that no table names"):
        clips.check_unseen(1, ["0" * 64])


@pytest.mark.parametrize(
    ("rows", "match"),
    [
        ([("", "a", "1"), ("B", "b", "0")], "needs a patient"),
        ([("A", "same", "1"), ("B", "same", "1")], "same content and another patient"),
    ],
)
def test_clips_that_are_nobodys_or_two_patients_are_refused(
    tool: Any, tmp_path: Path, rows: list[tuple[str, str, str]], match: str
) -> None:
    with pytest.raises(TableError, match=match):
        tool.dealt_clips([question(table(tmp_path, "table", rows))], 2, seed=0)


def samples(keys: list[str], first: float) -> Samples[UnitFeatures]:
    n = len(keys)
    rows = (first + np.arange(2 * n)).reshape(n, 2).astype(np.float32)
    names = np.array(keys)
    return Samples(
        names, names, np.ones((n, 1), np.int64), np.ones(n, np.int64), np.ones(n), UnitFeatures(rows, rows), keys, {}
    )


def test_features_side_by_side_are_of_the_same_clips(tool: Any) -> None:
    before = {("seen", "mean"): {"train": samples(["a", "b", "c"], 0.0)}}
    after = {("seen", "mean"): {"train": samples(["c", "a"], 10.0)}}
    joined = tool.side_by_side(before, after)["seen", "mean"]["train"]
    assert joined.keys.tolist() == ["a", "c"]
    assert joined.units.features.tolist() == [[0, 1, 12, 13], [4, 5, 10, 11]]
    assert joined.units.centres.shape == (2, 4)


STUDY = """
train = "made/labels.csv"
baseline = { encoder = "tiny", way = "linear" }
folds = 3
resamples = 20

[[tasks]]
task = "b-lines"

[[encoders]]
name = "tiny"
architecture = "test_efficientnet"
size = 32

[[ways]]
name = "linear"
kind = "head"
"""


@pytest.mark.slow
def test_encoders_are_made_judged_and_not_made_again(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synth = [sys.executable, "-m", "lusfx", "synth", "made", "--patients", "9", "--frames", "4"]
    subprocess.run(synth, cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "study.toml").write_text(STUDY)
    out = tmp_path / "out"
    fixed = ["--epochs", "1", "--batch-size", "4", "--pairs-per-clip", "1", "--threads", "1", "--augmentation", "byol"]
    monkeypatch.setattr(
        sys, "argv", ["tool", str(tmp_path / "study.toml"), "--out", str(out), "--side-by-side", *fixed]
    )
    tool.main()

    lines = (tmp_path / "made" / "labels.csv").read_text().splitlines()[1:]
    patients = {clip_key(tmp_path / "made" / line.split(",")[0]): line.split(",")[1] for line in lines}
    seen = [
        set(json.loads((out / "pretrained" / f"tiny, fold {n}" / "done.json").read_text())["seen"]) for n in (1, 2, 3)
    ]
    found = json.loads((out / "results.json").read_text())
    assert [cell["encoder"] for cell in found["scores"]] == ["tiny", "tiny, pretrained", "tiny, both side by side"]
    for cell in found["scores"]:
        assert sorted(cell["keys"]) == sorted(patients)
        assert np.isfinite(cell["scores"]).all()
        for key, fold in zip(cell["keys"], cell["folds"], strict=True):
            assert patients[key] not in {patients[other] for other in seen[fold]}
    assert len({tuple(cell["scores"]) for cell in found["scores"]}) == 3
    assert [row["difference"] is None for row in found["rows"]] == [True, False, False]
    assert "synthetic-0001" not in (out / "results.json").read_text() + (out / "results.md").read_text()

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(tool, "pretrain", refused)
    tool.main()
    assert json.loads((out / "results.json").read_text()) == found
    monkeypatch.setattr(sys, "argv", [*sys.argv, "--lr", "0.1"])
    with pytest.raises(SystemExit, match="other settings"):
        tool.main()


def test_ways_that_train_networks_are_refused(tool: Any, tmp_path: Path) -> None:
    from lusfx.studies.config import checked_config

    values = {
        "train": "labels.csv",
        "baseline": {"encoder": "tiny", "way": "tuned"},
        "tasks": [{"task": "b-lines"}],
        "encoders": [{"name": "tiny", "architecture": "test_efficientnet"}],
        "ways": [{"name": "tuned", "kind": "fine-tune"}],
    }
    with pytest.raises(UsageError, match="leave ways out that train networks"):
        tool.Judging.of(checked_config(values, tmp_path), tmp_path / "out", {}, {}, False)
