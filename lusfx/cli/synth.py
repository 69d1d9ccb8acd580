"""``lusfx synth``."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from lusfx.cli import output, terminal


@click.command(name="synth")
@click.argument("out", type=terminal.DIRECTORY)
@click.option("--patients", type=click.IntRange(1, 100_000), default=24, show_default=True, help="Patients.")
@click.option("--clips", type=click.IntRange(1, 100), default=3, show_default=True, help="Clips of each patient.")
@click.option("--frames", type=click.IntRange(1, 10_000), default=24, show_default=True, help="Frames of each clip.")
@click.option(
    "--first-patient", type=click.IntRange(1), default=1, show_default=True, help="Number of the first patient."
)
@click.option(
    "--site",
    type=click.Choice(["local", "external", "varied", "varied-clear"]),
    default="local",
    show_default=True,
    help="Hospital: its own machines, patients and mix of diseases; varied: another machine for each patient, exams that are "
    "hard to read; varied-clear: the same, easy to read.",
)
@click.option(
    "--format",
    "clip_format",
    type=click.Choice(["mp4", "dicom", "mixed"]),
    default="mp4",
    show_default=True,
    help="Video files, DICOM in several transfer syntaxes, or both.",
)
@terminal.seed_option
@terminal.force_option
@terminal.json_option
def command(
    out: Path,
    patients: int,
    clips: int,
    frames: int,
    first_patient: int,
    site: str,
    clip_format: Literal["mp4", "dicom", "mixed"],
    seed: int,
    force: bool,
    as_json: bool,
) -> None:
    """Write synthetic clips and label tables into OUT: something to try lusfx on, and no substitute for real
    exams. OUT is a new directory, or an empty one."""
    from lusfx.synth import write_archive

    with terminal.count_bar("synth") as progress:
        labels = write_archive(
            out,
            n_patients=patients,
            clips_per_patient=clips,
            n_frames=frames,
            seed=seed,
            first_patient=first_patient,
            site=site,
            clip_format=clip_format,
            force=force,
            progress=progress,
        )
    if as_json:
        facts = {"site": site, "patients": patients, "clips": patients * clips, "format": clip_format, "seed": seed}
        terminal.print_json(facts | {"labels": labels.name, "frame_labels": "frames.csv"})
        return
    output.say(
        f"{patients * clips} synthetic clips of {patients} synthetic patients of the site '{site}', "
        "with labels.csv and frames.csv"
    )
