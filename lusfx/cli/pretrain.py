"""``lusfx pretrain``."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import network_options, output, terminal
from lusfx.cli.bar import Stand, bar
from lusfx.cli.field_options import field_options
from lusfx.pretraining.settings import FROM_INITIAL_WEIGHTS, PretrainingSettings

if TYPE_CHECKING:
    from lusfx.networks.decoded_frames import DecodingProgress
    from lusfx.pretraining.progress import TrainingProgress


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
@network_options.layer_option
@network_options.weights_option
@network_options.size_option(512)
@field_options(PretrainingSettings, leave_out=FROM_INITIAL_WEIGHTS)
@terminal.device_option
@network_options.threads_option
@click.option(
    "--memory",
    type=click.Choice(["less", "more"]),
    default="less",
    show_default=True,
    help="On a CPU: compute again what would take much memory, or take more of it and half the time.",
)
@click.option("--minutes", type=click.FloatRange(min=0), help="Stop after so long; the same command goes on.")
@click.option("--probe", type=terminal.FILE, help="Label table for the probe after each epoch; no label is trained on.")
@click.option("--probe-task", help="Task that reads the probe's labels.")
@click.option("--name", help="What the encoder is called.  [default: what it began as, and the method]")
@click.option(
    "--licence", help="Licence of the weights, for the model card.  [default: that of the encoder it began as]"
)
@terminal.json_option
def command(as_json: bool, **request: Any) -> None:
    """Pretrain an encoder on clips without labels, for 'extract --encoder OUT/encoder'.

    SOURCES are as for 'extract'. Frames are decoded once and kept below --out. A run that was stopped, by --minutes, Ctrl-C or
    a crash, goes on when the same command is given again. Under torchrun, processes share each batch.

    Exit code: 0 all epochs done, or --minutes are over; 1 error, 130 interrupted, or --minutes are over before training began.
    A collapsed run ends with 0 and says so.
    """
    from lusfx.pretraining.run import pretrain

    with terminal.stop_on_signal() as stop, bar(_stand, _is_first()) as progress:
        result = pretrain(**request, progress=progress, stop=stop)
    if _is_first():
        if as_json:
            terminal.print_json(result.as_dict())
        else:
            for warning in result.warnings:
                output.say(f"warning: {warning}", err=True)
            output.say(result.summary())
    sys.exit(terminal.EXIT_INTERRUPTED if result.interrupted else 0)


def _is_first() -> bool:
    """Whether this is the process that speaks for all that torchrun started."""
    return os.environ.get("RANK", "0") == "0"


def _stand(progress: DecodingProgress | TrainingProgress) -> Stand:
    from lusfx.networks.decoded_frames import DecodingProgress

    if isinstance(progress, DecodingProgress):
        return Stand("decode", progress.done, progress.found, "clips")
    said = f"steps  epoch {progress.epoch}/{progress.epochs}  loss {progress.loss:.4g}  {progress.images_per_s:.0f} images/s"
    return Stand("train", progress.step, progress.steps, said, progress.seconds_left)
