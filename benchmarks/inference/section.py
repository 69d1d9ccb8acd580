"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.inference.cached import PAIRS
from benchmarks.page import command, in_ms, run_facts, said, with_quartiles
from lusfx.report import markdown_table

GOAL_POINTS = 1.0
GOAL_TASKS = 3
GOAL_TIMES = 1000
CACHED = {
    "heads": "the heads alone, on features in memory",
    "clips": "a clip read from the cache, checked and answered",
    "command": "the whole of `lusfx.score`, with loading the models and writing the table",
}
INTRODUCTION = """## Inference: one encoder and T heads against T networks

VanBerlo, Li, Hoey and Wong ([2023](https://doi.org/10.1109/ACCESS.2023.3337398)) compared compact classifiers on
one pretrained encoder with separate fine-tuned networks that run one after the other, and report that inference
took 49% less time. Heads that cost nothing would save (T-1)/T of the time for T tasks: that is the floor of what is
left, and the goal here is to come within one point of it."""
METHOD = """The rival: {rival}. It has the architecture of the encoder under test, runs on the same runtime with the same
options and threads, and each network has weights of its own in memory; so the ratio is about the design, and not
about the size of networks. Heads are task models as `lusfx` saves, loads and asks them, with all checks and Platt's
calibration. For single frames they are asked a frame at a time; for batches once about all frames, as `lusfx score`
asks them. The linear layers of the networks are the logistic heads with their scale and calibration folded in: both
ways then gave the same scores, to {difference:.0e} at most (beyond {limit:.0e} the run stops). An MLP head (32
units) is timed against the same networks. Where a clip is decoded, it is decoded once in either way: no design
saves that part, and the distance to the floor is mostly that. More than the floor is saved where T networks take more
than T times as long as one, because their weights drive one another out of the processor's cache, or by noise. Ways
take turns within a round, every other round backwards, and each answers one frame untimed before its turn, so that no
way finds its network warmer than another; a ratio is of one round, and medians and quartiles are over the rounds.
T = 1 is the control: there the ways differ by the heads alone, and what else its rows show is how far to trust the
others. Where a clip is decoded, the encoder's time is with decoding and preparing."""
FROM_CACHE = """### Scoring from the cache against encoding again

{n_clips} clips of {frames_a_clip} frames in a pack, {n_tasks} tasks, logistic heads. Encoding again is the product's
pipeline with the encoder loaded: reading, decoding, preparing and encoding {n_encoded} such clips, with nothing
written: the least that it can be, also beside the whole command. Packs are read from a file system that has them in
memory. The goal is {goal} times."""
FRAME_SCORES_GOAL = 1e6


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    parts = [INTRODUCTION, command(result), "What was reached:", _goals(result)]
    differences = [c["largest_difference_of_scores"] for s in result["subjects"] for c in s["comparisons"]]
    parts.append(METHOD.format(rival=result["rival"], difference=max(differences), limit=result["scores_same_within"]))
    for subject in result["subjects"]:
        untrained = ", random weights" if subject["random_weights"] else ""
        parts.append(f"### {subject['encoder']}, {subject['size_px']} px, {subject['dim']} values{untrained}")
        parts.append(_comparisons(subject))
    facts = result["subjects"][0]["cached"]
    parts.append(FROM_CACHE.format(goal=GOAL_TIMES, **facts))
    parts.append(_cached(result))
    return "\n\n".join(parts)


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    parts = [run_facts(result), f"rival: {result['rival']}", _goals(result)]
    for subject in result["subjects"]:
        parts.append(f"{subject['encoder']}\n\n{_comparisons(subject)}")
    return "\n\n".join([*parts, _cached(result)]) + "\n"


def _comparisons(subject: dict[str, Any]) -> str:
    """A row a runtime, input and head; under each T what was saved."""
    first = subject["comparisons"][0]["tasks"]
    goal = min(range(len(first)), key=lambda at: abs(first[at]["n_tasks"] - GOAL_TASKS))
    header = ["runtime", "input", "encoder, ms a frame", "head"]
    header += [f"saved, T = {task['n_tasks']}" for task in first]
    header += [f"T = {first[goal]['n_tasks']}: networks, ms", "one encoder, ms", "ratio (quartiles)"]
    floor = ["", "", "", "*floor*", *(f"*{task['floor_percent']:.1f}%*" for task in first), "", "", ""]
    rows = [floor]
    for comparison in subject["comparisons"]:
        for kind in comparison["tasks"][0]["heads"]:
            heads = [task["heads"][kind] for task in comparison["tasks"]]
            ratio = heads[goal]["ratio"]
            rows.append(
                [
                    comparison["runtime"],
                    comparison["title"],
                    _ms(comparison["encoder_s_a_frame"]),
                    kind,
                    *(f"{head['saved_percent']:.1f}%" for head in heads),
                    in_ms(comparison["tasks"][goal]["separate_s_a_frame"]),
                    in_ms(heads[goal]["shared_s_a_frame"]),
                    with_quartiles(ratio, "{:.3f}"),
                ]
            )
    return markdown_table(header, rows)


def _cached(result: dict[str, Any]) -> str:
    rows = []
    for subject in result["subjects"]:
        cached = subject["cached"]
        for pair, (one, other) in cached["pairs"].items():
            times = cached["times_as_fast"][pair]
            rows.append(
                [
                    subject["encoder"],
                    CACHED[pair],
                    in_ms(cached["seconds_a_clip"][one]),
                    in_ms(cached["seconds_a_clip"][other]),
                    with_quartiles(times, "{:.0f}"),
                ]
            )
    header = ("encoder", "from the cache", "ms a clip", "again, ms a clip", "times as fast (quartiles)")
    return markdown_table(header, rows)


def _goals(result: dict[str, Any]) -> str:
    """What was reached of both goals, whatever it is: frames without decoding, T = 3, logistic heads."""
    lines = []
    for subject in result["subjects"]:
        for comparison in subject["comparisons"]:
            tasks = [task for task in comparison["tasks"] if task["n_tasks"] == GOAL_TASKS]
            if comparison["decodes"] or not tasks:
                continue
            head = tasks[0]["heads"]["logistic"]
            short = head["short_of_floor_points"]
            lines.append(
                f"* {subject['encoder']}, {comparison['runtime']}, {comparison['title']}: {GOAL_TASKS} tasks save "
                f"{head['saved_percent']:.1f}% of {tasks[0]['floor_percent']:.1f}%, "
                f"{'within' if short <= GOAL_POINTS else 'not within'} one point of the floor"
            )
        times = subject["cached"]["times_as_fast"]
        for pair in PAIRS:
            factor = times[pair]["median"]
            reached = said(factor >= GOAL_TIMES)
            lines.append(
                f"* {subject['encoder']}, {CACHED[pair]}: {factor:.0f} times as fast; {GOAL_TIMES} is {reached}"
            )
        if "frame_scores_a_second" in subject["cached"]:
            lines.append(_frame_scores(subject))
    return "\n".join(lines)


def _frame_scores(subject: dict[str, Any]) -> str:
    cached = subject["cached"]
    rate = cached["frame_scores_a_second"]["median"]
    reached = said(rate >= FRAME_SCORES_GOAL)
    return (
        f"* {subject['encoder']}, {cached['n_frame_tasks']} tasks that are asked of every frame, MLP heads, from the cache "
        f"in one pass: {rate / 1e6:.2f} million scores a second on one core; 1 million is {reached}"
    )


def _ms(spread: dict[str, float]) -> str:
    return f"{1000 * spread['median']:.3g}"
