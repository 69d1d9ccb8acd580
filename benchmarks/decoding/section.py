"""What the result of the benchmark says, in words and tables."""

from __future__ import annotations

from typing import Any

from benchmarks.page import command, in_ms, run_facts, said, with_quartiles
from lusfx.report import markdown_table

GOAL_DICOM = 2.0
GOAL_BEAM = 0.1
INTRODUCTION = """## Decoding: files to frames

All on one thread. The rivals: {video}, for video; {dicom}, for DICOM. The goals: DICOM {goal_dicom:g} times as fast, and
less than {goal_beam:.0%} of a clip's time for finding its beam."""
METHOD = """Preparing is finding the beam on frames of the whole clip, blanking what is outside, cutting and resizing to
{size_px} px; the rival for video finds no beam and resizes whole frames. Of DICOM, both ways end in grey frames of 8
bits that are the same to {difference} grey levels. *Pydicom alone* is pydicom without the codecs that lusfx installs; it
decodes run lengths in Python then, and JPEG and JPEG-LS not at all. Most of either way's time for JPEG-LS, and half of it
for run lengths, is that of the codec, which is the same one. *In colour* is grey tissue with coloured marks beside it,
stored as JPEG's YBR or as RGB."""


def section(result: dict[str, Any]) -> str:
    """Markdown of the whole result."""
    introduction = INTRODUCTION.format(**result["rivals"], goal_dicom=GOAL_DICOM, goal_beam=GOAL_BEAM)
    difference = max(facts["largest_difference_grey_levels"] for facts in result["dicom"])
    method = METHOD.format(size_px=result["video"]["size_px"], difference=difference)
    return "\n\n".join([introduction, command(result), "What was reached:", _goals(result), method, *_tables(result)])


def summary(result: dict[str, Any]) -> str:
    """What is printed after a run: the section, without what does not change from run to run."""
    rivals = "\n".join(f"rival, {name}: {text}" for name, text in result["rivals"].items())
    return "\n\n".join([run_facts(result), rivals, _goals(result), *_tables(result)]) + "\n"


def _goals(result: dict[str, Any]) -> str:
    lines = []
    for facts in result["dicom"]:
        for rival, times in facts["times_as_fast"].items():
            reached = said(times["median"] >= GOAL_DICOM)
            lines.append(
                f"* {facts['syntax']}, {facts['look']}: {times['median']:.1f} times as fast as {rival}; "
                f"{GOAL_DICOM:g} is {reached}"
            )
    share = result["video"]["beam_share"]["median"]
    reached = said(share < GOAL_BEAM)
    before = result["video"]["beam_share_before_encoding"]["median"]
    lines.append(
        f"* finding the beam: {share:.1%} of decoding, preparing and encoding a clip with {result['video']['encoder']}; "
        f"less than {GOAL_BEAM:.0%} is {reached}. Of decoding and preparing alone it is {before:.1%}"
    )
    return "\n".join(lines)


def _tables(result: dict[str, Any]) -> list[str]:
    return ["### Video", _video(result["video"]), "### DICOM", _dicom(result["dicom"])]


def _video(facts: dict[str, Any]) -> str:
    rows = []
    for part in ("decoded", "prepared"):
        ours, theirs = (facts["s_a_frame"][name] for name in (part, f"{part} by the rival"))
        rows.append([part, in_ms(ours), in_ms(theirs), with_quartiles(facts["times_as_fast"][part], "{:.2f}")])
    title = (
        f"{facts['n_frames']} frames of {facts['width']} x {facts['height']} in H.264; "
        f"finding the beam takes {in_ms(facts['beam_s'])} ms a clip."
    )
    return f"{title}\n\n{markdown_table(('', 'lusfx, ms a frame', 'rival, ms a frame', 'times as fast (quartiles)'), rows)}"


def _dicom(files: list[dict[str, Any]]) -> str:
    rows = [
        [
            facts["syntax"],
            facts["look"],
            in_ms(facts["s_a_frame"]["lusfx"]),
            rival,
            in_ms(facts["s_a_frame"][rival]),
            with_quartiles(times, "{:.2f}"),
        ]
        for facts in files
        for rival, times in facts["times_as_fast"].items()
    ]
    title = f"{files[0]['n_frames']} frames of {files[0]['width']} x {files[0]['height']}."
    header = (
        "transfer syntax",
        "frames",
        "lusfx, ms a frame",
        "rival",
        "rival, ms a frame",
        "times as fast (quartiles)",
    )
    return f"{title}\n\n{markdown_table(header, rows)}"
