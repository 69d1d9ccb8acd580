"""Options that commands which train a network share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])
RANDOM = "random"


def size_option(most: int) -> Callable[[Command], Command]:
    """``--size`` of the frames.

    :param most: pixels a side.
    """
    return click.option(
        "--size",
        type=click.IntRange(32, most),
        help="Side of the frames in pixels.  [default: the encoder's own; 128 for an architecture]",
    )


def _weights_file(_context: click.Context, _parameter: click.Parameter, value: str | None) -> Path | None:
    return None if value in (None, RANDOM) else Path(value)


layer_option = click.option(
    "--layer",
    help="Layer of the architecture that gives the embedding: a module with a feature map, of which the mean is taken.  "
    "[default: global-pool, the whole network]",
)
weights_option = click.option(
    "--weights",
    callback=_weights_file,
    help="Safetensors file of the architecture's weights, or 'random'.  [default: random]",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="CPU threads; 0 for one or all, whichever a short trial finds faster.",
)
