"""An encoder directory as an encoder. Its identity is known at once; weights and runtime are loaded when first needed."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Device, Encoder, EncoderRequest
from lusfx.encoders.card import GRAPH, WEIGHTS, EncoderCard, read_card
from lusfx.errors import EncoderError, UsageError

Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


class DirectoryEncoder(Encoder):
    """The encoder of a directory: ``encoder.json`` with ``weights.safetensors``, ``encoder.onnx`` or both.

    :param directory: where it lies.
    :param device: ``auto`` takes torch on CUDA where there is one, else ONNX Runtime on the CPU.
    :param threads: CPU threads; 0 for all.
    """

    def __init__(self, directory: Path, device: Device = "auto", threads: int = 0) -> None:
        self.card: EncoderCard = read_card(directory)
        self.name = self.card.name
        self.identity = self.card.identity
        self.preprocess = self.card.preprocess
        self.directory = directory
        self._threads = threads
        self._on_cuda = _use_cuda(device, self.card)
        library = "torch" if self._on_cuda else "onnxruntime"
        self.runtime = f"{library} {version(library)} {'cuda' if self._on_cuda else 'cpu'}"
        self._compute: Compute | None = None

    def warm_up(self) -> None:
        """Check every file, load the weights, and build the runtime; otherwise the first batch does it.

        :raises EncoderError: if a file is missing, altered or inconsistent.
        """
        if self._compute is not None:
            return
        if self._on_cuda:
            from lusfx.encoders.torch_runtime import load_torch

            self._compute = load_torch(self.directory, self.card, "cuda")
        else:
            from lusfx.encoders.onnx_runtime import load_onnx

            self._compute = load_onnx(self.directory, self.card, self._threads)

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
    return DirectoryEncoder(directory, request.device, request.threads)


def _use_cuda(device: Device, card: EncoderCard) -> bool:
    """Whether torch on CUDA computes. Torch is imported only where a driver is, since that takes seconds."""
    if device == "cpu":
        return False
    has_weights = WEIGHTS in card.files
    if device == "auto" and not (has_weights and importlib.util.find_spec("torch") and _has_driver()):
        return False
    if not has_weights:
        raise EncoderError(f"encoder {card.name} has an ONNX graph only, which is computed on the CPU")
    if importlib.util.find_spec("torch") is None:
        raise EncoderError("computing on CUDA needs torch. Run: pip install 'lusfx[timm]', or use --device cpu")
    import torch

    if torch.cuda.is_available():
        return True
    if device == "auto" and GRAPH in card.files:
        return False
    raise EncoderError("torch finds no CUDA device. Use --device cpu")


def _has_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
