"""The page of a scoring run adds up to its table, and holds no picture and nobody's name."""

from __future__ import annotations

import csv
import html
import re
from collections import Counter
from pathlib import Path

import pytest
from click.testing import CliRunner

from lusfx.cli.score import command
from lusfx.contracts import Abstention, Gate, Task, ZoneSummary
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.scoring.report import answer_table
from lusfx.engine.scoring.result import N_BINS, ScoreResult
from lusfx.engine.scoring.score import score
from lusfx.engine.training.train import train_task
from lusfx.errors import UsageError
from lusfx.testing.small_cache import SmallCache, make_small_cache

pytestmark = pytest.mark.usefixtures("few_resamples")
HOSTILE = "<img src=x onerror=alert(1)>"


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("0", "1", HOSTILE)
    label_columns = ("severity",)
    exam_summary = ZoneSummary(("L1", "L2", "R1"))


class OfFrame(Task):
    """Is it severe in this frame?"""

    name, unit, frames_per_clip = "of-frame", "frame", 4
    label_columns = ("severity",)
    requires = Gate(task="severity", is_="0")
    abstain = Abstention(min_frames=2)

    def label(self, cell: str) -> int | None:
        return int(float(cell) > 0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> tuple[SmallCache, list[Path]]:
    folder = tmp_path_factory.mktemp("models")
    small = make_small_cache(folder / "small", Severity(), n_patients=12)
    tasks = [Severity(), OfFrame()]
    train_task(
        tasks,
        small.labels,
        small.cache,
        folder / "models",
        n_folds=2,
        n_repeats=1,
        head="logistic",
        site_key=small.site_key,
    )
    return small, [folder / "models" / task.name for task in tasks]


@pytest.fixture
def scored(models: tuple[SmallCache, list[Path]], tmp_path: Path) -> tuple[ScoreResult, str, list[dict[str, str]]]:
    small, places = models
    out = tmp_path / "scores.csv"
    result = score([], places, small.cache, out, report=tmp_path / "scores.html", site_key=small.site_key)
    with out.open(encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    return result, (tmp_path / "scores.html").read_text(encoding="utf-8"), rows


def test_it_counts_what_the_table_holds(scored: tuple[ScoreResult, str, list[dict[str, str]]]) -> None:
    result, _, rows = scored
    assert result.tally is not None
    severity, of_frame = (result.tally.by_model[model.digest] for model in result.tally.models)
    answers = Counter(r["answer"] for r in rows if r["outcome"] == "at least 1")
    assert severity.answers == answers
    assert severity.n_scored == 36
    for outcome, counts in severity.counts.items():
        said = [float(row["probability"]) for row in rows if row["outcome"] == outcome]
        assert counts.tolist() == [sum(min(int(p * N_BINS), N_BINS - 1) == b for p in said) for b in range(N_BINS)]
    frames = [row for row in rows if row["task"] == "of-frame"]
    assert of_frame.n_scored == sum(row["status"] == "scored" for row in frames)
    assert of_frame.reasons == Counter(row["code"] for row in frames if row["code"])
    assert {"gate", "too-few-frames"} >= set(of_frame.reasons) >= {"gate"}


def test_the_page_says_so(scored: tuple[ScoreResult, str, list[dict[str, str]]]) -> None:
    result, page, _ = scored
    text = html.unescape(re.sub(r"<[^>]+>", " ", page))
    assert result.summary() in text
    assert "36 of 36" in text
    assert result.tally is not None
    for row in answer_table(result.tally).rows:
        assert row[1].partition(" ")[0] in text
    assert f"{result.reasons['gate']}" in text
    assert "no estimate of how common a finding is" in text


def test_exams_are_told_by_the_beginning_of_their_pseudonym(
    scored: tuple[ScoreResult, str, list[dict[str, str]]],
) -> None:
    _, page, rows = scored
    exams = {row["exam"] for row in rows}
    assert len(exams) == 12
    for exam in exams:
        assert exam[:12] in page
        assert exam not in page
    assert "12 of 12" in page


def test_nobody_is_named_and_nothing_breaks_out(scored: tuple[ScoreResult, str, list[dict[str, str]]]) -> None:
    _, page, rows = scored
    assert "made-up-0" not in page
    for row in rows:
        assert not row["patient"] or row["patient"][:12] not in page
        assert not row["clip"] or row["clip"][:12] not in page
    assert "<img" not in page
    assert "<script" not in page
    assert html.escape(HOSTILE, quote=False) in page


def test_the_command_writes_it_where_asked(models: tuple[SmallCache, list[Path]], tmp_path: Path) -> None:
    small, places = models
    named = [argument for place in places for argument in ("--model", str(place))]
    arguments = ["--cache", str(small.cache), "--out", str(tmp_path / "s.csv"), "--report", str(tmp_path / "s.html")]
    told = CliRunner().invoke(command, [*named, *arguments], catch_exceptions=False)
    assert told.exit_code == 0, told.output
    assert "Scores of 2 task models" in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_its_directory_is_made_as_that_of_the_table_is(models: tuple[SmallCache, list[Path]], tmp_path: Path) -> None:
    small, places = models
    out, report = tmp_path / "t" / "u" / "s.csv", tmp_path / "v" / "w" / "s.html"
    score([], places, small.cache, out, report=report, site_key=small.site_key)
    assert out.exists()
    assert report.exists()


@pytest.mark.parametrize("name", ["file/s.html", "folder", "s.csv", "s-exams.csv"])
def test_a_page_that_cannot_be_written_is_an_error_before_any_work(
    models: tuple[SmallCache, list[Path]], tmp_path: Path, name: str
) -> None:
    small, places = models
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UsageError, match="the report cannot be written"):
        score([], places, small.cache, tmp_path / "s.csv", report=tmp_path / name, site_key=small.site_key)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "folder"]


def test_what_nothing_is_known_of_has_a_page_too(models: tuple[SmallCache, list[Path]], tmp_path: Path) -> None:
    """A cache that holds no clip any more."""
    small, places = models
    other = make_small_cache(tmp_path / "empty", Severity(), n_patients=1)
    for key in sorted(other.store.keys()):
        other.store.path_of(key).unlink()
    result = score([], places[:1], other.cache, tmp_path / "s.csv", report=tmp_path / "s.html", site_key=small.site_key)
    assert sum(result.rows.values()) == 0
    assert "No clip was asked about" in (tmp_path / "s.html").read_text(encoding="utf-8")


def test_a_task_that_no_plugin_provides_can_be_judged_where_it_is_given(
    models: tuple[SmallCache, list[Path]], tmp_path: Path
) -> None:
    _, (severity, _) = models
    others = make_small_cache(tmp_path / "others", Severity(), n_patients=6, first_patient=100)
    with pytest.raises(UsageError, match="severity"):
        evaluate(severity, others.labels, others.cache, task=OfFrame(), site_key=others.site_key)
    result = evaluate(severity, others.labels, others.cache, task=Severity(), site_key=others.site_key)
    assert len(result.samples) == 18
