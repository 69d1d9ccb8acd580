"""``lusfx train-task``: what it finds out can be computed again, and it refuses what cannot be trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

pytestmark = pytest.mark.slow

pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")

Rows = list[dict[str, str]]
Lusfx = Callable[..., Any]


def evidence_of(model: Path) -> Any:
    return json.loads((model / "evidence.json").read_text())


def auc_within_folds(targets: Any, probabilities: Any, folds: Any) -> float:
    """Mean over the folds that hold both answers, weighted by the pairs that each compares."""
    figures, pairs = [], []
    for fold in set(folds.tolist()):
        here = folds == fold
        n_yes, n_no = int((targets[here] == 1).sum()), int((targets[here] == 0).sum())
        if n_yes and n_no:
            figures.append(roc_auc_score(targets[here], probabilities[here]))
            pairs.append(n_yes * n_no)
    return float(np.average(figures, weights=pairs))


# ---- figures ------------------------------------------------------------------------------------------------------


def test_every_figure_can_be_computed_again_from_the_evidence(train: Lusfx, rewrite: Any, tmp_path: Path) -> None:
    def mislabel(rows: Rows) -> None:  # so that the figures are not all 1
        for row in rows[:24:5]:
            row["a_lines"], row["b_lines"] = row["b_lines"], row["a_lines"]

    rewrite(mislabel)
    (result,) = train("ab-lines", "--repeats", 2).json
    evidence = evidence_of(tmp_path / "model")
    means = []
    for outcome in result["outcomes"]:
        parts = evidence["outcomes"][outcome["outcome"]]["cross_validation"]
        targets, patients = np.array(parts["target"]), np.array(parts["patient"])
        assert len(parts["repeats"]) == result["n_repeats"] == 2
        assert (len(targets), int(targets.sum())) == (outcome["n_units"], outcome["n_events"])
        aucs, briers = [], []
        for repeat in parts["repeats"]:
            folds, probabilities = np.array(repeat["fold"]), np.array(repeat["probability"])
            assert set(folds.tolist()) == {0, 1, 2}
            for patient in set(patients.tolist()):
                assert len(set(folds[patients == patient].tolist())) == 1
            aucs.append(auc_within_folds(targets, probabilities, folds))
            briers.append(((probabilities - targets) ** 2).mean())
        figures = outcome["cross_validated"]
        assert figures["roc_auc"]["value"] == pytest.approx(np.mean(aucs))
        assert 0.5 < np.mean(aucs) < 1
        assert figures["brier_score"]["value"] == pytest.approx(np.mean(briers))
        assert evidence["outcomes"][outcome["outcome"]]["metrics"] == figures
        for name, point in outcome["operating_points"].items():
            answers = np.array([repeat["answers"][name] for repeat in parts["repeats"]])
            assert point["sensitivity"]["value"] == pytest.approx(answers[:, targets == 1].mean())
            assert point["specificity"]["value"] == pytest.approx(1 - answers[:, targets == 0].mean())
        assert len({tuple(repeat["fold"]) for repeat in parts["repeats"]}) == 2
        means.append(np.mean(aucs))
    assert result["figures"]["mean_roc_auc"]["value"] == pytest.approx(np.mean(means))
    assert evidence["figures"] == result["figures"]
    assert (len(evidence["patients"]), len(evidence["clips"])) == (16, 32)


def test_training_is_repeatable(lusfx: Lusfx, lusfx_here: Lusfx, train: Lusfx, tmp_path: Path) -> None:
    """Also in another process, which hashes otherwise."""
    ways = {"one": lusfx_here, "two": lusfx}
    first, second = (train("ab-lines", "--folds", 2, out=name, by=way).json[0] for name, way in ways.items())
    assert first["outcomes"] == second["outcomes"]
    assert first["familiar_limit"] == second["familiar_limit"]
    files = [path.name for path in (tmp_path / "one").iterdir() if path.suffix == ".safetensors"]
    assert sorted(files) == ["1-head.safetensors", "2-head.safetensors", "novelty.safetensors"]
    for name in ("evidence.json", *files):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


# ---- options ------------------------------------------------------------------------------------------------------


def test_a_search_takes_the_best_and_says_what_it_tried(train: Lusfx, tmp_path: Path) -> None:
    run = train("a-lines", "--search", "--head", "logistic", "--pooling", "mean")
    assert run.code == 0, run.err
    (outcome,) = run.json[0]["outcomes"]
    tried = outcome["searched"]
    assert set(tried) == {"logistic", "logistic logit_variance=0.5", "logistic logit_variance=8.0"}
    best = [name for name, merit in tried.items() if merit == max(tried.values())]
    chosen = {"logistic": 2.0, "logistic logit_variance=0.5": 0.5, "logistic logit_variance=8.0": 8.0}[best[0]]
    assert outcome["settings"]["logit_variance"] == chosen
    (repeat,) = evidence_of(tmp_path / "model")["outcomes"]["A-lines"]["cross_validation"]["repeats"]
    assert len(repeat["chosen"]) == 3  # each fold searches for itself
    assert set(repeat["chosen"]) <= set(tried)


def test_a_search_of_poolings_says_what_it_took_and_whether_it_helped(lusfx_here: Lusfx, exams: Any) -> None:
    options = ["--search", "--head", "logistic", "--folds", 3, "--repeats", 1]
    run = lusfx_here(
        "train-task", "a-lines", "--labels", exams.labels, "--cache", exams.cache, "--out", "model", *options
    )
    assert run.code == 0, run.err
    _, taken, verdict = run.out.splitlines()
    assert taken.startswith("a-lines: 'A-lines' takes ")
    pooling, _, head = taken.removeprefix("a-lines: 'A-lines' takes ").partition(": ")
    assert re.match(
        r"a-lines: the search is (no better|better|worse) than the default settings \(.+: logistic\): ", verdict
    )
    shown = lusfx_here("model", "show", "model").out
    assert shown.splitlines()[2].endswith(f", {pooling}")
    assert f"head {head}, calibration" in shown


def test_one_refused_task_stops_no_other_and_shows_in_the_exit_code(
    train: Lusfx, lusfx_here: Lusfx, rewrite: Any, tmp_path: Path, exams: Any
) -> None:
    def blank(rows: Rows) -> None:
        for row in rows:
            row["a_lines"] = "0"

    rewrite(blank)
    run = train("a-lines", "b-lines", "--head", "logistic", out="models")
    assert run.code == 1
    trained, refused = run.json
    assert (trained["task"], refused["task"]) == ("b-lines", "a-lines")
    assert "nothing to learn" in refused["refused"]
    assert f"Error: a-lines is refused: {refused['refused']}" in run.err
    assert [path.name for path in (tmp_path / "models").iterdir()] == ["b-lines"]
    alone = train("a-lines", "--head", "logistic", out="alone")
    assert (alone.code, alone.json["error"]["exit_code"]) == (1, 1)


def test_a_search_chooses_the_settings_itself(train: Lusfx) -> None:
    run = train("a-lines", "--search", "--set", "logit_variance=1")
    assert run.code == 2
    assert "--search chooses the settings itself: leave out --set" in run.err


def test_attention_weighs_the_frames(lusfx_here: Lusfx, train: Lusfx, exams: Any, tmp_path: Path) -> None:
    run = train("a-lines", "--pooling", "attention", "--set", "members=2")
    assert run.code == 0, run.err
    (result,) = run.json
    assert (result["pooling"], result["outcomes"][0]["head"]) == ("attention", "attention")
    assert "attention" in lusfx_here("model", "show", "model").out
    scored = lusfx_here("score", "--model", "model", "--cache", exams.cache, "--out", "scores.csv", "--json")
    assert scored.json["by_status"] == {"scored": 32}


def test_poolings_and_heads_must_go_together(train: Lusfx) -> None:
    run = train("a-lines", "--pooling", "attention", "--head", "logistic")
    assert run.code == 2
    assert "head 'logistic' takes pooled vectors" in run.err
    run = train("a-lines", "--pooling", "custom")
    assert run.code == 2
    assert "task 'a-lines' has no pooling of its own" in run.err


def test_isotonic_calibration_of_a_few_is_refused(train: Lusfx, tmp_path: Path) -> None:
    run = train("a-lines", "--calibration", "isotonic")
    assert run.code == 1
    assert "isotonic calibration needs 1000 units and 100 of either class" in run.err
    assert "'platt'" in run.err
    assert not (tmp_path / "model").exists()


def test_a_calibration_can_be_left_out(train: Lusfx, tmp_path: Path) -> None:
    assert train("a-lines", "--calibration", "none").code == 0
    card = json.loads((tmp_path / "model" / "task_model.json").read_text())
    assert card["outcomes"][0]["calibration"] is None


# ---- refusals -----------------------------------------------------------------------------------------------------


def one_class(rows: Rows) -> None:
    for row in rows:
        row["b_lines"] = "1"


def no_labels(rows: Rows) -> None:
    for row in rows:
        row["b_lines"] = ""


def other_paths(rows: Rows) -> None:
    for row in rows:
        row["path"] = "missing/" + row["path"]


def contradiction(rows: Rows) -> None:
    rows.append(rows[0] | {"b_lines": "1" if rows[0]["b_lines"] == "0" else "0"})


def same_clip_of_two_patients(rows: Rows) -> None:
    rows.append(rows[0] | {"patient_id": "another"})


def wrong_cell(rows: Rows) -> None:
    rows[3]["b_lines"] = "maybe"


def few_patients(rows: Rows) -> None:
    for row in rows:
        row["b_lines"] = "1" if row["patient_id"] in ("patient-0001", "patient-0002") else "0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (one_class, "all 32 labelled units are 'yes' to 'b-lines: B-lines': nothing to learn"),
        (no_labels, "no row of the label table has a label"),
        (other_paths, "no labelled clip is in the cache"),
        (contradiction, "the same content and different labels"),
        (same_clip_of_two_patients, "are of one patient by the extraction, and of two by the label table"),
        (wrong_cell, "row 4 (line 5), column 'b_lines'"),
        (few_patients, "'b-lines: B-lines' has 2 patients with yes, fewer than the 3 folds"),
    ],
)
def test_training_refuses_what_cannot_be_trusted(
    train: Lusfx, rewrite: Any, tmp_path: Path, change: Callable[[Rows], None], message: str
) -> None:
    rewrite(change)
    run = train("b-lines")
    assert run.code == 1
    assert message in run.err
    assert not (tmp_path / "model").exists()


def test_patients_unknown_to_the_table_and_the_ledgers_are_refused(train: Lusfx, rewrite: Any, exams: Any) -> None:
    def blank_patients(rows: Rows) -> None:
        for row in rows:
            row["patient_id"] = ""

    rewrite(blank_patients)
    for ledger in (exams.cache / "runs").iterdir():
        ledger.unlink()
    run = train("b-lines")
    assert run.code == 1
    assert "32 units have no patient" in run.err


def test_blank_labels_are_left_out_and_counted(train: Lusfx, rewrite: Any) -> None:
    rewrite(lambda rows: rows[0].update(b_lines=""))
    (result,) = train("b-lines").json
    assert (result["n_units"], result["n_clips"], result["n_not_known"]) == (31, 31, 1)


def test_an_unknown_task_or_head_is_a_usage_error_with_what_there_is(train: Lusfx) -> None:
    run = train("c-lines")
    assert run.code == 2
    assert "unknown task 'c-lines'; known: " in run.err
    assert "a-lines, ab, ab-lines, b-lines" in run.err
    run = train("b-lines", "--head", "svm")
    assert run.code == 2
    assert "unknown head 'svm'; known: attention, lightgbm, logistic, mlp" in run.err
    run = train("b-lines", "--set", "nonsense=1")
    assert run.code == 2
    assert "nonsense" in run.err
    assert "is not NAME=VALUE" in train("b-lines", "--set", "nonsense").err


def test_a_folder_with_other_things_is_not_overwritten(train: Lusfx, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("x")
    assert train("b-lines").code == 1
    assert (tmp_path / "model" / "thesis.txt").read_text() == "x"
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["thesis.txt"]


def test_what_is_printed_for_people_is_one_line_a_task(lusfx_here: Lusfx, exams: Any) -> None:
    run = lusfx_here(
        "train-task", "b-lines", "--labels", exams.labels, "--cache", exams.cache, "--out", "model", "--folds", 3,
        "--repeats", 1,
    )  # fmt: skip
    assert run.code == 0, run.err
    (line,) = run.out.splitlines()
    assert line.startswith("b-lines: cross-validated AUC ")
    assert "from 32 clips of 16 patients (24 'B-lines', 0 not known); model " in line
    assert run.err.startswith("warning: b-lines: only 8 units are 'no' to 'b-lines: B-lines': below 100")
