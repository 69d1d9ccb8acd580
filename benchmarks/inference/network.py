"""The two designs on one runtime: an encoder by itself, and the same encoder with a linear layer as one network.

The rival of *one encoder and T heads* is *T fine-tuned networks, one after the other*. Each is the encoder's own
graph with a linear layer and a sigmoid behind it, loaded by itself with weights of its own in memory, on the same
runtime with the same options. So what is compared is the design and not the size of the networks, and its linear
layer costs the rival next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.inference.question import Linear
from benchmarks.inference.subject import Subject
from benchmarks.request import Device
from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.encoders.card import GRAPH, WEIGHTS, parse_weights, read_file
from lusfx.encoders.conversion import make_directory_from_onnx
from lusfx.encoders.torch_runtime import grey_network, load_torch

RIVAL = (
    "T separate fine-tuned networks, one after the other: each the encoder's graph with a linear layer and a sigmoid"
)
ONNX, TORCH = "onnxruntime", "torch"
Compute = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Grey images ``(n, size, size)`` to embeddings ``(n, dim)``, or to the scores ``(n, 1)`` of a network."""


def runtimes(device: Device) -> tuple[str, ...]:
    """The product's runtime first; on a CPU torch eager beside it, which is what fine-tuned networks are mostly left in."""
    return (ONNX, TORCH) if device == "cpu" else (TORCH,)


def load_encoder(subject: Subject, runtime: str, device: Device, threads: int) -> Compute:
    """The encoder as lusfx loads it."""
    if runtime == TORCH:
        return load_torch(subject.directory, subject.card, device)
    return open_directory(subject.directory, EncoderRequest(subject.name, device="cpu", threads=threads)).encode


def load_networks(
    subject: Subject, layers: list[Linear], runtime: str, device: Device, threads: int, folder: Path
) -> list[Compute]:
    """A fine-tuned network a layer, none of which shares anything with another."""
    if runtime == TORCH:
        return [_torch_network(subject, layer, device) for layer in layers]
    folder.mkdir()
    networks: list[Compute] = []
    for number, layer in enumerate(layers):
        place = folder / f"network-{number}"
        _write_onnx_network(subject, layer, place)
        networks.append(open_directory(place, EncoderRequest(place.name, device="cpu", threads=threads)).encode)
    return networks


def _torch_network(subject: Subject, layer: Linear, device: Device) -> Compute:
    import torch

    weights = parse_weights(read_file(subject.directory, subject.card, WEIGHTS), subject.card)
    linear = torch.nn.Linear(len(layer.weight), 1)
    with torch.no_grad():
        linear.weight.copy_(torch.from_numpy(layer.weight)[None])
        linear.bias.fill_(layer.bias)
    network = torch.nn.Sequential(grey_network(subject.card.identity, weights), linear, torch.nn.Sigmoid())
    network = network.eval().to(device, memory_format=torch.channels_last)

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            scores: NDArray[np.float32] = network(torch.from_numpy(images).to(device)).cpu().numpy()
        return scores

    return compute


def _write_onnx_network(subject: Subject, layer: Linear, place: Path) -> None:
    """Write the encoder's graph with its weights and the layer inside, in the form in which lusfx takes any ONNX file."""
    import onnx

    card = subject.card
    model = onnx.load_model_from_string(read_file(subject.directory, card, GRAPH))
    graph = model.graph
    if WEIGHTS in card.files:
        weights = parse_weights(read_file(subject.directory, card, WEIGHTS), card)
        for initializer in graph.initializer:
            if initializer.data_location == onnx.TensorProto.EXTERNAL:
                initializer.CopyFrom(onnx.numpy_helper.from_array(weights[initializer.name], initializer.name))
    embeddings = graph.output[0]
    batch = embeddings.type.tensor_type.shape.dim[0].dim_param
    weight, bias = layer.weight[:, None], np.array([layer.bias], np.float32)
    graph.initializer.extend(
        [onnx.numpy_helper.from_array(weight, "task_weight"), onnx.numpy_helper.from_array(bias, "task_bias")]
    )
    graph.node.extend(
        [
            onnx.helper.make_node("Gemm", [embeddings.name, "task_weight", "task_bias"], ["task_log_odds"]),
            onnx.helper.make_node("Sigmoid", ["task_log_odds"], ["task_score"]),
        ]
    )
    del graph.output[:]
    graph.output.append(onnx.helper.make_tensor_value_info("task_score", onnx.TensorProto.FLOAT, [batch, 1]))
    file = place.with_suffix(".onnx")
    file.write_bytes(model.SerializeToString())
    make_directory_from_onnx(
        place,
        file,
        name=place.name,
        dim=1,
        channels=card.identity.channels,
        mean=card.identity.mean,
        std=card.identity.std,
        preprocess=card.preprocess,
        licence=card.licence,
        training_data="none",
        source=card.source,
        model_card=f"# {place.name}\n\nTo be timed and nothing else.\n",
    )
    file.unlink()
