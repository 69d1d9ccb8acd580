"""The page about performance is what the kept results say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from benchmarks.__main__ import main
from benchmarks.catalogue import BENCHMARKS
from benchmarks.page import page, table

ROOT = Path(__file__).parents[2]
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
PAGE = ROOT / "docs" / "performance.md"


@pytest.fixture
def result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((ROOT / "benchmarks" / "results" / "inference.json").read_text(encoding="utf-8"))
    return found


def test_the_page_is_what_the_generator_makes_of_the_kept_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page([json.loads(path.read_text(encoding="utf-8")) for path in RESULTS])


def test_the_command_prints_the_page() -> None:
    words = [word for path in RESULTS for word in ("--page", str(path))]
    found = CliRunner().invoke(main, words)
    assert found.exit_code == 0, found.output
    assert found.output == PAGE.read_text(encoding="utf-8")


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
    assert table(("a", "b"), [("1", "2")]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"


@pytest.mark.parametrize("words", [[], ["inference", "--page", str(RESULTS[0])], ["nothing"]])
def test_neither_and_both_are_refused(words: list[str]) -> None:
    assert CliRunner().invoke(main, words).exit_code == 2
