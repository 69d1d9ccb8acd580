"""A study as a whole, on made-up embeddings: its numbers are those of the stored scores, and nothing is done twice."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.errors import LeakError, RunInterruptedError, TableError, TrainingRefusedError, UsageError
from lusfx.heads.mlp import MlpHeadSpec
from lusfx.studies import RunsDone, StudyResult, study
from lusfx.studies.config import LOCAL, MEAN
from lusfx.studies.figures import COLUMNS

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]


def do(made: Any, out: Path, config: Any = None, **options: Any) -> StudyResult:
    return study(config or made.values, out, cache=made.cache, site_key=made.site_key, **options)


def table(out: Path) -> Rows:
    with (out / "results.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def stored(out: Path, kind: str, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / kind / digest[:2] / f"{digest}.json").read_bytes())
    return content


def auc_by_pairs(targets: np.ndarray, scores: np.ndarray, folds: np.ndarray) -> float:
    """Over all pairs of a yes and a no of one fold, how often the yes scores higher: written without the metrics' code."""
    wins = n_pairs = 0.0
    for i in np.flatnonzero(targets == 1):
        for j in np.flatnonzero(targets == 0):
            if folds[i] == folds[j]:
                n_pairs += 1
                wins += 1.0 if scores[i] > scores[j] else 0.5 if scores[i] == scores[j] else 0.0
    return wins / n_pairs


def recomputed(out: Path, row: dict[str, str]) -> tuple[float, dict[str, Any]]:
    """A row's AUC and its units, from the files alone."""
    record = json.loads((out / "study.json").read_bytes())
    runs = [
        run
        for run in record["runs"]
        if (run["encoder"], run["way"], run["task"], run["fraction"])
        == (row["encoder"], row["way"], row["task"], float(row["fraction"]))
        and (run["fold"] is not None) == (row["test_set"] == LOCAL)
    ]
    areas, units = [], {}
    for draw in sorted({run["draw"] for run in runs}):
        parts = [
            (run["fold"], stored(out, "runs", run["file"])["tests"][row["test_set"]])
            for run in runs
            if run["draw"] == draw
        ]
        units = stored(out, "units", parts[0][1]["units"])
        scores, folds = np.full(len(units["keys"]), np.nan), np.zeros(len(units["keys"]))
        for fold, part in parts:
            scores[part["rows"]], folds[part["rows"]] = part["scores"], fold or 0
        assert not np.isnan(scores).any()
        areas.append(auc_by_pairs(np.array(units["targets"]), scores, folds))
    return float(np.mean(areas)), units


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("done")


@pytest.fixture
def done(where: Path, made_study: Any) -> Path:
    """The made-up study, done once for the tests that only look."""
    out = where / "out"
    if not (out / "results.csv").exists():
        do(made_study, out)
    return out


def test_every_number_follows_from_the_stored_scores(done: Path) -> None:
    rows = [row for row in table(done) if row["task"] != MEAN]
    assert len(rows) == 3 * 2 * 3 * 2  # encoders and ways, tasks, fractions, test sets
    area = {}
    for row in rows:
        area[tuple(row.values())[:5]], units = recomputed(done, row)
        assert float(row["auc"]) == pytest.approx(area[tuple(row.values())[:5]], abs=1e-9)
        assert int(row["n_units"]) == len(units["keys"])
        assert int(row["n_patients"]) == len(set(units["patients"]))
        assert int(row["n_positive"]) == sum(units["targets"])
        assert float(row["auc_low"]) <= float(row["auc"]) + 0.1
        assert 0 <= float(row["auc_low"]) <= float(row["auc_high"]) <= 1
    for row in rows:
        if (row["encoder"], row["way"]) == ("A", "linear"):
            assert row["difference"] == row["delong_p"] == ""
        else:
            baseline = area["A", "linear", *list(row.values())[2:5]]
            assert float(row["difference"]) == pytest.approx(area[tuple(row.values())[:5]] - baseline, abs=1e-9)
            assert float(row["difference_low"]) <= float(row["difference_high"])
            assert 0 <= float(row["delong_p"]) <= 1


def test_means_over_tasks_are_those_of_the_tasks(done: Path) -> None:
    rows = table(done)
    for row in (row for row in rows if row["task"] == MEAN):
        same = ("encoder", "way", "fraction", "test_set")
        tasks = [o for o in rows if o["task"] != MEAN and all(o[column] == row[column] for column in same)]
        assert int(row["n_tasks"]) == len(tasks) == 2
        assert float(row["auc"]) == pytest.approx(np.mean([float(o["auc"]) for o in tasks]), abs=1e-9)
        if row["difference"]:
            assert float(row["difference"]) == pytest.approx(np.mean([float(o["difference"]) for o in tasks]), abs=1e-9)


def test_the_encoder_that_knows_more_is_found_to(done: Path) -> None:
    best = [
        r for r in table(done) if (r["encoder"], r["task"], r["fraction"], r["test_set"]) == ("B", "seen", "1.0", LOCAL)
    ]
    assert float(best[0]["difference"]) > 0.1
    assert float(best[0]["delong_p"]) < 0.05


def test_a_fraction_of_too_few_patients_is_said_as_what_it_became(done: Path) -> None:
    least = [row for row in table(done) if row["fraction"] == "0.01"]
    assert {(row["training_patients_min"], row["training_patients_max"]) for row in least} <= {
        ("2", "2"),
        ("2", "4"),
        ("2", "3"),
    }
    half = next(r for r in table(done) if (r["task"], r["fraction"], r["test_set"]) == ("seen", "0.5", "external"))
    assert half["training_patients_min"] == half["training_patients_max"] == "8"
    assert half["n_draws"] == "3"


def test_everybody_learns_from_the_same_patients_and_is_judged_on_the_same_units(done: Path) -> None:
    record = json.loads((done / "study.json").read_bytes())
    units: dict[tuple[Any, ...], set[str]] = {}
    for run in record["runs"]:
        facts = stored(done, "runs", run["file"])["facts"]
        place = run["task"], run["fraction"], run["draw"], run["fold"]
        units.setdefault(place, set()).add(json.dumps(facts["units"], sort_keys=True))
    assert all(len(each) == 1 for each in units.values())


def test_a_study_that_is_done_makes_the_same_tables_and_trains_nothing(done: Path, made_study: Any) -> None:
    before = {name: (done / name).read_bytes() for name in ("results.csv", "results.md", "report.html", "study.json")}
    result = do(made_study, done)
    assert (result.n_new, result.n_done) == (0, result.n_runs)
    assert {name: (done / name).read_bytes() for name in before} == before


def test_nobody_is_named(done: Path) -> None:
    texts = [path.read_bytes() for path in done.rglob("*") if path.is_file()]
    assert len(texts) > 100
    assert not any(b"made-up-0" in text or b"/train.csv" in text for text in texts)


def test_the_page_and_its_markdown_say_what_the_table_says(done: Path) -> None:
    page, words = (done / "report.html").read_text(), (done / "results.md").read_text()
    rows = table(done)
    for row in (rows[0], rows[-1]):
        said = f"{float(row['auc']):.3f} ({float(row['auc_low']):.3f} to {float(row['auc_high']):.3f})"
        assert said in page
        assert said in words
    assert page.count("<svg") >= 6
    assert "DeLong's test takes units as independent" in words


def test_a_changed_study_keeps_what_did_not_change(tmp_path: Path, made_study: Any) -> None:
    small = made_study.config(tasks=[{"task": "seen"}], fractions=[1.0], repeats=1)
    first = do(made_study, tmp_path / "out", small)
    assert (first.n_runs, first.n_new) == (9, 9)  # two folds and the external test, of three
    more = do(
        made_study, tmp_path / "out", made_study.config(tasks=[{"task": "seen"}], fractions=[1.0, 0.5], repeats=1)
    )
    assert more.n_runs - more.n_new == 9
    assert more.n_new == 3 * 3 * 3


def test_a_damaged_file_is_computed_again(tmp_path: Path, made_study: Any) -> None:
    config = made_study.config(tasks=[{"task": "seen"}], fractions=[1.0], repeats=1)
    do(made_study, tmp_path / "out", config)
    results = (tmp_path / "out" / "results.csv").read_bytes()
    files = sorted((tmp_path / "out" / "runs").rglob("*.json"))
    content = files[0].read_bytes()
    files[0].write_bytes(content.replace(b'"scores":[0.', b'"scores":[1.', 1))
    files[1].write_bytes(files[1].read_bytes()[:100])
    assert do(made_study, tmp_path / "out", config).n_new == 2
    assert (tmp_path / "out" / "results.csv").read_bytes() == results


def test_a_study_that_was_stopped_goes_on(tmp_path: Path, made_study: Any) -> None:
    stop, config = threading.Event(), made_study.config(tasks=[{"task": "seen"}], draws=1, repeats=1)

    def stop_soon(told: Any) -> None:
        if isinstance(told, RunsDone) and told.done:
            stop.set()

    with pytest.raises(RunInterruptedError, match=r"the scores of \d+ of 27 runs are kept"):
        do(made_study, tmp_path / "out", config, progress=stop_soon, stop=stop)
    assert not (tmp_path / "out" / "results.csv").exists()
    n_kept = len(list((tmp_path / "out" / "runs").rglob("*.json")))
    result = do(made_study, tmp_path / "out", config)
    assert result.complete
    assert 0 < n_kept < len(list((tmp_path / "out" / "runs").rglob("*.json")))


def test_when_the_minutes_are_over_there_are_tables_of_what_there_is(tmp_path: Path, made_study: Any) -> None:
    result = do(made_study, tmp_path / "out", minutes=0)
    assert not result.complete
    assert any("not there yet" in warning for warning in result.warnings)
    assert len(table(tmp_path / "out")) == len(result.rows)


def test_workers_change_no_number(tmp_path: Path, made_study: Any) -> None:
    config = made_study.config(fractions=[1.0], repeats=1)
    one, two = do(made_study, tmp_path / "one", config), do(made_study, tmp_path / "two", config, workers=2)
    assert one.n_new == two.n_new
    assert (tmp_path / "one" / "results.csv").read_bytes() == (tmp_path / "two" / "results.csv").read_bytes()


def test_a_local_table_takes_the_place_of_cross_validation(tmp_path: Path, made_study: Any) -> None:
    tests = {LOCAL: made_study.values["tests"]["external"]}
    result = do(made_study, tmp_path / "out", made_study.config(tests=tests, tasks=[{"task": "seen"}], fractions=[1.0]))
    assert result.n_runs == 3
    assert {row["n_patients"] for row in table(tmp_path / "out")} == {"8"}


def test_a_patient_of_the_training_table_is_not_tested(tmp_path: Path, made_study: Any) -> None:
    with pytest.raises(LeakError, match="16 patients of the test set 'external' are in the training table"):
        do(made_study, tmp_path / "out", made_study.config(tests={"external": made_study.values["train"]}))


def test_tables_that_no_result_could_be_trusted_of_are_refused(
    tmp_path: Path, own_made_study: Callable[[], Any]
) -> None:
    own = own_made_study()
    with pytest.raises(TrainingRefusedError, match="fewer than the 17 folds"):
        do(own, tmp_path / "out", own.config(folds=17))
    external = own.folder / "external.csv"
    external.write_text(external.read_text().replace("seen", "unseen", 1))
    with pytest.raises(TableError, match="reads the column 'seen'"):
        do(own, tmp_path / "out")


def test_a_training_that_is_refused_is_left_out_and_said(
    tmp_path: Path, made_study: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's head may need more patients than a draw has."""

    def refuse(*given: Any) -> Any:
        raise TrainingRefusedError("holding out patients needs two of each class")

    monkeypatch.setattr(MlpHeadSpec, "fit", refuse)
    ways = [{"name": "linear", "kind": "head"}, {"name": "mlp", "kind": "head", "head": "mlp"}]
    config = made_study.config(
        ways=ways,
        tasks=[{"task": "seen"}],
        fractions=[0.01],
        draws=1,
        min_patients=1,
        encoders=made_study.values["encoders"][:1],
    )
    result = do(made_study, tmp_path / "out", config)
    assert {row.way for row in result.rows} == {"linear"}
    assert any("a training was refused" in warning for warning in result.warnings)


def test_another_folder_is_left_alone(tmp_path: Path, made_study: Any) -> None:
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("dear")
    with pytest.raises(UsageError, match="nor a study"):
        do(made_study, tmp_path / "letters")
    assert len(list((tmp_path / "letters").iterdir())) == 1


def test_a_study_needs_a_worker(tmp_path: Path, made_study: Any) -> None:
    with pytest.raises(UsageError, match="one worker"):
        do(made_study, tmp_path / "out", workers=0)


def test_the_rows_have_the_columns_that_are_described(done: Path) -> None:
    assert list(table(done)[0]) == list(COLUMNS)
