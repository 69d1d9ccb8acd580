"""OpenVINO on the CPU: for bfloat16, which ONNX Runtime does not compute, and for float32 where it is asked for."""

from __future__ import annotations

import queue
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import Precision
from lusfx.encoders.batch import Compute
from lusfx.encoders.card import WEIGHTS, EncoderCard, parse_weights, read_file
from lusfx.errors import EncoderError

HINTS: Mapping[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
"""Said explicitly: without a hint, OpenVINO takes bfloat16 wherever the processor has it."""


def load_openvino(
    directory: Path, card: EncoderCard, streams: int, threads: int, precision: Precision, graph: bytes
) -> Compute:
    """Compile a network from checked files, in memory.

    :param streams: batches that are computed at the same time; a further one waits.
    :param threads: of one batch.
    :param graph: the one that the identity means.
    :raises EncoderError: if the graph cannot be loaded or does not fit the weights and the card, or if the processor has
        no bfloat16 arithmetic and that is what was asked for.
    """
    import openvino

    core = openvino.Core()
    if precision == "bfloat16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise EncoderError("this processor has no bfloat16 arithmetic (AVX512_BF16 or AMX). Use --precision float32")
    content = _graph_with_weights(directory, card, graph)
    options = {
        "INFERENCE_PRECISION_HINT": HINTS[precision],
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams * threads,
        "ENABLE_CPU_PINNING": False,
    }
    try:
        model = core.read_model(content)
        compiled = core.compile_model(model, "CPU", options)
    except RuntimeError as error:
        raise EncoderError(f"encoder {card.name}: the graph cannot be loaded ({type(error).__name__})") from None
    inputs, outputs = compiled.inputs, compiled.outputs
    if (
        len(inputs) != 1
        or inputs[0].get_element_type().get_type_name() != "u8"
        or inputs[0].get_partial_shape().rank.get_length() != 3
        or len(outputs) != 1
    ):
        raise EncoderError(f"encoder {card.name}: the graph must map uint8 (n, size, size) to one output")

    idle: queue.SimpleQueue[Any] = queue.SimpleQueue()  # a request is one thread's at a time
    for _ in range(streams):
        idle.put(compiled.create_infer_request())

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        request = idle.get()
        try:
            embeddings: NDArray[np.float32] = request.infer(images, share_inputs=True)[
                0
            ]  # a copy, which is the caller's
        finally:
            idle.put(request)
        return embeddings

    return compute


def _graph_with_weights(directory: Path, card: EncoderCard, graph: bytes) -> bytes:
    """The graph of an encoder with its checked weights inside.

    :raises EncoderError: if they do not fit each other to the last name and shape.
    """
    import onnx

    try:
        model = onnx.load_model_from_string(graph)
    except Exception as error:  # protobuf raises its own class, derived from Exception alone
        raise EncoderError(f"encoder {card.name}: the graph cannot be loaded ({type(error).__name__})") from None
    tensors = parse_weights(read_file(directory, card, WEIGHTS), card) if WEIGHTS in card.files else {}
    weights = {name: tensor for name, tensor in tensors.items() if tensor.dtype.kind == "f"}
    referred = [entry for entry in model.graph.initializer if entry.data_location == onnx.TensorProto.EXTERNAL]
    # A graph may name files that hold its values. Whatever is not replaced by a checked weight must not be looked for.
    if sum(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in _tensors(model)) != len(referred):
        raise EncoderError(f"encoder {card.name}: the graph cannot be loaded (it names files that hold its values)")
    shapes = {entry.name: tuple(entry.dims) for entry in referred}
    if shapes != {name: tensor.shape for name, tensor in weights.items()}:
        raise EncoderError(f"encoder {card.name}: the graph and {WEIGHTS} do not fit each other")
    for entry in referred:
        entry.CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(weights[entry.name]), entry.name))
    content: bytes = model.SerializeToString()
    return content


def _tensors(part: Any) -> Iterator[Any]:
    """Every tensor within a protocol buffer, however deep."""
    for field, value in part.ListFields():
        if field.message_type is None:
            continue
        for item in value if field.is_repeated else [value]:
            if field.message_type.name == "TensorProto":
                yield item
            else:
                yield from _tensors(item)
