"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.page import command, run_facts, said, with_quartiles
from lusfx.report import markdown_table

GOAL_TRAINING_S = 60
GOAL_ROWS = 1e6
INTRODUCTION = """## Heads: training and answering

{n_features} features a row, made up: few causes, noise, rectified. The rivals, which are called as their documentation
says, one call for the same rows:

{rivals}

Answers are on one thread. The goals: less than {training_s} s for training on 100,000 rows, and {rows:,.0f} frame scores a
second by an MLP head."""


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    introduction = INTRODUCTION.format(
        n_features=result["plan"]["n_features"],
        rivals="\n".join(f"* **{kind}**: {text}" for kind, text in result["rivals"].items()),
        training_s=GOAL_TRAINING_S,
        rows=GOAL_ROWS,
    )
    return "\n\n".join([introduction, command(result), "What was reached:", _goals(result), *_tables(result)])


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    rivals = "\n".join(f"rival, {kind}: {text}" for kind, text in result["rivals"].items())
    return "\n\n".join([run_facts(result), rivals, _goals(result), *_tables(result)]) + "\n"


def _goals(result: dict[str, Any]) -> str:
    most = max(result["plan"]["train_rows"])
    lines = []
    for trained in result["training"]:
        if trained["n_rows"] == most:
            reached = "within" if trained["seconds"] < GOAL_TRAINING_S else "not within"
            lines.append(
                f"* {trained['head']}, training on {most:,} rows: {trained['seconds']:.1f} s, {reached} {GOAL_TRAINING_S} s"
            )
    rate = max(call["rows_a_s"]["median"] for call in result["calls"] if call["head"] == "mlp")
    reached = said(rate >= GOAL_ROWS)
    lines.append(f"* mlp, answers: {rate:,.0f} a second; {GOAL_ROWS:,.0f} is {reached}")
    return "\n".join(lines)


def _tables(result: dict[str, Any]) -> list[str]:
    return [
        "### Training",
        _training(result),
        "### One call",
        _calls(result),
        "### Several tasks about the same rows, answers a second",
        _scaling(result),
    ]


def _training(result: dict[str, Any]) -> str:
    numbers = result["plan"]["train_rows"]
    seconds = {(trained["head"], trained["n_rows"]): trained["seconds"] for trained in result["training"]}
    rows = [[kind, *(f"{seconds[kind, number]:.2f}" for number in numbers)] for kind in result["rivals"]]
    return markdown_table(("head", *(f"{number:,} rows, s" for number in numbers)), rows)


def _calls(result: dict[str, Any]) -> str:
    rows = []
    for call in result["calls"]:
        times = call["times_as_fast"]
        rows.append(
            [
                call["head"],
                f"{call['n_rows']:,}",
                *(f"{1e6 * call['s_a_call'][name]['median']:,.3g}" for name in ("lusfx", "rival")),
                with_quartiles(times, "{:.1f}"),
                f"{call['rows_a_s']['median']:,.0f}",
            ]
        )
    header = ("head", "rows", "lusfx, µs", "rival, µs", "times as fast (quartiles)", "lusfx, rows a second")
    return markdown_table(header, rows)


def _scaling(result: dict[str, Any]) -> str:
    counts = [str(number) for number in result["plan"]["task_counts"]]
    rows = [
        [facts["head"], f"{facts['n_rows']:,}", *(f"{facts['answers_a_s'][n]['median']:,.0f}" for n in counts)]
        for facts in result["scaling"]
    ]
    return markdown_table(("head", "rows", *(f"{number} tasks" for number in counts)), rows)
