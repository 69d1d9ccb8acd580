"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.cache.measurement import LOOK, RERUN
from benchmarks.cache.reading import MEMORY_MAP, PACKS
from benchmarks.page import command, run_facts, said, with_quartiles
from lusfx.report import markdown_table

GOAL_SHARE = 0.5
GOAL_FILES, GOAL_S = 100_000, 60
INTRODUCTION = """## The cache: reading, running again, writing

Made-up embeddings, clips of {frames} frames of {dim} values in float16. Each way ends with every value of a clip in
memory of its own, clip by clip; files are read from a file system that has them in memory, so that these are the costs
of the layouts and not of a disk. lusfx has then checked each clip against its checksum, and no rival checks anything."""
FILES = """### Against a file a clip

{n_clips} clips. The HDF5 files with a chunk a row are laid out as toolkits for whole-slide pathology do it where a dataset may
grow."""
RERUN_WORDS = """### A run that finds nothing to do

{n_files} source files that have not changed, and their clips in packs: `lusfx.extract` with its ledger, the encoder loaded,
beside a look at every file's size and times and nothing else."""
WRITING = """### Writing

{n_clips} clips, each durable before the next. Packing reads loose clips, writes a pack, reads it back and removes them."""


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    introduction = INTRODUCTION.format(**result["plan"])
    return "\n\n".join([introduction, command(result), "What was reached:", _goals(result), *_tables(result)])


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    return "\n\n".join([run_facts(result), _goals(result), *_tables(result)]) + "\n"


def _goals(result: dict[str, Any]) -> str:
    lines = []
    for archive in result["archives"]:
        share = 1 / archive["times_as_long"][PACKS]["median"]
        reached = said(share >= GOAL_SHARE)
        lines.append(
            f"* {archive['n_clips']} clips from packs, checked: {100 * share:.0f}% of the rate of a plain memory map; "
            f"{100 * GOAL_SHARE:.0f}% is {reached}"
        )
    rerun = result["rerun"]
    seconds = rerun["seconds"][RERUN]["median"]
    limit = f"; {GOAL_S} s is {said(seconds < GOAL_S)}" if rerun["n_files"] == GOAL_FILES else ""
    lines.append(f"* a run over {rerun['n_files']} files that have not changed: {seconds:.1f} s{limit}")
    return "\n".join(lines)


def _tables(result: dict[str, Any]) -> list[str]:
    files, rerun, writing = result["files"], result["rerun"], result["writing"]
    return [
        "### Whole archives from packs",
        _archives(result),
        FILES.format(**files),
        _ways(files, result["bytes_a_clip"]),
        RERUN_WORDS.format(**rerun),
        markdown_table(
            ("way", "s (quartiles)", "µs a file"),
            [
                [name, with_quartiles(spread), f"{1e6 * spread['median'] / rerun['n_files']:.3g}"]
                for name, spread in ((name, rerun["seconds"][name]) for name in (RERUN, LOOK))
            ],
        ),
        WRITING.format(**writing),
        _ways(writing, result["bytes_a_clip"]),
    ]


def _archives(result: dict[str, Any]) -> str:
    """A row an archive."""
    rows = []
    for archive in result["archives"]:
        longer = archive["times_as_long"][PACKS]
        seconds = archive["seconds_a_clip"]
        rows.append(
            [
                str(archive["n_clips"]),
                str(archive["n_packs"]),
                with_quartiles(seconds[PACKS], unit=1e6),
                f"{result['bytes_a_clip'] / seconds[PACKS]['median'] / 1e9:.2f}",
                with_quartiles(seconds[MEMORY_MAP], unit=1e6),
                f"{1 / longer['median']:.2f} ({1 / longer['q3']:.2f} to {1 / longer['q1']:.2f})",
            ]
        )
    header = (
        "clips",
        "packs",
        f"{PACKS}, µs a clip",
        "GB/s",
        f"{MEMORY_MAP}, µs a clip",
        "share of its rate (quartiles)",
    )
    return markdown_table(header, rows)


def _ways(facts: dict[str, Any], bytes_a_clip: int) -> str:
    """A row a way; each is compared with the base, which has a row of its own."""
    rows = []
    for name, spread in facts["seconds_a_clip"].items():
        longer = facts["times_as_long"].get(name)
        ratio = "1" if longer is None else with_quartiles(longer)
        rows.append([name, with_quartiles(spread, unit=1e6), f"{bytes_a_clip / spread['median'] / 1e9:.3g}", ratio])
    return markdown_table(("way", "µs a clip (quartiles)", "GB/s", f"times as long as: {facts['base']}"), rows)
