"""Extract, train, score, evaluate: the whole path, by the command line."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")
pytest.importorskip("lusfx_view", reason="the plugin lusfx-view is not installed")

Lusfx = Callable[..., Any]


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


# ---- extract ------------------------------------------------------------------------------------------------------


def test_a_second_run_encodes_nothing(lusfx: Lusfx, archive: Any) -> None:
    run = lusfx("extract", archive.labels, "--cache", archive.cache)
    assert run.code == 0
    assert run.out.startswith("24 found = 0 encoded + 24 cached + 0 failed + 0 skipped")


def test_moved_clips_and_a_moved_cache_change_nothing(lusfx_here: Lusfx, archive: Any, tmp_path: Path) -> None:
    n_tables = len(list(archive.folder.glob("*.csv")))
    shutil.move(archive.folder, tmp_path / "elsewhere")
    shutil.move(archive.cache, tmp_path / "moved")
    run = lusfx_here("extract", tmp_path / "elsewhere", "--cache", tmp_path / "moved", "--json")
    assert (run.json["found"], run.json["cached"], run.json["not_clips"]) == (24, 24, n_tables)


def test_a_file_replaced_in_place_is_encoded(lusfx_here: Lusfx, exams: Any, other_exams: Path) -> None:
    new, old = min(other_exams.parent.glob("*.mp4")), min(exams.folder.glob("*.mp4"))
    old.write_bytes(new.read_bytes())
    run = lusfx_here("extract", exams.folder, "--cache", exams.cache, "--json")
    assert (run.json["encoded"], run.json["cached"]) == (1, 31)


# ---- train, score, evaluate ---------------------------------------------------------------------------------------


def test_train_score_and_evaluate(lusfx: Lusfx, train: Lusfx, exams: Any, other_exams: Path, tmp_path: Path) -> None:
    trained = train("severity")
    assert trained.code == 0, trained.err
    (result,) = trained.json
    assert (result["n_units"], result["n_clips"], result["n_patients"], result["kind"]) == (32, 32, 16, "ordinal")
    assert [outcome["outcome"] for outcome in result["outcomes"]] == ["at least 1", "at least 2", "at least 3"]
    assert [outcome["n_events"] for outcome in result["outcomes"]] == [24, 16, 8]
    for figures in [result["figures"]["mean_roc_auc"], *(o["cross_validated"]["roc_auc"] for o in result["outcomes"])]:
        assert figures["low"] <= figures["value"] <= figures["high"]
        assert figures["value"] > 0.9  # the stripes are plain to see
    assert set(result["figures"]) == {
        "mean_roc_auc",
        "quadratic_weighted_kappa",
        "mean_absolute_error",
        "balanced_accuracy",
    }
    assert set(result["outcomes"][0]["operating_points"]) == {"balanced", "screen", "rule-in"}
    assert "below 100" in result["warnings"][0]
    assert {path.name for path in (tmp_path / "model").iterdir()} == {
        "novelty.safetensors", "task_model.json", "evidence.json", "report.html",
        "1-head.safetensors", "2-head.safetensors", "3-head.safetensors",
    }  # fmt: skip

    scored = lusfx(
        "score", other_exams, "--model", "model", "--cache", exams.cache, "--out", "scores.parquet", "--json"
    )
    assert scored.code == 0, scored.err
    assert scored.json["by_status"] == {"scored": 24}
    assert scored.json["extraction"]["encoded"] == 8
    table = pyarrow.parquet.read_table(tmp_path / "scores.parquet").to_pylist()
    assert len(table) == 8 * 3
    assert {row["model_digest"] for row in table} == {result["digest"]}
    assert {row["model"] for row in table} == {result["model"]}
    assert {row["fingerprint"] for row in table} == {result["fingerprint"]}
    points = {outcome["outcome"]: outcome["operating_points"] for outcome in result["outcomes"]}
    for row in table:
        assert 0 <= row["probability"] <= 1
        assert row["answer"] in ("0", "1", "2", "3")
        for point, facts in points[row["outcome"]].items():
            assert row[f"at_{point}"] == (row["probability"] >= facts["threshold"])

    judged = lusfx(
        "evaluate", "--model", "model", "--labels", other_exams, "--cache", exams.cache, "--json",
        "--report", "evaluation.html",
    )  # fmt: skip
    assert judged.code == 0, judged.err
    assert (judged.json["n_units"], judged.json["n_patients"]) == (8, 4)
    assert [outcome["n_events"] for outcome in judged.json["outcomes"]] == [6, 4, 2]
    assert judged.json["figures"]["mean_roc_auc"]["value"] > 0.8
    for outcome in judged.json["outcomes"]:
        for name, facts in outcome["operating_points"].items():
            assert facts["threshold"] == points[outcome["outcome"]][name]["threshold"]
    assert "None of these patients was in its training" in (tmp_path / "evaluation.html").read_text()

    told = lusfx("evaluate", "--model", "model", "--labels", other_exams, "--cache", exams.cache)
    assert told.out.startswith(f"{result['model']}: mean AUC")
    assert [line for line in told.out.splitlines() if line.endswith(":")] == [
        "at least 1:", "at least 2:", "at least 3:",
    ]  # fmt: skip


def test_three_tasks_and_three_models_in_one_pass(lusfx_here: Lusfx, train: Lusfx, exams: Any, tmp_path: Path) -> None:
    names = ("a-lines", "b-lines", "severity")
    trained = train(*names, out="models")
    assert [result["task"] for result in trained.json] == list(names)
    assert {path.name for path in (tmp_path / "models").iterdir()} == set(names)
    models = [text for name in names for text in ("--model", f"models/{name}")]
    run = lusfx_here("score", exams.labels, *models, "--cache", exams.cache, "--out", "scores.csv", "--show-paths")
    assert run.code == 0, run.err
    assert "160 rows = 160 scored + 0 not assessable, of 3 models" in run.out
    rows = read_csv(tmp_path / "scores.csv")
    counts = {name: sum(row["task"] == name for row in rows) for name in names}
    assert counts == {"a-lines": 32, "b-lines": 32, "severity": 96}
    assert all(row["zone"] in ("L1", "L2") for row in rows)
    assert all(Path(row["path"]).exists() for row in rows)

    summaries = [row for row in read_csv(tmp_path / "scores-exams.csv") if row["zone"] == "all"]
    assert len(summaries) == 16
    for row in summaries:  # two of the six zones were scanned: what is missing is not counted as none
        assert (row["task"], row["status"], row["sum"]) == ("severity", "incomplete", "")
        assert row["reason"] == "not assessed: L3, R1, R2, R3"

    again = lusfx_here("score", *models, "--cache", exams.cache, "--out", "cached.csv", "--json")
    assert again.code == 0, again.err
    assert again.json["extraction"] is None

    def scores(name: str) -> dict[tuple[str, ...], str]:
        told = read_csv(tmp_path / name)
        return {(row["clip"], row["task"], row["outcome"]): row["probability"] for row in told}

    assert scores("cached.csv") == scores("scores.csv")


def test_a_gate_decides_where_a_task_is_answered(lusfx_here: Lusfx, train: Lusfx, exams: Any, tmp_path: Path) -> None:
    assert train("view", "ab-lines", out="models").code == 0
    refused = lusfx_here("score", "--model", "models/ab-lines", "--cache", exams.cache, "--out", "scores.csv")
    assert refused.code == 2
    assert "'ab-lines' is answered only where 'view' is 'parenchymal'" in refused.err
    assert "--no-gates" in refused.err

    models = ["--model", "models/ab-lines", "--model", "models/view"]
    run = lusfx_here("score", *models, "--cache", exams.cache, "--out", "scores.csv", "--json")
    assert run.code == 0, run.err
    rows = read_csv(tmp_path / "scores.csv")
    views = {row["clip"]: row["answer"] for row in rows if row["task"] == "view"}
    assert set(views.values()) >= {"parenchymal", "pleural"}
    asked = {row["clip"] for row in rows if row["task"] == "ab-lines" and row["status"] == "scored"}
    closed = [row for row in rows if row["task"] == "ab-lines" and row["code"] == "gate"]
    assert asked <= {clip for clip, view in views.items() if view == "parenchymal"}
    assert {row["clip"] for row in closed} == {clip for clip, view in views.items() if view != "parenchymal"}
    assert "view is pleural, not parenchymal" in {row["reason"] for row in closed}
    assert {row["probability"] for row in closed} == {""}
    assert run.json["by_reason"]["gate"] == len(closed)

    opened = lusfx_here("score", *models, "--cache", exams.cache, "--out", "open.csv", "--no-gates", "--json")
    assert "gate" not in opened.json["by_reason"]


@pytest.mark.usefixtures("model")
def test_scores_do_not_depend_on_the_cache(lusfx_here: Lusfx, exams: Any, tmp_path: Path) -> None:
    """The same model and clips give the same probability whatever the cache and the batch."""
    for number, cache in enumerate((exams.cache, tmp_path / "fresh")):
        run = lusfx_here("score", exams.labels, "--model", "model", "--cache", cache, "--out", f"{number}.csv")
        assert run.code == 0, run.err
    assert (tmp_path / "0.csv").read_text() == (tmp_path / "1.csv").read_text()


@pytest.mark.usefixtures("model")
def test_a_damaged_clip_and_a_bad_source_are_rows(lusfx_here: Lusfx, exams: Any, tmp_path: Path) -> None:
    (exams.folder / "text.mp4").write_text("not a video, CANARY")
    run = lusfx_here("score", exams.folder, "--model", "model", "--cache", exams.cache, "--out", "scores.csv")
    assert run.code == 3
    assert "33 rows = 32 scored + 0 not assessable + 1 without features" in run.out
    assert "CANARY" not in run.out + run.err + (tmp_path / "scores.csv").read_text()

    victim = min(exams.cache.rglob("*.h5"))
    victim.write_bytes(victim.read_bytes()[:-1])
    run = lusfx_here("score", "--model", "model", "--cache", exams.cache, "--out", "cached.csv", "--json")
    assert run.code == 3
    assert run.json["by_status"] == {"scored": 31, "failed": 1}
    assert run.json["by_reason"] == {"damaged-in-cache": 1}
    (row,) = [row for row in read_csv(tmp_path / "cached.csv") if row["status"] == "failed"]
    assert (row["clip"], row["probability"], row["answer"]) == (victim.stem, "", "")


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("model")
def test_evaluating_on_the_training_patients_is_refused(lusfx_here: Lusfx, exams: Any) -> None:
    run = lusfx_here("evaluate", "--model", "model", "--labels", exams.labels, "--cache", exams.cache)
    assert run.code == 1
    assert "16 patients of the label table were in this model's training" in run.err


@pytest.mark.usefixtures("model")
def test_a_model_of_other_features_is_refused(lusfx_here: Lusfx, exams: Any, tmp_path: Path) -> None:
    import lusfx.encoders as encoders

    encoder = tmp_path / "encoder"
    shutil.copytree(encoders.BUNDLED / encoders.DEFAULT_ENCODER, encoder)
    card = json.loads((encoder / "encoder.json").read_text())
    card["preprocess"]["stride"] = 2
    (encoder / "encoder.json").write_text(json.dumps(card))
    run = lusfx_here(
        "score", exams.labels, "--model", "model", "--cache", exams.cache, "--out", "s.csv", "--encoder", encoder
    )
    assert run.code == 1
    assert "lusfx extract" in run.err

    clip = min(exams.folder.glob("*.mp4"))
    explained = lusfx_here("cache", "explain", clip, "--cache", exams.cache, "--encoder", encoder)
    assert "preprocess.stride: 1 there, 2 wanted" in explained.out
