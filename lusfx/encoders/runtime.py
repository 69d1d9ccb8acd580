"""Which runtime computes an encoder here, on which device. Nothing heavy is imported for the answer but torch, for CUDA."""

from __future__ import annotations

import importlib.util
import shutil
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal, Self

from lusfx.config import Precision
from lusfx.contracts import Device, Runtime
from lusfx.cores import available_cores
from lusfx.encoders.batch import CheckedCompute
from lusfx.encoders.card import GRAPH, WEIGHTS, EncoderCard
from lusfx.encoders.probe import require_probe
from lusfx.encoders.proof import proven_graph
from lusfx.errors import EncoderError, MissingExtraError, UsageError

ON_CPU_ONLY = ("onnxruntime", "openvino")
RUNTIME_OF: dict[Precision, Literal["openvino", "torch"]] = {"bfloat16": "openvino", "float16": "torch"}
"""The only runtime of a precision: another one would round otherwise, under the same fingerprint."""
MOST_STREAMS = 8
"""More batches at a time would take memory for each, some tens of megabytes, and a batch alone would take long."""


@dataclass(frozen=True, slots=True)
class Threads:
    """CPU threads of an encoder. Batches beside one another on a thread each are faster than one batch on all: no thread
    waits for the slowest at the end of each layer, least of all where decoders want the same cores.

    :param streams: batches that are computed at the same time.
    :param each: threads of one of them.
    """

    streams: int
    each: int

    @classmethod
    def of(cls, number: int) -> Self:
        """Divide a number of threads; 0 stands for the cores that this process may use."""
        number = number or available_cores()
        streams = min(number, MOST_STREAMS)
        return cls(streams, number // streams)


@dataclass(frozen=True, slots=True)
class Chosen:
    """A runtime on a device.

    :param library: the distribution that computes.
    """

    library: Literal["onnxruntime", "openvino", "torch"]
    device: Literal["cpu", "cuda"]
    precision: Precision

    def __str__(self) -> str:
        """``openvino 2026.4.1 cpu bfloat16``, say; float32 goes without saying."""
        words = [self.library, version(self.library), self.device]
        return " ".join(words if self.precision == "float32" else [*words, self.precision])

    def threads(self, number: int) -> Threads:
        """How it takes so many CPU threads; 0 for all. Torch divides one batch among its own threads."""
        return Threads(1, 0) if self.library == "torch" else Threads.of(number)

    def load(self, directory: Path, card: EncoderCard, threads: Threads) -> CheckedCompute:
        """Check every file, build the network, and compare what it makes of the probe with what the card says.

        :raises EncoderError: if a file is missing, altered or inconsistent, or the processor lacks the arithmetic.
        """
        compute = self._built(directory, card, threads)
        require_probe(compute, card.probe, card.preprocess.size, self.precision, card.name)
        return compute

    def _built(self, directory: Path, card: EncoderCard, threads: Threads) -> CheckedCompute:
        if self.library == "torch":
            from lusfx.encoders.torch_runtime import load_torch

            if card.identity.graph_sha256 is not None:  # the identity means that graph, which torch does not look at
                Chosen("onnxruntime", "cpu", "float32").load(directory, card, Threads(1, 1))
            return CheckedCompute(load_torch(directory, card, self.device, self.precision), card)
        graph = proven_graph(directory, card)
        if self.library == "openvino":
            from lusfx.encoders.openvino_runtime import load_openvino

            return CheckedCompute(
                load_openvino(directory, card, threads.streams, threads.each, self.precision, graph), card
            )
        from lusfx.encoders.onnx_runtime import load_onnx

        return CheckedCompute(load_onnx(directory, card, threads.each, graph), card)


def choose(card: EncoderCard, device: Device, precision: Precision, runtime: Runtime) -> Chosen:
    """The runtime that was asked for, or the best one here: that of the precision; for float32 torch where there is CUDA, else
    ONNX Runtime, which is always installed, and as fast as OpenVINO.

    :raises UsageError: if runtime, device and precision contradict each other.
    :raises EncoderError: if there is no such device, or the encoder has no file for the runtime.
    :raises MissingExtraError: if the runtime is not installed.
    """
    only = RUNTIME_OF.get(precision)
    if only is not None and runtime not in ("auto", only):
        raise UsageError(f"{precision} is computed by {only} alone. Leave out --runtime, or use --precision float32")
    asked = only or runtime
    if asked in ON_CPU_ONLY and device == "cuda":
        raise UsageError(
            f"{asked} computes on the CPU here. For CUDA use --runtime torch, with --precision float32 or float16"
        )
    if asked in ("auto", "torch") and _use_cuda(device, card):
        return Chosen("torch", "cuda", precision)
    library = "onnxruntime" if asked == "auto" else asked
    if library == "torch":
        _require_torch(card)
    elif library == "openvino" and not all(map(importlib.util.find_spec, ("openvino", "onnx"))):
        raise MissingExtraError(f"computing in {precision} with OpenVINO", "openvino")
    return Chosen(library, "cpu", precision)


def _use_cuda(device: Device, card: EncoderCard) -> bool:
    """Whether torch on CUDA computes. Torch is imported only where a driver is, since that takes seconds."""
    if device == "cpu":
        return False
    if device == "auto" and not (WEIGHTS in card.files and importlib.util.find_spec("torch") and _has_driver()):
        return False
    _require_torch(card)
    import torch

    if torch.cuda.is_available():
        return True
    if device == "auto" and GRAPH in card.files:
        return False
    raise EncoderError("torch finds no CUDA device. Use --device cpu")


def _require_torch(card: EncoderCard) -> None:
    if WEIGHTS not in card.files:
        raise EncoderError(
            f"encoder {card.name} has an ONNX graph only, which torch does not compute. Use --device cpu"
        )
    if importlib.util.find_spec("torch") is None:
        raise EncoderError("computing with torch needs torch. Run: pip install 'lusfx[timm]', or use --device cpu")


def _has_driver() -> bool:
    return Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi") is not None
