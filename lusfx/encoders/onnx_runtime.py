"""ONNX Runtime on the CPU: the default, and all that a scoring node needs.

The graph file holds no weights. They come from ``weights.safetensors``, checked tensor by tensor, so that one file is the
source of weights for every runtime.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.encoders.batch import Compute
from lusfx.encoders.card import WEIGHTS, EncoderCard, parse_weights, read_file
from lusfx.errors import EncoderError

FATAL = 4
INPUT_TYPE = "tensor(uint8)"
NAMED_FILES = "session.model_external_initializers_file_folder_path"


def load_onnx(directory: Path, card: EncoderCard, threads: int, graph: bytes) -> Compute:
    """Build a session from checked files. Any number of threads may use it at the same time.

    :param threads: of one batch.
    :param graph: the one that the identity means.
    :raises EncoderError: if the graph cannot be loaded or does not fit the weights and the card.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    values = {}
    if WEIGHTS in card.files:
        tensors = parse_weights(read_file(directory, card, WEIGHTS), card)
        values = {
            name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor))
            for name, tensor in tensors.items()
            if tensor.dtype.kind == "f"
        }
        options.add_external_initializers(list(values), list(values.values()))
    try:
        # A graph may name files that hold its values, and ONNX Runtime looks for them in the working directory. Here all
        # values come from the checked weights, so it is told to look beneath a device, where nothing is or can be put.
        options.add_session_config_entry(NAMED_FILES, os.devnull)
        session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime raises its own classes, derived from Exception alone
        raise EncoderError(f"encoder {card.name}: the graph cannot be loaded ({type(error).__name__})") from None
    inputs, outputs = session.get_inputs(), session.get_outputs()
    if len(inputs) != 1 or inputs[0].type != INPUT_TYPE or len(inputs[0].shape) != 3 or len(outputs) != 1:
        raise EncoderError(f"encoder {card.name}: the graph must map uint8 (n, size, size) to one output")
    name = inputs[0].name

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        embeddings: NDArray[np.float32]
        (embeddings,) = session.run(None, {name: images})
        return embeddings

    return compute
