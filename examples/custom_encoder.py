"""An encoder in one file: hand-made features of a grid of cells, with numpy alone. A yardstick for learnt encoders, and the
shape of a plugin that brings one of its own.

Each frame is cut into 8 x 8 cells. Of each cell it gives the mean and the standard deviation of the grey values, and the energy
of the horizontal and of the vertical gradient, as logarithms: B-lines are vertical and show in the first, A-lines and the
pleural line are horizontal and show in the second.

Register it in the pyproject.toml of a distribution of yours:

    [project.entry-points.lusfx]
    grid = "custom_encoder"

and then:

    lusfx extract LABELS.csv --cache cache --encoder grid-statistics
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest, EncoderSpec
from lusfx.errors import UsageError
from lusfx.hookspecs import hookimpl

LUSFX_API_VERSION = 2

NAME = "grid-statistics"
VERSION = 1
"""Raise it with any change that changes a value: it makes another fingerprint, so that no cache mixes old and new values."""
SIZE = 128
CELLS = 8
STATISTICS = ("mean", "standard deviation", "log horizontal gradient energy", "log vertical gradient energy")
QUIET = 1 / 255**2
"""Added to gradient energies before the logarithm: that of one grey level from pixel to pixel, below which all is noise."""


class GridStatistics(Encoder):
    """Statistics of each cell of a grid; there are no weights, so nothing is loaded."""

    name = NAME
    # Everything that decides a value must be in the identity or in the preprocessing. An encoder with weights gives their
    # digest; this one has parameters in their place.
    identity = EncoderIdentity(
        architecture=f"{NAME}-{VERSION}",
        weights_sha256=hashlib.sha256(repr((VERSION, SIZE, CELLS, STATISTICS, QUIET)).encode()).hexdigest(),
        layer="grid",
        pooling="none",
        dim=CELLS * CELLS * len(STATISTICS),
        channels=1,
        mean=(0.0,),
        std=(1.0,),
    )
    preprocess = PreprocessSpec(size=SIZE)
    runtime = f"numpy {np.__version__}"

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Encode a batch.

        :param images: ``(n, 128, 128)`` grey.
        :returns: ``(n, 256)``: the cells row by row, and of each its four statistics; row *i* depends on image *i* alone.
        """
        if images.dtype != np.uint8 or images.shape[1:] != (SIZE, SIZE):
            raise ValueError(f"images must be uint8 (n, {SIZE}, {SIZE}), not {images.dtype} {images.shape}")
        grey = images.astype(np.float64) / 255
        cells = _cells(grey)
        # The difference to the pixel before; the first column and row have none.
        along = _cells(np.diff(grey, axis=2, prepend=grey[:, :, :1]) ** 2)
        down = _cells(np.diff(grey, axis=1, prepend=grey[:, :1, :]) ** 2)
        statistics = [
            cells.mean(axis=3),
            cells.std(axis=3),
            np.log(along.mean(axis=3) + QUIET),
            np.log(down.mean(axis=3) + QUIET),
        ]
        return np.stack(statistics, axis=3).reshape(len(images), self.identity.dim).astype(np.float32)


def _cells(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """``(n, size, size)`` as ``(n, cells down, cells across, pixels of a cell)``."""
    side = SIZE // CELLS
    grid = values.reshape(-1, CELLS, side, CELLS, side).swapaxes(2, 3)
    return grid.reshape(-1, CELLS, CELLS, side * side)


def open_grid(request: EncoderRequest) -> Encoder:
    """Open the encoder.

    :raises UsageError: if weights or a CUDA device are asked for; it has neither.
    """
    if request.weights is not None:
        raise UsageError(f"the encoder {NAME} has no weights; leave --weights out")
    if request.device == "cuda":
        raise UsageError(f"the encoder {NAME} is computed on the CPU; use --device cpu")
    return GridStatistics()


@hookimpl
def lusfx_register_encoders() -> Sequence[EncoderSpec]:
    return [EncoderSpec(NAME, f"statistics of {CELLS} x {CELLS} cells, no network", "Apache-2.0", open_grid)]
