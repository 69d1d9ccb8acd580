"""``lusfx pretrain``."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import terminal
from lusfx.cli.bar import Stand, bar
from lusfx.cli.field_options import field_options
from lusfx.pretraining.settings import PretrainingSettings

if TYPE_CHECKING:
    from lusfx.contracts import Device
    from lusfx.networks.decoded_frames import DecodingProgress
    from lusfx.pretraining.trainer import TrainingProgress

RANDOM = "random"
OF_BEGINNING = ("architecture", "layer", "weights_sha256", "normalisation", "size")
"""Settings that follow from what a run begins with."""


@click.command(name="pretrain")
@click.argument("sources", nargs=-1, required=True, type=terminal.ANY_PATH)
@click.option(
    "--out", required=True, type=terminal.DIRECTORY, help="Directory of the run; the encoder is in 'encoder' below it."
)
@click.option("--encoder", help="Encoder to begin with, a name or a directory.")
@click.option(
    "--architecture",
    help="Backbone to begin with, by timm's name, in place of an encoder.  "
    f"[default: {PretrainingSettings.model_fields['architecture'].default}]",
)
@click.option(
    "--layer",
    help="Layer of the architecture that gives the embedding: a module with a feature map, of which the mean is taken.  "
    f"[default: {PretrainingSettings.model_fields['layer'].default}, the whole network]",
)
@click.option("--weights", help="Safetensors file of the architecture's weights, or 'random'.  [default: random]")
@click.option(
    "--size",
    type=click.IntRange(32, 512),
    help="Side of the frames in pixels.  [default: the encoder's own; 128 for an architecture]",
)
@field_options(PretrainingSettings, leave_out=OF_BEGINNING)
@terminal.device_option
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="CPU threads; 0 for one or all, whichever a short trial finds faster.",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so long; the same command goes on.")
@click.option("--probe", type=terminal.FILE, help="Label table for the probe after each epoch; no label is trained on.")
@click.option("--probe-task", help="Task that reads the probe's labels.")
@click.option("--name", help="What the encoder is called.  [default: what it began as, and the method]")
@click.option(
    "--licence", help="Licence of the weights, for the model card.  [default: that of the encoder it began as]"
)
@terminal.json_option
def command(
    sources: tuple[Path, ...],
    out: Path,
    encoder: str | None,
    architecture: str | None,
    layer: str | None,
    weights: str | None,
    size: int | None,
    device: Device,
    threads: int,
    minutes: float | None,
    probe: Path | None,
    probe_task: str | None,
    name: str | None,
    licence: str | None,
    as_json: bool,
    **settings: Any,
) -> None:
    """Pretrain an encoder on clips without labels, for 'extract --encoder OUT/encoder'.

    SOURCES are as for 'extract'. Frames are decoded once and kept below --out. A run that was stopped, by --minutes, Ctrl-C or
    a crash, goes on when the same command is given again. Under torchrun, processes share each batch.

    Exit code: 0 all epochs done, or --minutes are over; 1 error, 130 interrupted, or --minutes are over before training began.
    A collapsed run ends with 0 and says so.
    """
    from lusfx.pretraining.run import pretrain

    with terminal.stop_on_signal() as stop, bar(_stand, _is_first()) as progress:
        result = pretrain(
            sources,
            out,
            encoder=encoder,
            architecture=architecture,
            layer=layer,
            weights=None if weights in (None, RANDOM) else Path(weights),
            size=size,
            probe=probe,
            probe_task=probe_task,
            name=name,
            licence=licence,
            device=device,
            threads=threads,
            minutes=minutes,
            progress=progress,
            stop=stop,
            **settings,
        )
    if _is_first():
        if as_json:
            terminal.print_json(result.as_dict())
        else:
            for warning in result.warnings:
                click.echo(f"warning: {warning}", err=True)
            click.echo(result.summary())
    sys.exit(terminal.EXIT_INTERRUPTED if result.interrupted else 0)


def _is_first() -> bool:
    """Whether this is the process that speaks for all that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _stand(told: DecodingProgress | TrainingProgress) -> Stand:
    from lusfx.networks.decoded_frames import DecodingProgress

    if isinstance(told, DecodingProgress):
        return Stand("decode", told.done, told.found, "clips")
    said = f"steps  epoch {told.epoch}/{told.epochs}  loss {told.loss:.4g}  {told.images_per_s:.0f} images/s"
    return Stand("train", told.step, told.steps, said, told.seconds_left)
