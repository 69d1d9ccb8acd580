"""The table of docs/reliability.md, made from what the full form measured: ``python -m tests.faults.page`` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lusfx.report import markdown_table

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


def _corruption(row: Mapping[str, Any]) -> str:
    kinds = ", ".join(f"{kind} {count:,}" for kind, count in row["kinds"].items())
    return (
        f"{row['trials']:,} damages ({row['bits']:,} single bits, else cuts and blocks of zeros; {kinds}): {row['silent']} "
        f"silent, crashed or hung; `cache verify` or opening the cache told of {row['noticed']:,}, the others were in the two "
        f"indices and made none of the answers another; {row['repaired']} were mended by `cache repair` and an extraction, to "
        "the same embeddings"
    )


def _lost(row: Mapping[str, Any]) -> str:
    killed = row["killed"]
    extractions = killed.get("extract", 0) + killed.get("long", 0)
    return (
        f"{row['runs']:,} runs, {sum(killed.values()):,} of which `kill -9` ended before they were done (extractions "
        f"{extractions}, with a decoding process {killed.get('workers', 0)}, packings {killed.get('pack', 0)}; "
        f"{row['at a call']} at a call that changes the file system, the others at random times): {row['lost']} clips lost, "
        "unreadable or encoded again though they were there; the next run completes the cache, to the bit as a clean one"
    )


def _again(row: Mapping[str, Any]) -> str:
    kinds = "; ".join(
        f"of {kind} the next run decodes at most {of['begun again']['most']} again that it had begun, median "
        f"{of['begun again']['median']:g}, and encodes at most {of['encoded again']['most']} again that it had encoded, median "
        f"{of['encoded again']['median']:g}"
        for kind, of in (
            (f"{row['long']['clips']} clips of {row['long']['frames']} frames", row["long"]),
            (f"{row['short']['clips']} clips of a few frames", row["short"]),
        )
    )
    return f"{row['long']['runs'] + row['short']['runs']} of these runs that were extractions: {kinds}"


def _decoders(row: Mapping[str, Any]) -> str:
    return (
        f"in {row['runs']} extractions the decoding process was ended by `kill -9` at a random time, in {row['killed']} before "
        f"the work was done: the runs went on, in {row['failed']} the clip in its hand is recorded as failed (`decoder-died`), "
        "and all others are encoded"
    )


def _stopped(row: Mapping[str, Any]) -> str:
    return (
        f"{row['signals']} signals at random times ({row['with a decoding process']} to runs with a decoding process): "
        f"{row['stopped']} ended with exit code 130, {row['done before']} were done, {row['before it listened']} were ended "
        f"before they listened; {row['later']} took more than 2 s (longest {row['longest_s']:.1f} s); 0 temporary files, 0 "
        "processes left; the next run does the rest"
    )


def _side_by_side(row: Mapping[str, Any]) -> str:
    locks = ", ".join(f"{kind} {count}" for kind, count in row["locks"].items())
    return (
        f"{row['rounds']} rounds of 2 or 8 extractions of the same clips at once, {row['packings']} of them with a packing "
        f"(file locks: {locks}): {row['wrong']} with a clip lost or wrong"
    )


def _limits(row: Mapping[str, Any]) -> str:
    codes = ", ".join(
        f"`{code}` {row['codes'].get(code, 0)}"
        for code in ("decoder-died", "timed-out", "out-of-memory", "reader-error")
    )
    return (
        f"{row['deeds']} files that make a reader spin, wait, go on for ever, fail, crash or take all memory, each of them "
        f"recorded with its code ({codes}), {row['bombs']} bombs and headers that lie, and a clip of {row['frames']:,} "
        f"frames, among {row['good'] - 1} good clips, which are all encoded; at most {row['decoder_mib']} MiB (PSS) in a "
        f"decoding process that may take {row['memory_mb']} MB beyond what it has at rest, {row['run_mib']} MiB in the run"
    )


def _old_files(row: Mapping[str, Any]) -> str:
    return (
        f"a cache of {row['clips']} clips, {row['task models']} task models and an encoder, kept as they were written first: "
        f"{row['differences']} answers that are not those of then, also once the cache is packed by this version"
    )


def _full_disks(row: Mapping[str, Any]) -> str:
    return (
        f"{row['trials']} disks with room for 0 to {row['trials'] // 2 - 1} pages, for an extraction and for a packing each: "
        f"{row['full']} were too small ({row['packings']} for packing), {row['lost']} lost or damaged anything; with room "
        "again the next run does the rest"
    )


def _unwritable(row: Mapping[str, Any]) -> str:
    return (
        "a read-only cache of another user is read, and extracting into it is refused; of a cache that is moved away during a "
        f"run, {row['gone']} times, nothing is begun in its place, and what it held is sound: {row['wrong']} otherwise"
    )


def _hostile_caches(row: Mapping[str, Any]) -> str:
    return (
        f"{row['trials']} caches that have a pipe, a link (to a device, a file, a directory, nowhere, itself), a file of 40 GB "
        f"of holes or a directory in one of {row['places']} places, each given to 12 commands: in {row['problems']} a command "
        "hung, crashed or took all memory, anything outside was changed, or a file was not mended by `cache repair` and an "
        "extraction"
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
    "full disks": ("(at many sizes)", _full_disks, "test_disk.py"),
    "caches that cannot be written": ("A cache that cannot be written is left alone", _unwritable, "test_disk.py"),
    "no silent corruption": ("No silent corruption", _corruption, "test_corruption.py"),
    "hostile caches": ("A cache from a stranger leads nowhere else", _hostile_caches, "test_hostile_caches.py"),
    "old files stay readable": ("What an earlier version wrote stays readable", _old_files, "test_old_files.py"),
    "nothing acknowledged is lost": ("Nothing acknowledged is lost", _lost, "test_ended_runs.py"),
    "what a killed run has to do again": ("(little is done again)", _again, "test_ended_runs.py"),
    "killed decoding processes": ("(nor when a decoding process ends)", _decoders, "test_ended_runs.py"),
    "asked to stop": ("Ctrl-C and SIGTERM leave nothing behind", _stopped, "test_ended_runs.py"),
    "workers need no locks": ("Runs side by side need no locks", _side_by_side, "test_side_by_side.py"),
    "memory and time are bounded": ("Memory and time are bounded", _limits, "test_limits.py"),
}


def table() -> str:
    """The table as it must stand in the page."""
    measured = json.loads(MEASURED.read_text())
    rows = [(promise, say(measured[row]), f"`tests/faults/{file}`") for row, (promise, say, file) in ROWS.items()]
    return markdown_table(HEADER, rows)


if __name__ == "__main__":
    print(table())
