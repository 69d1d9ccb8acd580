"""A choice within each training side: it is made by its patients alone, and its rows are those of the procedure."""

from __future__ import annotations

import csv
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.errors import RunInterruptedError, UsageError
from lusfx.studies import RunsDone, StudyResult, forecast_study, study
from lusfx.studies.config import CHOSEN, LOCAL, MEAN, checked_config
from lusfx.studies.costs import BY_TASK, COST_COLUMNS
from lusfx.studies.plan import merit_folds

CHOICE = {"ways": ["linear"], "fractions": [1.0, 0.5], "folds": 3}
NAME = "chosen by inner folds"


def do(made: Any, out: Path, config: Any, **options: Any) -> StudyResult:
    return study(config, out, cache=made.cache, site_key=made.site_key, **options)


def table(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def record(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "study.json").read_bytes())
    return content


def stored(out: Path, digest: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "runs" / digest[:2] / f"{digest}.json").read_bytes())
    return content


def place(run: dict[str, Any]) -> tuple[Any, ...]:
    return run["task"], run["fraction"], run["draw"], run["fold"]


@pytest.fixture(scope="module")
def where(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("chosen")


@pytest.fixture
def done(where: Path, made_study: Any) -> Path:
    """The made-up study with a choice of its two encoders, done once for the tests that only look."""
    out = where / "out"
    if not (out / "results.csv").exists():
        do(made_study, out, made_study.config(choice=CHOICE))
    return out


@pytest.mark.slow
def test_the_candidate_of_the_highest_merit_is_chosen_on_every_training_side(done: Path) -> None:
    content = record(done)
    merits: dict[tuple[Any, ...], list[tuple[str, float | None]]] = {}
    for run in content["runs"]:
        found = stored(done, run["file"])
        assert ("merit" in found) == (run["way"] == "linear" and run["fraction"] > 0.01)
        if "merit" in found:
            assert found["facts"]["merit"] == {"inner_folds": 3}
            merits.setdefault(place(run), []).append((run["encoder"], found["merit"]))
    assert {place(choice) for choice in content["choices"]} == set(merits)
    for choice in content["choices"]:
        best = max(merits[place(choice)], key=lambda each: each[1] or 0)
        assert (choice["encoder"], choice["by_merit"]) == (best[0], True)
    assert {choice["encoder"] for choice in content["choices"]} == {"A", "B"}


@pytest.mark.slow
def test_the_rows_of_the_choice_have_its_scores(done: Path) -> None:
    """Of the external test set from all labels there is one training, so that the row is the chosen candidate's."""
    rows = table(done / "results.csv")
    chosen = [row for row in rows if row["encoder"] == CHOSEN]
    assert {row["way"] for row in chosen} == {NAME}
    assert len(chosen) == 3 * 2 * 2  # tasks and their mean, fractions, test sets
    for choice in record(done)["choices"]:
        if choice["fraction"] == 1 and choice["fold"] is None:
            same = [
                {name: row[name] for name in ("auc", "auc_low", "auc_high", "n_patients")}
                for row in rows
                if (row["task"], row["fraction"], row["test_set"]) == (choice["task"], "1.0", "external")
                and (row["encoder"], row["way"]) in ((CHOSEN, NAME), (choice["encoder"], "linear"))
            ]
            assert len(same) == 2
            assert same[0] == same[1]


@pytest.mark.slow
def test_costs_are_the_highest_of_the_table_less_the_choice(done: Path) -> None:
    rows, costs = table(done / "results.csv"), table(done / "choice.csv")
    assert list(costs[0]) == list(COST_COLUMNS)
    assert len(costs) == (2 + 2) * 2 * 2  # tasks and two of their mean, fractions, test sets
    auc = {(*list(row.values())[:5],): float(row["auc"]) for row in rows}
    for cost in costs:
        at = cost["task"], cost["fraction"], cost["test_set"]
        of_tasks = {
            (encoder, task): auc[encoder, "linear", task, *at[1:]]
            for encoder in "AB"
            for _, _, task, *_ in auc
            if task != MEAN
        }
        if cost["best_encoder"] == BY_TASK:
            assert cost["task"] == MEAN
            tasks = {task for _, task in of_tasks}
            best = float(np.mean([max(of_tasks["A", task], of_tasks["B", task]) for task in tasks]))
        else:
            best = max(auc["A", "linear", *at], auc["B", "linear", *at])
            assert auc[cost["best_encoder"], cost["best_way"], *at] == best
        assert float(cost["best_auc"]) == pytest.approx(best, abs=1e-9)
        assert float(cost["auc"]) == auc[CHOSEN, NAME, *at]
        assert float(cost["optimism"]) == pytest.approx(best - auc[CHOSEN, NAME, *at], abs=1e-9)
        assert float(cost["optimism_low"]) <= float(cost["optimism_high"])
        assert (cost["n_candidates"], cost["n_without_merit"]) == ("2", "0")
        n_tasks = 2 if cost["task"] == MEAN else 1
        n_draws = 2 if cost["fraction"] == "1.0" else 3
        expected = n_draws * 2 if cost["test_set"] == LOCAL else 3 if cost["fraction"] == "0.5" else 1
        assert int(cost["n_choices"]) == expected * n_tasks


@pytest.mark.slow
def test_page_and_markdown_say_what_choosing_costs(done: Path) -> None:
    words, page = (done / "results.md").read_text(), (done / "report.html").read_text()
    cost = table(done / "choice.csv")[0]
    said = f"{float(cost['optimism']):+.3f} ({float(cost['optimism_low']):+.3f} to {float(cost['optimism_high']):+.3f})"
    for text in (words, page):
        assert said in text
        assert "What choosing costs" in text
    counts = [
        choice
        for choice in record(done)["choices"]
        if place(choice)[:2] == ("seen", 1.0) and choice["fold"] is not None
    ]
    n_b = sum(choice["encoder"] == "B" for choice in counts)
    assert f"| seen | local | 100% | {len(counts)} | 0 | " in words
    assert f"B, linear: {n_b}" in words


@pytest.mark.slow
def test_a_study_without_a_choice_has_the_digests_that_it_had_and_its_runs_serve(
    tmp_path: Path, made_study: Any
) -> None:
    config = made_study.config(tasks=[{"task": "seen"}], fractions=[1.0], repeats=1)
    plain = do(made_study, tmp_path / "out", config)
    with_choice = {**config, "choice": {"ways": ["linear"], "folds": 2}}
    chosen = do(made_study, tmp_path / "out", with_choice)
    assert (plain.n_new, chosen.n_runs, chosen.n_new) == (9, 9, 6)  # trees are no candidate: theirs are there
    assert do(made_study, tmp_path / "out", with_choice).n_new == 0
    other_folds = do(made_study, tmp_path / "out", {**config, "choice": {"ways": ["linear"], "folds": 3}})
    assert other_folds.n_new == 6
    again = do(made_study, tmp_path / "out", config)
    assert again.n_new == 0
    assert [row.cells() for row in again.rows] == [row.cells() for row in plain.rows]
    assert not (tmp_path / "out" / "choice.csv").exists()
    facts = [stored(tmp_path / "out", run.digest)["facts"] for run in plain.plan.runs]
    assert not any("merit" in each for each in facts)
    of_both = zip(plain.plan.runs, chosen.plan.runs, strict=True)
    same = [
        stored(tmp_path / "out", first.digest)["tests"] == stored(tmp_path / "out", second.digest)["tests"]
        for first, second in of_both
    ]
    assert all(same)  # a merit changes no score


@pytest.mark.slow
def test_one_candidate_is_its_own_choice(tmp_path: Path, made_study: Any) -> None:
    config = made_study.config(
        tasks=[{"task": "seen"}, {"task": "graded", "outcome": "at least some"}],
        fractions=[1.0, 0.5],
        choice={"encoders": ["A"], "ways": ["linear"], "name": "the only one"},
    )
    result = do(made_study, tmp_path / "out", config)
    rows = {tuple(row.cells().values())[:5]: row for row in result.rows}
    chosen = [row for row in result.rows if row.encoder == CHOSEN]
    assert len(chosen) == 3 * 2 * 2
    for row in chosen:
        only = rows["A", "linear", row.task, row.fraction, row.test_set]
        assert (row.way, row.auc, row.n_draws) == ("the only one", only.auc, only.n_draws)
        assert row.difference is not None
        assert (row.difference.value, row.difference.low, row.difference.high) == (0, 0, 0)
    assert len(result.costs) == 4 * 2 * 2
    for cost in result.costs:
        assert (cost.optimism.value, cost.optimism.low, cost.optimism.high) == (0, 0, 0)
        assert cost.n_candidates == 1


@pytest.mark.slow
def test_the_choice_is_the_same_whatever_the_answers_of_the_test_patients(
    tmp_path: Path, own_made_study: Callable[[], Any]
) -> None:
    own = own_made_study()
    config = own.config(tasks=[{"task": "seen"}], fractions=[1.0, 0.5], choice=CHOICE)
    do(own, tmp_path / "before", config)
    external = own.folder / "external.csv"
    header, *lines = external.read_text().splitlines()
    seen = header.split(",").index("seen")
    turned = [
        [*cells[:seen], "1" if cells[seen] == "0" else "0", *cells[seen + 1 :]]
        for cells in (x.split(",") for x in lines)
    ]
    external.write_text("\n".join([header, *(",".join(cells) for cells in turned)]) + "\n")
    do(own, tmp_path / "after", config)
    before, after = (
        [
            {key: value for key, value in choice.items() if key != "file"}
            for choice in record(tmp_path / name)["choices"]
        ]
        for name in ("before", "after")
    )
    assert before == after
    areas = [
        {
            row["encoder"]: float(row["auc"])
            for row in table(tmp_path / name / "results.csv")
            if row["test_set"] == "external"
        }
        for name in ("before", "after")
    ]
    assert all(areas[0][name] == pytest.approx(1 - areas[1][name]) for name in (CHOSEN, "A", "B"))


@pytest.mark.slow
def test_a_choice_that_was_stopped_goes_on_and_is_not_shown_before_all_candidates_are_done(
    tmp_path: Path, made_study: Any
) -> None:
    config = made_study.config(
        tasks=[{"task": "seen"}], fractions=[1.0], repeats=1, choice={"ways": ["linear"], "folds": 2}
    )
    stop = threading.Event()

    def stop_after_the_first_encoder(told: Any) -> None:
        if isinstance(told, RunsDone) and told.done == 3:
            stop.set()

    with pytest.raises(RunInterruptedError, match="the scores of 3 of 9 runs are kept"):
        do(made_study, tmp_path / "out", config, progress=stop_after_the_first_encoder, stop=stop)
    part = do(made_study, tmp_path / "out", config, minutes=0)
    assert {row.encoder for row in part.rows} <= {"A", "B"}
    assert not part.costs
    assert "choices" not in record(tmp_path / "out")
    whole = do(made_study, tmp_path / "out", config)
    assert whole.n_new == 9 - part.n_done
    at_once = do(made_study, tmp_path / "at-once", config)
    assert [row.cells() for row in whole.rows] == [row.cells() for row in at_once.rows]
    assert [row.cells() for row in whole.costs] == [row.cells() for row in at_once.costs]
    assert CHOSEN in {row.encoder for row in whole.rows}


@pytest.mark.slow
def test_where_nobody_can_be_held_out_the_first_candidate_is_taken_and_it_is_said(
    tmp_path: Path, made_study: Any
) -> None:
    config = made_study.config(
        tasks=[{"task": "seen"}], fractions=[0.01], min_patients=1, choice={"encoders": ["B", "A"], "ways": ["linear"]}
    )
    result = do(made_study, tmp_path / "out", config)
    choices = record(tmp_path / "out")["choices"]
    unheld = [choice for choice in choices if not choice["by_merit"]]
    assert unheld
    assert {choice["encoder"] for choice in unheld} == {"B"}
    assert any(f"{len(unheld)} of {len(choices)} choices could be made by no merit" in told for told in result.warnings)
    assert sum(cost.n_without_merit for cost in result.costs) == len(unheld)


def test_a_dry_run_counts_the_inner_trainings(tmp_path: Path, made_study: Any) -> None:
    config = made_study.config(choice=CHOICE)
    sides = 2 * 2 * (2 * 2 + 1 + 2 * 3 + 3)  # encoders, tasks, folds of repeats and the whole, of two fractions
    for cache in (made_study.cache, None):
        found = forecast_study(config, tmp_path / "out", cache=cache, site_key=made_study.site_key)
        linear, trees = found.runs
        assert (linear.n_runs, linear.n_inner, trees.n_inner) == (2 * 2 * 23, 3 * sides, 0)
        (said,) = (line for line in found.lines() if "'linear'" in line)
        assert f"{2 * 2 * 23} runs with up to {3 * sides} trainings of inner folds, " in said
    assert found.as_dict()["train"][0]["n_inner"] == 3 * sides


def test_candidates_are_in_the_order_given_and_of_the_fractions_and_draws_that_all_their_ways_have() -> None:
    values: dict[str, Any] = {
        "train": "train.csv",
        "tasks": [{"task": "seen"}],
        "encoders": [{"name": name, "encoder": name} for name in "abc"],
        "ways": [
            {"name": "w", "kind": "head", "fractions": [1.0, 0.5], "draws": 2},
            {"name": "v", "kind": "head", "encoders": ["a", "b"], "fractions": [0.5, 0.1]},
            {"name": "t", "kind": "fine-tune"},
        ],
        "baseline": {"encoder": "a", "way": "w"},
        "fractions": [1.0, 0.5, 0.1],
    }
    plain = checked_config(values, Path())
    assert (plain.candidates, plain.choice_fractions) == ([], [])
    every = checked_config({**values, "choice": {}}, Path())
    assert every.candidates == [("a", "w"), ("a", "v"), ("b", "w"), ("b", "v"), ("c", "w")]
    assert every.choice_fractions == [0.5]
    given = checked_config({**values, "choice": {"encoders": ["c", "a"], "ways": ["w"]}}, Path())
    assert given.candidates == [("c", "w"), ("a", "w")]
    assert given.choice_fractions == [1.0, 0.5]
    v, t = every.ways[1:]
    assert [merit_folds(every, "a", v, 0.5, draw, 0) for draw in range(3)] == [5, 5, 0]  # w has two draws
    assert merit_folds(every, "a", v, 0.1, 0, 0) == merit_folds(every, "a", t, 0.5, 0, 0) == 0
    for choice, message in (
        ({"ways": ["t"]}, "choice, ways: 't' trains networks"),
        ({"ways": ["x"]}, "choice, ways: there is no 'x'"),
        ({"encoders": ["x"]}, "choice, encoders: there is no 'x'"),
        ({"encoders": ["a", "a"]}, "choice, encoders: 'a' stands twice"),
        ({"fractions": [1.0]}, "choice, way 'v', fractions: there is no '1.0'"),
        (
            {"ways": ["v"], "encoders": ["c"]},
            "choice: none of its ways is a head that is done with any of its encoders",
        ),
        ({"name": "w"}, "choice: its name 'w' is that of a way"),
        ({"folds": 1}, "choice.folds: it must be greater than or equal to 2"),
    ):
        with pytest.raises(UsageError) as caught:
            checked_config({**values, "choice": choice}, Path())
        assert message in str(caught.value)
    ways = [{**values["ways"][0], "fractions": [1.0]}, {**values["ways"][1], "fractions": [0.1]}]
    with pytest.raises(UsageError, match="choice: its ways have no label fraction in common"):
        checked_config({**values, "ways": ways, "choice": {}}, Path())
