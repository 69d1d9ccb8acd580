"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.extraction.plan import title
from benchmarks.page import command, run_facts, said, with_quartiles
from lusfx.engine.extraction.extract import BATCH_SIZE
from lusfx.report import markdown_table

GOAL_TIMES = {"float32": 5.0, "bfloat16": 9.0}
GOAL_SHARE = 0.9
GOAL_WRITING = 0.05
GOAL_SAMPLING, LARGE_PX = (2.0, 3.0), 224
"""Of small frames, and of frames of so many pixels a side: the larger, the more of the work is encoding."""
GOAL_FIRST_S = 1.5
GOAL_MEMORY_MB = 600
INTRODUCTION = """## Extraction: the pipeline against a plain loop

Every frame of {clips} {origin} clips of {width} x {height}, {frames} frames in all. The rivals:

{rivals}

They find no beam and write nothing, and have {rival_clips} of the clips, since they are slow; rates are compared. The
pipeline does all that `lusfx extract` does but write; *whole extraction* writes, too, into a new cache. Encoders are loaded
before; decoding processes are started within the time that is measured, which tells most where it is short. The bound is
what decoding and encoding could reach together if each were as fast as it is alone, with a decoder on every core: on a CPU
the same cores do both, so their times add up; a GPU encodes while the CPU decodes. It is that of float32, and more than all
of it is noise. The goals: {times:g} times the plain
loop ({times_bfloat16:g} in bfloat16), {share:.0%} of the bound, {writing:.0%} of the time for writing (what *whole
extraction* takes longer than the pipeline), {first_s} s to the first embedding, {memory} MB for all processes."""
COMMAND = """### The command

`lusfx extract` with {encoder}, from its start to the first clip that is safely in a new cache: {first} s. All its processes
together took {memory} at most."""


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    introduction = INTRODUCTION.format(
        **result["material"],
        origin="real" if result["material"]["given"] else "synthetic",
        rivals="\n".join(f"* **{name}**: {text}" for name, text in result["rivals"].items()),
        times=GOAL_TIMES["float32"],
        times_bfloat16=GOAL_TIMES["bfloat16"],
        share=GOAL_SHARE,
        writing=GOAL_WRITING,
        first_s=GOAL_FIRST_S,
        memory=GOAL_MEMORY_MB,
    )
    return "\n\n".join([introduction, command(result), "What was reached:", _goals(result), *_tables(result)])


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    rivals = "\n".join(f"{name}: {text}" for name, text in result["rivals"].items())
    return "\n\n".join([run_facts(result), rivals, _goals(result), *_tables(result)]) + "\n"


def _tables(result: dict[str, Any]) -> list[str]:
    parts = []
    for subject in result["subjects"]:
        untrained = ", random weights" if subject["random_weights"] else ""
        parts.append(f"### {subject['encoder']}, {subject['size_px']} px{untrained}")
        parts.append(_rates(subject))
    command = result["as_command"]
    memory = command["peak_memory_mb"]
    first = with_quartiles(command["first_embedding_s"], "{:.2f}")
    told = "an amount of memory that this system does not tell" if memory is None else f"{memory} MB"
    return [*parts, COMMAND.format(encoder=command["encoder"], first=first, memory=told)]


def _rates(subject: dict[str, Any]) -> str:
    rows = []
    for way, rate in subject["frames_a_s"].items():
        times, share = (subject[name].get(way) for name in ("times_the_plain_loop", "share_of_bound"))
        rows.append(
            [
                way,
                with_quartiles(rate, "{:.0f}"),
                "" if times is None else with_quartiles(times, "{:.1f}"),
                "" if share is None or way.endswith("bfloat16") else f"{share['median']:.0%}",
            ]
        )
    return markdown_table(("way", "frames/s (quartiles)", "times the plain loop", "of the bound"), rows)


def _goals(result: dict[str, Any]) -> str:
    """What was reached of the goals, whatever it is, by the default number of decoders and the default batch."""
    lines = []
    for subject in result["subjects"]:
        for precision, goal in GOAL_TIMES.items():
            way = _default_way(result, precision)
            if way not in subject["frames_a_s"]:
                continue
            times = subject["times_the_plain_loop"][way]["median"]
            text = f"* {subject['encoder']}, {precision}: {times:.1f} times the plain loop, {said(times >= goal)}"
            if precision == "float32":
                share = subject["share_of_bound"][way]["median"]
                text += f"; {share:.0%} of the bound, {said(share >= GOAL_SHARE)}"
            lines.append(text)
        writing = subject["writing_cost"]["median"]
        lines.append(f"* {subject['encoder']}: writing costs {writing:.1%} of the time, {said(writing < GOAL_WRITING)}")
        if "sampling_gain" in subject:  # which older results lack
            gain, goal = subject["sampling_gain"]["median"], GOAL_SAMPLING[subject["size_px"] >= LARGE_PX]
            text = f"every fourth frame (`--fps`) takes a clip {gain:.1f} times as fast as all"
            lines.append(f"* {subject['encoder']}: {text}, {said(gain >= goal)}")
    first, memory = result["as_command"]["first_embedding_s"]["median"], result["as_command"]["peak_memory_mb"]
    lines.append(f"* first embedding after {first:.2f} s, {said(first < GOAL_FIRST_S)}")
    if memory is not None:
        lines.append(f"* {memory} MB for all processes, {said(memory < GOAL_MEMORY_MB)}")
    return "\n".join(lines)


def _default_way(result: dict[str, Any], precision: str) -> str:
    return title(result["default_workers"], BATCH_SIZE, precision)
