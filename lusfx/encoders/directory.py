"""An encoder directory as an encoder. Its identity is known at once; weights and runtime are loaded when first needed."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.config import Precision
from lusfx.contracts import Device, Encoder, EncoderRequest, Runtime
from lusfx.encoders.batch import CheckedCompute
from lusfx.encoders.card import EncoderCard, read_card
from lusfx.encoders.runtime import choose
from lusfx.errors import UsageError


class DirectoryEncoder(Encoder):
    """The encoder of a directory: ``encoder.json`` with ``weights.safetensors``, ``encoder.onnx`` or both.

    :param directory: where it lies.
    :param device: ``auto`` takes torch on CUDA where there is one, else the CPU.
    :param threads: CPU threads; 0 for as many as this process may use.
    :param precision: what it computes in.
    :param runtime: what computes; ``auto`` takes the one of the precision, or the best one here.
    """

    def __init__(
        self,
        directory: Path,
        device: Device = "auto",
        threads: int = 0,
        precision: Precision = "float32",
        runtime: Runtime = "auto",
    ) -> None:
        self.card: EncoderCard = read_card(directory)
        self.name = self.card.name
        self.identity = self.card.identity
        self.preprocess = self.card.preprocess.as_prepared_by()
        self.training_sets = () if self.card.training_sets is None else self.card.training_sets.names
        self.precision = precision
        self.directory = directory
        self._chosen = choose(self.card, device, precision, runtime)
        self._threads = self._chosen.threads(threads)
        self.streams = self._threads.streams
        self.runtime = str(self._chosen)
        self._compute: CheckedCompute | None = None
        self._loading = threading.Lock()

    def warm_up(self) -> None:
        """Check every file, load the weights, and build the runtime; otherwise the first batch does it.

        :raises EncoderError: if a file is missing, altered or inconsistent, or the processor lacks the arithmetic.
        """
        with self._loading:
            if self._compute is None:
                self._compute = self._chosen.load(self.directory, self.card, self._threads)

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        size = self.preprocess.size
        if images.dtype != np.uint8 or images.shape[1:] != (size, size):
            raise ValueError(f"images must be uint8 (n, {size}, {size}), not {images.dtype} {images.shape}")
        if len(images) == 0:
            return np.empty((0, self.identity.dim), np.float32)
        self.warm_up()
        assert self._compute is not None
        return self._compute(images)


def open_directory(directory: Path, request: EncoderRequest) -> DirectoryEncoder:
    """Open an encoder directory.

    :raises EncoderError: if it is none.
    :raises UsageError: if weights were named: a directory has its own.
    """
    if request.weights is not None:
        raise UsageError("an encoder directory has its own weights; --weights goes with a timm encoder")
    return DirectoryEncoder(directory, request.device, request.threads, request.precision, request.runtime)
