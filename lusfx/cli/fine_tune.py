"""``lusfx fine-tune``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from lusfx.cli import network_options, terminal
from lusfx.cli.bar import Stand, bar
from lusfx.cli.field_options import field_options
from lusfx.fine_tuning.request import FineTuningRequest
from lusfx.fine_tuning.settings import FineTuningSettings

if TYPE_CHECKING:
    from lusfx.fine_tuning.progress import FineTuningProgress
    from lusfx.networks.decoded_frames import DecodingProgress


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
@network_options.layer_option
@network_options.weights_option
@network_options.size_option(1024)
@click.option(
    "--frames-per-clip",
    type=click.IntRange(min=1),
    default=FineTuningRequest.frames_per_clip,
    show_default=True,
    help="Frames kept of a clip, evenly spaced.",
)
@field_options(FineTuningSettings)
@click.option(
    "--calibration",
    type=click.Choice(["none", "platt", "isotonic"]),
    default=FineTuningRequest.calibration,
    show_default=True,
    help="How scores become probabilities; fitted on patients that were held out.",
)
@click.option(
    "--folds",
    "n_folds",
    type=click.IntRange(2, 50),
    default=FineTuningRequest.n_folds,
    show_default=True,
    help="Cross-validation folds.",
)
@click.option(
    "--repeats",
    "n_repeats",
    type=click.IntRange(1, 100),
    default=FineTuningRequest.n_repeats,
    show_default=True,
    help="Cross-validations with other folds.",
)
@click.option("--licence", help="Licence of the new encoder.  [default: that of the encoder it began as]")
@click.option(
    "--work",
    type=terminal.DIRECTORY,
    help="Directory that keeps the decoded frames for the next run.  [default: a temporary one beside --out]",
)
@terminal.force_option
@terminal.trust_table_option
@terminal.device_option
@network_options.threads_option
@terminal.json_option
def command(as_json: bool, **request: Any) -> None:
    """Train an encoder and a linear layer on it end to end for TASK, on the clips of a label table. No cache is needed.

    The whole procedure (training, calibration, thresholds) is judged by cross-validation in which no patient
    is on both sides, then done on all patients and saved as a task model that brings its encoder along: 'score', 'model'
    and 'evaluate' take it as any other. Training is refused where no result could be trusted.

    Exit code: 0 done, 1 or 2 error, 130 interrupted; then no task model is written.
    """
    from lusfx.fine_tuning.run import fine_tune

    with terminal.stop_on_signal() as stop, bar(_stand) as progress:
        result = fine_tune(**request, progress=progress, stop=stop)
    terminal.print_result(result, as_json=as_json)


def _stand(progress: DecodingProgress | FineTuningProgress) -> Stand:
    from lusfx.networks.decoded_frames import DecodingProgress

    if isinstance(progress, DecodingProgress):
        return Stand("decode", progress.done, progress.found, "clips")
    training = progress.training
    where = f"{progress.name}, epoch {training.epoch}/{training.epochs}"
    return Stand(
        "train",
        training.steps * (progress.number - 1) + training.step,
        training.steps * progress.n_networks,
        f"steps  {where}  loss {training.loss:.3g}  {progress.frames_per_s:.0f} frames/s",
        progress.seconds_left,
    )
