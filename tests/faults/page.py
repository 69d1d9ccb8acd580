"""The table of docs/reliability.md, made from what the full form measured: ``python -m tests.faults.page`` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

MEASURED = Path(__file__).parent / "measured.json"
HEADER = ("promise", "measured", "by")


def _models(row: Mapping[str, Any]) -> str:
    return (
        f"{row['trials']:,} damaged or hostile task models and encoder directories: {row['refused']:,} refused by an error of "
        f"lusfx, {row['the same']:,} answered to the bit as before, {row['another']:,} answered as the other model that their "
        f"author made of them; {row['broken']} crashed, hung, ran code, opened another file or answered anything else"
    )


def _bad_files(row: Mapping[str, Any]) -> str:
    codes = ", ".join(f"`{code}` {count:,}" for code, count in sorted(row["codes"].items(), key=lambda item: -item[1]))
    return (
        f"{row['spoilt']:,} spoilt files among {row['good']} good ones: all good ones encoded to the bit as without them; "
        f"{row['failed']:,} failed and {row['skipped']:,} skipped, each with its code ({codes}); the other spoilt ones were "
        f"still read; exit code 3; at most {row['peak_mib']:,} MiB of memory"
    )


def _cut(row: Mapping[str, Any]) -> str:
    return (
        f"{row['cut']:,} files cut short: {row['partly read']:,} were read in part, and of these {row['made-up frames']} had a "
        f"frame that is not the whole file's, {row['silent gaps']} lacked frames without a note"
    )


def _other_files(row: Mapping[str, Any]) -> str:
    return (
        f"{row['traps']:,} scripts, playlists, references and links: {row['other files opened']} other files opened, as the "
        "kernel tells"
    )


def _live(row: Mapping[str, Any]) -> str:
    return f"{row['traps']} of them make FFmpeg open the other file, where it is given a path and may guess the format"


def _leaks(row: Mapping[str, Any]) -> str:
    return (
        f"{row['planted']} leaks planted: {row['refused']} refused, {row['impossible']} shown to be impossible (what is "
        "changed on the test side changes no answer there)"
    )


def _shuffles(row: Mapping[str, Any]) -> str:
    return f"the 95% interval of the AUC covers 0.5 in {row['cover 0.5']} of {row['runs']} runs ({100 * row['share']:.1f}%)"


def _canaries(row: Mapping[str, Any]) -> str:
    return (
        f"canaries in every element of text that DICOM knows (some 2,500, and again within a sequence), in names and in cells; "
        f"{row['commands']} commands, most of which fail: "
        f"{row['hits']} hits in {row['files written']} files, both output streams, warnings and logs, as text, UTF-16, "
        "hexadecimal and base64"
    )


def _clock(row: Mapping[str, Any]) -> str:
    return (
        f"{row['clips']} clips under {row['clocks']} clocks, ten years off either way: {row['differences']} differences"
    )


def _writing(row: Mapping[str, Any]) -> str:
    ways = ", ".join(f"{way} {count}" for way, count in row["ways"].items())
    return (
        f"{row['operations']} operations ended at each of their calls that change the file system, {row['trials']} trials "
        f"({ways}): {row['neither old nor new']} left something that is neither old nor new"
    )


def _full_disk(row: Mapping[str, Any]) -> str:
    return (
        f"a disk that is full after {row['encoded before']} of {row['clips']} clips: one line, exit code 1, {row['damaged']} "
        "damaged; with room again the next run does the rest"
    )


ROWS = {
    "models run no code": ("Models run no code", _models, "test_models.py"),
    "one bad file never stops a run": ("One bad file never stops a run", _bad_files, "test_bad_files.py"),
    "files that were cut short": ("A frame that is encoded is a frame of the file", _cut, "test_bad_files.py"),
    "inputs cannot read other files": ("Inputs cannot read other files", _other_files, "test_other_files.py"),
    "traps that are live": ("(these traps are live)", _live, "test_other_files.py"),
    "no patient data leak": ("No patient data leak", _canaries, "test_canaries.py"),
    "evaluation refuses leaks": ("Evaluation refuses leaks", _leaks, "test_leaks.py"),
    "intervals of shuffled labels": ("Where nothing is to be found, nothing is found", _shuffles, "test_leaks.py"),
    "the clock does not matter": ("The clock does not matter", _clock, "test_clock.py"),
    "writing is whole or not at all": ("Writing is whole or not at all", _writing, "test_disk.py"),
    "a full disk": ("A full disk does no damage", _full_disk, "test_disk.py"),
}


def table() -> str:
    """The table as it must stand in the page."""
    measured = json.loads(MEASURED.read_text())
    lines = [HEADER, ("---",) * len(HEADER)]
    lines += [(promise, say(measured[row]), f"`tests/faults/{file}`") for row, (promise, say, file) in ROWS.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    print(table())
