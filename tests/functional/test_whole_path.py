"""Extract, train, score, evaluate: the whole path on synthetic exams, by the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from sklearn.metrics import roc_auc_score

from lusfx.synth import write_archive

pytest.importorskip("lusfx_blues", reason="the plugin lusfx-blues is not installed")

Lusfx = Callable[..., Any]


def train(
    lusfx: Lusfx, archive: Any, out: str = "model", *arguments: object, tasks: tuple[str, ...] = ("b-lines",)
) -> Any:
    return lusfx(
        "train-task", *tasks, "--labels", archive.labels, "--cache", archive.cache, "--out", out,
        "--head", "logistic", "--folds", 3, "--json", *arguments,
    )  # fmt: skip


def test_a_second_run_encodes_nothing(lusfx: Lusfx, archive: Any) -> None:
    run = lusfx("extract", archive.labels, "--cache", archive.cache)
    assert run.code == 0
    assert run.out.startswith("24 found = 0 encoded + 24 cached + 0 failed + 0 skipped")


def test_moved_clips_and_a_moved_cache_change_nothing(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    shutil.move(archive.folder, tmp_path / "elsewhere")
    shutil.move(archive.cache, tmp_path / "moved")
    run = lusfx("extract", tmp_path / "elsewhere", "--cache", tmp_path / "moved", "--json")
    assert (run.json["found"], run.json["cached"], run.json["not_clips"]) == (24, 24, 1)


def test_a_file_replaced_in_place_is_encoded(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    write_archive(tmp_path / "other", n_patients=1, clips_per_patient=1, n_frames=4, seed=99)
    new, old = next((tmp_path / "other" / "clips").iterdir()), sorted((archive.folder / "clips").iterdir())[0]
    old.write_bytes(new.read_bytes())
    run = lusfx("extract", archive.folder, "--cache", archive.cache, "--json")
    assert (run.json["encoded"], run.json["cached"]) == (1, 23)


def test_train_score_and_evaluate(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    trained = train(lusfx, archive, tasks=("severity",))
    assert trained.code == 0, trained.err
    (result,) = trained.json
    interval = result["cross_validated"]["roc_auc"]
    assert interval["low"] <= interval["value"] <= interval["high"]
    assert interval["value"] > 0.8  # the patterns of synthetic exams are plain to see
    assert (result["n_clips"], result["n_patients"]) == (24, 12)
    assert set(result["operating_points"]) == {"balanced", "screen", "rule-in"}
    assert "below 100" in result["warnings"][0]
    assert {path.name for path in (tmp_path / "model").iterdir()} >= {"task_model.json", "evidence.json", "report.html"}

    other = write_archive(tmp_path / "other", n_patients=4, clips_per_patient=2, n_frames=4, seed=50, first_patient=101)
    scored = lusfx(
        "score", tmp_path / "other", other, "--model", "model", "--cache", archive.cache, "--out", "scores.parquet"
    )
    assert scored.code == 0, scored.err
    assert "8 rows = 8 scored + 0 not scored" in scored.out
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len(table) == 8
    assert {row["model_digest"] for row in table} == {result["digest"]}
    assert {row["fingerprint"] for row in table} == {result["fingerprint"]}
    for row in table:
        assert 0 <= row["probability"] <= 1
        for point, facts in result["operating_points"].items():
            assert row[f"at_{point}"] == (row["probability"] >= facts["threshold"])

    judged = lusfx(
        "evaluate",
        "--model",
        "model",
        "--labels",
        other,
        "--cache",
        archive.cache,
        "--json",
        "--report",
        "evaluation.html",
    )
    assert judged.code == 0, judged.err
    assert judged.json["n_patients"] == 4
    assert judged.json["metrics"]["roc_auc"]["value"] > 0.7
    assert "None of these patients was in its training" in (tmp_path / "evaluation.html").read_text()


def test_two_tasks_and_two_models_in_one_pass(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    trained = train(lusfx, archive, "models", tasks=("b-lines", "severity"))
    assert [result["task"] for result in trained.json] == ["b-lines", "severity"]
    run = lusfx(
        "score", archive.labels, "--model", "models/b-lines", "--model", "models/severity", "--cache", archive.cache,
        "--out", "scores.csv", "--show-paths",
    )  # fmt: skip
    assert run.code == 0, run.err
    with (tmp_path / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 48
    assert {row["task"] for row in rows} == {"b-lines", "severity"}
    assert all(row["zone"] for row in rows)
    assert all(Path(row["path"]).exists() for row in rows)


def test_scores_equal_those_of_training(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    """The same model and clips give the same probability whatever the cache and the batch."""
    train(lusfx, archive)
    for number, cache in enumerate((archive.cache, tmp_path / "fresh")):
        run = lusfx("score", archive.labels, "--model", "model", "--cache", cache, "--out", f"{number}.csv")
        assert run.code == 0, run.err
    assert (tmp_path / "0.csv").read_text() == (tmp_path / "1.csv").read_text()


def test_every_figure_can_be_computed_again_from_the_evidence(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    (result,) = train(lusfx, archive, "model", "--repeats", 3).json
    evidence = json.loads((tmp_path / "model" / "evidence.json").read_text())["cross_validation"]
    targets, patients = np.array(evidence["target"]), np.array(evidence["patient"])
    assert len(evidence["repeats"]) == result["n_repeats"] == 3
    aucs = []
    for repeat in evidence["repeats"]:
        aucs.append(roc_auc_score(targets, repeat["probability"]))
        folds = np.array(repeat["fold"])
        assert set(folds) == {0, 1, 2}
        for patient in set(patients):
            assert len(set(folds[patients == patient])) == 1
    assert result["cross_validated"]["roc_auc"]["value"] == pytest.approx(np.mean(aucs))
    answers = np.array([repeat["answers"]["balanced"] for repeat in evidence["repeats"]])
    assert result["operating_points"]["balanced"]["sensitivity"]["value"] == pytest.approx(
        answers[:, targets == 1].mean()
    )
    assert len({tuple(repeat["fold"]) for repeat in evidence["repeats"]}) == 3


def test_training_is_repeatable(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    first, second = (train(lusfx, archive, name).json[0] for name in ("one", "two"))
    assert first["cross_validated"] == second["cross_validated"]
    assert (tmp_path / "one" / "evidence.json").read_bytes() == (tmp_path / "two" / "evidence.json").read_bytes()


def test_evaluating_on_the_training_patients_is_refused(lusfx: Lusfx, archive: Any) -> None:
    train(lusfx, archive)
    run = lusfx("evaluate", "--model", "model", "--labels", archive.labels, "--cache", archive.cache)
    assert run.code == 1
    assert "12 patients of the label table were in this model's training" in run.err


def test_a_model_of_other_features_is_refused(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    train(lusfx, archive)
    encoder = tmp_path / "encoder"
    import lusfx.encoders as encoders

    shutil.copytree(encoders.BUNDLED / encoders.DEFAULT_ENCODER, encoder)
    card = json.loads((encoder / "encoder.json").read_text())
    card["preprocess"]["stride"] = 2
    (encoder / "encoder.json").write_text(json.dumps(card))
    run = lusfx(
        "score", archive.labels, "--model", "model", "--cache", archive.cache, "--out", "s.csv", "--encoder", encoder
    )
    assert run.code == 1
    assert "lusfx extract" in run.err

    explained = lusfx(
        "cache",
        "explain",
        sorted((archive.folder / "clips").iterdir())[0],
        "--cache",
        archive.cache,
        "--encoder",
        encoder,
    )
    assert "preprocess.stride: 1 there, 2 wanted" in explained.out


def rewrite(labels: Path, change: Callable[[list[dict[str, str]]], None]) -> None:
    with labels.open() as stream:
        rows = list(csv.DictReader(stream))
    change(rows)
    with labels.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, rows[0])
        writer.writeheader()
        writer.writerows(rows)


def blank_patients(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["patient_id"] = ""


def one_class(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["b_lines"] = "1"


def no_labels(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["b_lines"] = ""


def other_paths(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["path"] = "missing/" + row["path"]


def contradiction(rows: list[dict[str, str]]) -> None:
    rows.append(rows[0] | {"b_lines": "1" if rows[0]["b_lines"] == "0" else "0"})


def same_clip_of_two_patients(rows: list[dict[str, str]]) -> None:
    rows.append(rows[0] | {"patient_id": "another"})


def wrong_cell(rows: list[dict[str, str]]) -> None:
    rows[3]["b_lines"] = "maybe"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_class, "nothing to learn"),
        (no_labels, "no row of the label table has a label"),
        (other_paths, "no labelled clip is in the cache"),
        (contradiction, "the same content and different labels"),
        (same_clip_of_two_patients, "the same content and different patients"),
        (wrong_cell, "row 4, column 'b_lines'"),
    ],
)
def test_training_refuses_what_cannot_be_trusted(
    lusfx: Lusfx, archive: Any, tmp_path: Path, change: Callable[[list[dict[str, str]]], None], message: str
) -> None:
    rewrite(archive.labels, change)
    run = train(lusfx, archive)
    assert run.code == 1
    assert message in run.err
    assert not (tmp_path / "model").exists()


def test_patients_unknown_to_the_table_and_the_ledgers_are_refused(lusfx: Lusfx, archive: Any) -> None:
    rewrite(archive.labels, blank_patients)
    for ledger in (archive.cache / "runs").iterdir():
        ledger.unlink()
    run = train(lusfx, archive)
    assert run.code == 1
    assert "24 clips have no patient" in run.err


def test_blank_labels_are_left_out_and_counted(lusfx: Lusfx, archive: Any) -> None:
    rewrite(archive.labels, lambda rows: rows[0].update(b_lines=""))
    (result,) = train(lusfx, archive).json
    assert (result["n_clips"], result["n_not_known"]) == (23, 1)


def test_an_unknown_task_or_head_is_a_usage_error_with_what_there_is(lusfx: Lusfx, archive: Any) -> None:
    run = train(lusfx, archive, tasks=("c-lines",))
    assert run.code == 2
    assert "unknown task 'c-lines'; known: a-lines, b-lines, severity" in run.err
    run = train(lusfx, archive, "model", "--set", "nonsense=1")
    assert run.code == 2
    assert "nonsense" in run.err


def test_a_folder_with_other_things_is_not_overwritten(lusfx: Lusfx, archive: Any, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("x")
    assert train(lusfx, archive).code == 1
    assert (tmp_path / "model" / "thesis.txt").read_text() == "x"
