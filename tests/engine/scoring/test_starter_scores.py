"""Scores of starter models: an order of clips, marked everywhere as learnt from simulated exams, and never an answer."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from lusfx.cli.score import command
from lusfx.contracts import Gate, Task, ZoneSummary
from lusfx.engine.scoring.score import score
from lusfx.engine.training.train import train_task
from lusfx.errors import UsageError
from lusfx.testing.small_cache import SmallCache

WithStarter = Callable[[Task, SmallCache], str]


class Sign(Task):
    """Is it there?"""

    name, pooling = "sign", "mean"
    label_columns = ("sign",)


class Severity(Task):
    """How severe?"""

    name, kind, pooling = "severity", "ordinal", "mean"
    classes = ("0", "1", "2")
    label_columns = ("severity",)
    exam_summary = ZoneSummary(("L1", "L2", "R1"))


class OfFrame(Sign):
    """Is it there, in a frame?"""

    name, unit = "of-frame", "frame"


class Gated(Sign):
    """Is it there, where there is a sign?"""

    name = "gated"
    requires = Gate(task="sign", is_="yes")


@pytest.fixture
def small(small_cache_of: Callable[..., SmallCache]) -> SmallCache:
    return small_cache_of(Sign(), n_patients=6)


def rows_of(table: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(table).to_pylist()
    return rows


def test_a_starter_orders_and_says_neither_yes_nor_no(
    small: SmallCache, with_starter: WithStarter, tmp_path: Path
) -> None:
    out, page = tmp_path / "scores.parquet", tmp_path / "scores.html"
    result = score([], with_starter(Sign(), small), small.cache, out, report=page)
    rows = {row["clip"]: row for row in rows_of(out)}
    for key, clip in small.clips().items():
        mean = clip.embeddings[clip.status == 0].astype(np.float32).mean(axis=0)
        assert rows[key]["score"] == pytest.approx(float(1 / (1 + np.exp(-mean[0]))))
        assert (rows[key]["status"], rows[key]["trained_on"]) == ("scored", "simulated")
        assert rows[key]["probability"] is rows[key]["answer"] is rows[key]["distance"] is None or np.isnan(
            rows[key]["distance"]
        )
    assert not any(column.startswith("at_") for column in rows[key])
    assert result.summary().endswith("of 1 model (1 from simulated exams: scores that only order)")
    (warning,) = result.warnings
    assert "simulated exams alone" in warning
    assert "no probabilities" in warning
    told = result.as_dict()
    assert list(told["trained_on"].values()) == ["simulated"]
    assert all("no yes or no, a score to order by: yes 0." in line for line in told["answers"])
    text = page.read_text()
    assert "simulated exams alone" in text
    assert "Score of &#39;yes&#39;" in text or "Score of 'yes'" in text
    assert "Probability of" not in text


def test_frames_are_ordered_too(small: SmallCache, with_starter: WithStarter, tmp_path: Path) -> None:
    result = score([], with_starter(OfFrame(), small), small.cache, tmp_path / "scores.parquet")
    assert {row["status"] for row in rows_of(tmp_path / "scores.parquet")} == {"scored"}
    assert any("frames to order by (learnt from simulated exams)" in line for line in result.words)


def test_no_exam_is_summed_up_of_scores(small: SmallCache, with_starter: WithStarter, tmp_path: Path) -> None:
    result = score([], with_starter(Severity(), small), small.cache, tmp_path / "scores.parquet")
    assert result.exams is None
    assert len(rows_of(tmp_path / "scores.parquet")) == 2 * 18
    assert [path.name for path in tmp_path.glob("*.parquet")] == ["scores.parquet"]


@pytest.mark.slow
def test_beside_a_trained_model_each_keeps_to_its_own_columns(
    small_cache_of: Callable[..., SmallCache],
    with_starter: WithStarter,
    with_tasks: Callable[..., Any],
    tmp_path: Path,
) -> None:
    small = small_cache_of(Sign(), n_patients=18)
    with_tasks(Sign())
    train_task([Sign()], small.labels, small.cache, tmp_path / "own", n_folds=2, n_repeats=1, site_key=small.site_key)
    out = tmp_path / "scores.parquet"
    result = score([], [with_starter(Sign(), small), tmp_path / "own"], small.cache, out)
    for row in rows_of(out):
        ordered = row["trained_on"] == "simulated"
        assert (row["score"] is not None) == ordered
        assert (row["probability"] is None) == (row["answer"] is None) == (row["at_balanced"] is None) == ordered
    assert sorted(map(str, result.as_dict()["trained_on"].values())) == ["None", "simulated"]


def test_a_starter_opens_no_gate(small: SmallCache, with_starter: WithStarter, tmp_path: Path) -> None:
    models = [with_starter(task, small) for task in (Sign(), Gated())]
    with pytest.raises(UsageError, match=r"only orders clips.*recalibrate.*--no-gates"):
        score([], models, small.cache, tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()
    assert score([], models, small.cache, tmp_path / "scores.csv", with_gates=False).rows == {"scored": 36}


def test_the_command_takes_a_starters_name(
    small: SmallCache, with_starter: WithStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = with_starter(Sign(), small)
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(command, ["--model", name, "--cache", str(small.cache)])
    assert told.exit_code == 0, told.output
    assert "simulated exams alone" in told.stderr
    assert "(1 from simulated exams: scores that only order)" in told.stdout
    as_json = CliRunner().invoke(command, ["--model", name, "--cache", str(small.cache), "--json"])
    assert set(json.loads(as_json.stdout)["trained_on"].values()) == {"simulated"}


def test_a_folder_of_a_starters_name_is_never_taken_for_it_nor_it_for_the_folder(
    small: SmallCache, with_starter: WithStarter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = with_starter(Sign(), small)
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir(parents=True)
    options = ["--cache", str(small.cache), "--model"]
    refused = CliRunner().invoke(command, [*options, name])
    assert isinstance(refused.exception, UsageError)
    assert "./starter/" in str(refused.exception)
    of_folder = CliRunner().invoke(command, [*options, f"./{name}"])
    assert "no task model directory" in str(of_folder.exception) or "missing" in str(of_folder.exception)
