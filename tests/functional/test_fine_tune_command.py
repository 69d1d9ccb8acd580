"""``lusfx fine-tune`` as a user runs it: train, look, score with nothing but the model, and find damage."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("timm", reason="fine-tuning needs timm")
pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")


def test_a_model_is_fine_tuned_shown_scored_and_verified(
    lusfx: Any, exams: Any, other_exams: Path, tmp_path: Path
) -> None:
    run = lusfx(
        "fine-tune", "b-lines", "--labels", exams.labels, "--out", "tuned", "--architecture", "test_efficientnet",
        "--size", 64, "--epochs", 1, "--folds", 2, "--threads", 1, "--json",
    )  # fmt: skip
    assert run.code == 0, run.err
    assert run.err == ""
    assert (run.json["n_units"], run.json["n_patients"], run.json["pooling"]) == (32, 16, "mean")
    assert run.json["fine_tuning"]["settings"]["epochs"] == 1
    assert [path.name for path in tmp_path.iterdir() if "tuned" in path.name] == ["tuned"]

    shown = lusfx("model", "show", "tuned")
    assert "features: b-lines-test_efficientnet" in shown.out
    assert "its encoder is in 'encoder'" in shown.out
    scored = lusfx("score", other_exams, "--model", "tuned", "--cache", "own", "--out", "scores.csv", "--json")
    assert scored.code == 0, scored.err
    assert scored.json["by_status"] == {"scored": 8}
    (tmp_path / "tuned" / "encoder" / "encoder.onnx").write_bytes(b"damaged")
    verified = lusfx("model", "verify", "tuned")
    assert verified.code == 1
    assert "encoder/encoder.onnx does not have the content that was written" in verified.out


def test_a_task_or_an_option_that_makes_no_sense_is_a_usage_error(lusfx: Any, exams: Any) -> None:
    common = ("--labels", exams.labels, "--out", "tuned")
    unknown = lusfx("fine-tune", "no-such-task", *common)
    assert (unknown.code, unknown.out) == (2, "")
    assert "no-such-task" in unknown.err
    both = lusfx("fine-tune", "b-lines", *common, "--encoder", "efficientnet-lite0", "--architecture", "resnet18")
    assert both.code == 2
    assert "name an --encoder or an --architecture to begin with, not both" in both.err
