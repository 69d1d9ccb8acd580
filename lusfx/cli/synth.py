"""``lusfx synth``."""

from __future__ import annotations

from pathlib import Path

import click

from lusfx.cli import terminal


@click.command(name="synth", short_help="Write a small archive of synthetic clips with labels.")
@click.argument("out", type=terminal.DIRECTORY)
@click.option("--patients", type=click.IntRange(1, 100_000), default=24, show_default=True, help="Patients.")
@click.option("--clips", type=click.IntRange(1, 100), default=3, show_default=True, help="Clips of each patient.")
@click.option("--frames", type=click.IntRange(1, 10_000), default=24, show_default=True, help="Frames of each clip.")
@click.option(
    "--first-patient", type=click.IntRange(1), default=1, show_default=True, help="Number of the first patient."
)
@terminal.seed_option
def command(out: Path, patients: int, clips: int, frames: int, first_patient: int, seed: int) -> None:
    """Write synthetic clips and a label table into OUT: something to try lusfx on, and no substitute for real exams."""
    from lusfx.synth import write_archive

    write_archive(
        out,
        n_patients=patients,
        clips_per_patient=clips,
        n_frames=frames,
        seed=seed,
        first_patient=first_patient,
    )
    click.echo(f"{patients * clips} synthetic clips of {patients} synthetic patients, with labels.csv")
