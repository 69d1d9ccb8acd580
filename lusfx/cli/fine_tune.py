"""``lusfx fine-tune``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import terminal
from lusfx.cli.bar import Stand, bar
from lusfx.cli.field_options import field_options
from lusfx.fine_tuning.settings import FineTuningSettings

if TYPE_CHECKING:
    from lusfx.calibration import CalibrationMethod
    from lusfx.contracts import Device
    from lusfx.fine_tuning.run import FineTuningProgress
    from lusfx.networks.decoded_frames import DecodingProgress

RANDOM = "random"


@click.command(name="fine-tune")
@click.argument("task")
@click.option("--labels", required=True, type=terminal.FILE, help="Label table (CSV or Parquet) that names files.")
@click.option(
    "--out",
    required=True,
    type=terminal.DIRECTORY,
    help="Directory of the task model; its encoder is in 'encoder' below.",
)
@click.option(
    "--encoder", help="Encoder to begin with, a name or a directory.  [default: lung-lite0, unless --architecture]"
)
@click.option("--architecture", help="Backbone to begin with, by timm's name, in place of an encoder.")
@click.option(
    "--layer",
    help="Layer of the architecture that gives the embedding: a module with a feature map, of which the mean is taken.  "
    "[default: global-pool, the whole network]",
)
@click.option("--weights", help="Safetensors file of the architecture's weights, or 'random'.  [default: random]")
@click.option(
    "--size",
    type=click.IntRange(32, 1024),
    help="Side of the frames in pixels.  [default: the encoder's own; 128 for an architecture]",
)
@click.option(
    "--frames-per-clip",
    type=click.IntRange(min=1),
    default=32,
    show_default=True,
    help="Frames kept of a clip, evenly spaced.",
)
@field_options(FineTuningSettings)
@click.option(
    "--calibration",
    type=click.Choice(["none", "platt", "isotonic"]),
    default="platt",
    show_default=True,
    help="How scores become probabilities; fitted on patients that were held out.",
)
@click.option("--folds", type=click.IntRange(2, 50), default=5, show_default=True, help="Cross-validation folds.")
@click.option(
    "--repeats",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Cross-validations with other folds.",
)
@click.option("--licence", help="Licence of the new encoder.  [default: that of the encoder it began as]")
@click.option(
    "--work",
    type=terminal.DIRECTORY,
    help="Directory that keeps the decoded frames for the next run.  [default: a temporary one beside --out]",
)
@terminal.device_option
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="CPU threads; 0 for one or all, whichever a short trial finds faster.",
)
@terminal.json_option
def command(
    task: str,
    labels: Path,
    out: Path,
    encoder: str | None,
    architecture: str | None,
    layer: str | None,
    weights: str | None,
    size: int | None,
    frames_per_clip: int,
    calibration: CalibrationMethod,
    folds: int,
    repeats: int,
    licence: str | None,
    work: Path | None,
    device: Device,
    threads: int,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train an encoder and a linear layer on it end to end for TASK, on the clips of a label table. No cache is needed.

    The whole procedure (training, its best epoch, calibration, thresholds) is judged by cross-validation in which no patient
    is on both sides, then done on all patients and saved as a task model that brings its encoder along: 'score', 'model'
    and 'evaluate' take it as any other. Training is refused where no result could be trusted.

    Exit code: 0 done, 1 or 2 error, 130 interrupted; then no task model is written.
    """
    from lusfx.fine_tuning.run import fine_tune

    with terminal.stop_on_signal() as stop, bar(_stand) as progress:
        result = fine_tune(
            task,
            labels,
            out,
            encoder=encoder,
            architecture=architecture,
            layer=layer,
            weights=None if weights in (None, RANDOM) else Path(weights),
            size=size,
            frames_per_clip=frames_per_clip,
            calibration=calibration,
            n_folds=folds,
            n_repeats=repeats,
            licence=licence,
            work=work,
            device=device,
            threads=threads,
            progress=progress,
            stop=stop,
            **settings,
        )
    if as_json:
        terminal.print_json(result.as_dict())
        return
    for warning in result.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(result.summary())


def _stand(told: DecodingProgress | FineTuningProgress) -> Stand:
    from lusfx.networks.decoded_frames import DecodingProgress

    if isinstance(told, DecodingProgress):
        return Stand("decode", told.done, told.found, "clips")
    training = told.training
    where = f"{told.name}, epoch {training.epoch}/{training.epochs}"
    return Stand(
        "train",
        training.steps * (told.number - 1) + training.step,
        training.steps * told.n_networks,
        f"steps  {where}  loss {training.loss:.3g}  {told.frames_per_s:.0f} frames/s",
        told.seconds_left,
    )
