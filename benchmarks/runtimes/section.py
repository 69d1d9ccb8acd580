"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.page import command, run_facts, with_quartiles
from lusfx.report import markdown_table

INTRODUCTION = """## Runtimes and precisions

The encoder alone, on prepared frames that are in memory. The rival is {rival}, eager: what a network is when nothing is
done about its speed. Every way has the same weights, and is given a batch for each of its threads, as the pipeline gives
them: lusfx encodes the batches beside one another, torch one after the other on all threads. Ways take turns within a
round; ratios are of one round."""
DISTANCES = """### How far embeddings move

From those of {rival}, on {n_frames} synthetic frames: length of the difference over length of the embedding, and the
cosine after the mean embedding is taken off, which is what heads see."""


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    return "\n\n".join([INTRODUCTION.format(rival=result["rival"]), command(result), *_tables(result)])


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    return "\n\n".join([run_facts(result), f"rival: {result['rival']}", *_tables(result)]) + "\n"


def _tables(result: dict[str, Any]) -> list[str]:
    parts = []
    for subject in result["subjects"]:
        untrained = ", random weights" if subject["random_weights"] else ""
        parts.append(f"### {subject['encoder']}, {subject['size_px']} px{untrained}")
        parts += [f"Not here: {name} ({reason})." for name, reason in subject["not_here"].items()]
        parts.append(_timings(subject))
    parts.append(DISTANCES.format(rival=result["rival"], n_frames=result["plan"]["n_frames"]))
    parts.append(_distances(result))
    return parts


def _timings(subject: dict[str, Any]) -> str:
    names = list(subject["timings"][0]["s_a_frame"])
    rows = []
    for timing in subject["timings"]:
        cells = []
        for name in names:
            ms = f"{1000 * timing['s_a_frame'][name]['median']:.3g}"
            times = timing["times_as_fast"].get(name)
            cells.append(ms if times is None else f"{ms}; {with_quartiles(times, '{:.1f}')}")
        rows.append([str(timing["threads"]), str(timing["batch_size"]), *cells])
    title = "Milliseconds a frame; times as fast as the rival (quartiles)."
    return f"{title}\n\n{markdown_table(('threads', 'batch', *names), rows)}"


def _distances(result: dict[str, Any]) -> str:
    rows = [
        [
            subject["encoder"],
            name,
            f"{found['relative_median']:.2g} ({found['relative_largest']:.2g})",
            f"{found['centred_cosine_median']:.4f} ({found['centred_cosine_least']:.4f})",
        ]
        for subject in result["subjects"]
        for name, found in subject["distance_from_rival"].items()
    ]
    return markdown_table(
        ("encoder", "", "relative distance, median (largest)", "centred cosine, median (least)"), rows
    )
