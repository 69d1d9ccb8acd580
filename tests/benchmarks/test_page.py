"""The page about performance is what the kept results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import kept, main
from benchmarks.catalogue import BENCHMARKS
from benchmarks.page import page
from benchmarks.request import Request
from lusfx.report import markdown_table

ROOT = Path(__file__).parents[2]
RESULTS = kept(ROOT / "benchmarks" / "results")
PAGE = ROOT / "docs" / "performance.md"


@pytest.fixture
def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "inference.json").read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_generator_makes_of_the_kept_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page([json.loads(path.read_text(encoding="utf-8")) for path in RESULTS])


def test_the_command_prints_the_page() -> None:
    found = CliRunner().invoke(main, ["--page", str(RESULTS[0].parent)])
    assert found.exit_code == 0, found.output
    assert found.output == PAGE.read_text(encoding="utf-8")


def test_every_kept_file_is_on_the_page() -> None:
    assert {*RESULTS} == {*RESULTS[0].parent.glob("*.json")}


def test_the_page_tells_whether_its_results_are_of_one_run(result: dict[str, Any]) -> None:
    other = result | {"run": "another"}
    once = page([result, result])
    assert "All results are of one run" in once
    assert once.count(result["machine"]["system"]) == 1
    twice = page([result, other])
    assert "The results are of 2 runs" in twice
    assert twice.count(result["machine"]["system"]) == 2


def test_every_result_is_of_a_benchmark_and_says_which_run_it_is() -> None:
    for path in RESULTS:
        found = json.loads(path.read_text(encoding="utf-8"))
        assert found["benchmark"] in BENCHMARKS
        assert found["command"].startswith(f"python -m benchmarks {found['benchmark']} --size {found['size']}")
        assert found["command"] in PAGE.read_text(encoding="utf-8")
        assert {"date", "processor", "cores", "threads", "device", "packages", "python"} <= found["machine"].keys()


def goal_line(result: dict[str, Any], short: float) -> str:
    """What the page says of the goal for three tasks in batches, if it was missed by so much."""
    comparison = result["subjects"][0]["comparisons"][0]
    task = next(task for task in comparison["tasks"] if task["n_tasks"] == 3)
    task["heads"]["logistic"] |= {"short_of_floor_points": short, "saved_percent": task["floor_percent"] - short}
    return next(line for line in page([result]).splitlines() if "3 tasks save" in line)


def test_a_goal_that_was_missed_is_called_missed(result: dict[str, Any]) -> None:
    assert "save 66.4% of 66.7%, within one point" in goal_line(result, 0.3)
    assert "save 63.7% of 66.7%, not within one point" in goal_line(result, 3.0)


def test_a_cache_that_is_too_slow_is_called_so(result: dict[str, Any]) -> None:
    times = result["subjects"][0]["cached"]["times_as_fast"]
    times["clips"]["median"], times["heads"]["median"] = 999.4, 1000.0
    text = page([result])
    assert "checked and answered: 999 times as fast; 1000 is not reached" in text
    assert "on features in memory: 1000 times as fast; 1000 is reached" in text


def test_a_busy_machine_and_a_short_run_are_told(result: dict[str, Any]) -> None:
    result["size"], result["machine"]["load_before"] = "small", 3.0
    result["machine"]["cores"] = 2
    assert "other programs were computing" in page([result])
    assert "Not for keeps" in page([result])
    result["size"], result["machine"]["load_before"] = "full", 0.05
    assert "other programs were computing" not in page([result])
    assert "Not for keeps" not in page([result])


def test_a_table_is_markdown() -> None:
    assert markdown_table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize(
    "words", [["inference", "--page", str(ROOT)], ["--out", "x", "--page", str(ROOT)], ["nothing"]]
)
def test_what_measures_and_makes_a_page_at_once_and_what_is_unknown_is_refused(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2


def test_a_run_keeps_a_file_a_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Quick:
        def measure(self, _request: Request) -> dict[str, Any]:
            return {"found": 1}

        def summary(self, result: dict[str, Any]) -> str:
            return f"{result['benchmark']} found {result['found']}\n"

    monkeypatch.setattr("benchmarks.__main__.benchmark", lambda _name: Quick())
    found = CliRunner().invoke(main, ["--out", str(tmp_path / "results")])
    assert found.exit_code == 0, found.output
    files = [json.loads(path.read_text(encoding="utf-8")) for path in kept(tmp_path / "results")]
    assert [file["benchmark"] for file in files] == [*BENCHMARKS]
    assert len({file["run"] for file in files}) == 1
    assert f"{files[0]['benchmark']} found 1" in found.output
