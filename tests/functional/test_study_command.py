"""``lusfx study``: encode, train, compare, and say so."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from lusfx.encoders import DEFAULT_ENCODER

pytestmark = pytest.mark.slow

pytest.importorskip("lusfx_ab_lines", reason="the plugin lusfx-ab-lines is not installed")

CONFIG = """
train = "{train}"
tests = {{ external = "other/labels.csv" }}
baseline = {{ encoder = "imagenet", way = "linear" }}
fractions = [1.0, 0.5]
draws = 2
folds = 2
repeats = 2
resamples = 40

[[tasks]]
task = "b-lines"

[[tasks]]
task = "severity"
outcome = "at least 2"

[[encoders]]
name = "imagenet"
encoder = "{encoder}"

[[ways]]
name = "linear"
kind = "head"

[[ways]]
name = "spread"
kind = "head"
pooling = "mean+std"
"""


@pytest.fixture
def config(tmp_path: Path, exams: Any, other_exams: Path) -> Path:
    """A study's file beside its tables."""
    file = tmp_path / "study.toml"
    file.write_text(CONFIG.format(encoder=DEFAULT_ENCODER, train=exams.labels.relative_to(tmp_path).as_posix()))
    return file


def test_a_study_from_clips_to_tables(lusfx_here: Any, config: Path, exams: Any, tmp_path: Path) -> None:
    arguments = ("study", config, "--out", "out", "--cache", exams.cache)
    planned = lusfx_here(*arguments, "--dry-run")
    assert planned.code == 0
    assert "encode with imagenet: 8 clips, about" in planned.out
    assert not (tmp_path / "out").exists()

    done = lusfx_here(*arguments)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("44 runs = 44 new + 0 found + 0 left; highest mean AUC on 'local': imagenet, ")

    again = lusfx_here(*arguments, "--json")
    assert (again.json["n_runs"], again.json["n_new"], again.json["n_done"]) == (44, 0, 44)
    with (tmp_path / "out" / "results.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(again.json["rows"]) == 2 * 3 * 2 * 2
    assert [float(row["auc"]) for row in rows] == [row["auc"] for row in again.json["rows"]]
    assert {row["n_patients"] for row in rows if row["test_set"] == "external"} == {"4"}
    assert json.loads(lusfx_here(*arguments, "--dry-run", "--json").out)["train"][0]["n_done"] == 22
    for name in ("report.html", "results.md", "study.json"):
        assert (tmp_path / "out" / name).stat().st_mode & 0o777 == 0o600


def test_what_is_wrong_with_the_file_is_one_line(lusfx_here: Any, config: Path) -> None:
    config.write_text(config.read_text().replace("draws = 2", "drawz = 2"))
    refused = lusfx_here("study", config, "--out", "out")
    assert refused.code == 2
    assert refused.err == "Error: the study's file, drawz: there is no such setting\n"
