"""The graph of a timm network: exported without its weights, in a form that says nothing of who exported it.

Its digest is part of a new encoder's identity. So names, versions and remarks of the exporter are left out: two machines whose
exporters build the same graph write the same bytes.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity
from lusfx.encoders.card import WEIGHTS
from lusfx.encoders.probe import probe_image
from lusfx.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 18
IR_VERSION = 10
INPUT, OUTPUT = "images", "embeddings"
UNTRAINED = "num_batches_tracked"
"""Counters that batch normalisation keeps beside its weights; no graph has them."""


def export(
    identity: EncoderIdentity, weights: Mapping[str, NDArray[np.generic]], size: int
) -> tuple[bytes, NDArray[np.float32]]:
    """The graph without its weights, and torch's embedding of the probe, ``(dim,)``.

    :raises EncoderError: if the weights do not fit the architecture, or it cannot be exported.
    :raises MissingExtraError: without torch, timm and onnx.
    """
    try:
        import onnxscript  # noqa: F401 - what torch exports with
        import torch

        from lusfx.encoders.torch_runtime import grey_network
    except ImportError:
        raise MissingExtraError("converting an encoder", "timm") from None
    # Two: some keep what they computed of their weights, which would be constants in the graph.
    network, exported = (grey_network(identity, weights).eval() for _ in range(2))
    example = torch.from_numpy(np.repeat(probe_image(size)[None], 2, axis=0))
    try:
        with torch.inference_mode():
            embedding: NDArray[np.float32] = network(example)[0].numpy()
        model = _exported(exported, example)
    except Exception as error:  # torch has a class of its own for many reasons
        raise EncoderError(
            f"{identity.architecture} cannot be exported for images of {size} px ({type(error).__name__}). Which families "
            "are known to work is in docs/encoders.md"
        ) from error
    _detach_weights(model, weights)
    return _without_remarks(model), embedding


def _exported(network: torch.nn.Module, example: torch.Tensor) -> onnx.ModelProto:
    import torch

    with _quiet_exporter():
        program: Any = torch.onnx.export(
            network,
            (example,),
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_shapes={INPUT: {0: torch.export.Dim("n", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        _tidy(program.model, network.state_dict().keys())
    return program.model_proto


def _tidy(model: Any, weights: Collection[str]) -> None:
    """Fold what the exporter leaves around constants, but no weight into another: they keep their values and names."""
    from onnxscript import optimizer

    def takes_no_weight(node: Any) -> bool | None:
        # A weight that is transposed or reshaped, as in every attention, would become a constant without a name.
        return False if any(value is not None and value.name in weights for value in node.inputs) else None

    optimizer.inline(model)
    optimizer.fold_constants(model, onnx_shape_inference=True, should_fold=takes_no_weight)
    optimizer.remove_unused_nodes(model)


def _detach_weights(model: onnx.ModelProto, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Replace each weight in the graph by a reference to the tensor of that name."""
    import onnx

    prefix = "backbone."
    used, names = set(), {}
    for initializer in model.graph.initializer:
        name = initializer.name.removeprefix(prefix)
        if name not in weights:
            continue
        if not np.array_equal(onnx.numpy_helper.to_array(initializer), weights[name]):
            raise EncoderError(f"the exported graph has other values of {name} than its weights")
        used.add(name)
        initializer.ClearField("raw_data")
        initializer.data_location = onnx.TensorProto.EXTERNAL
        initializer.external_data.add(key="location", value=WEIGHTS)
        names[initializer.name] = name
    forgotten = sorted(name for name in weights.keys() - used if not name.endswith(UNTRAINED))
    if forgotten:
        raise EncoderError(
            f"the network cannot be converted: its exported graph does not use the weights {', '.join(forgotten[:3])}"
        )
    _rename(model.graph, names)


def _without_remarks(model: onnx.ModelProto) -> bytes:
    """The bytes of a graph whose values are numbered in their order, and nothing else is said but what is computed."""
    import onnx

    graph = model.graph
    graph.name = "encoder"
    for field in ("value_info", "metadata_props", "doc_string"):
        graph.ClearField(field)
    for part in (*graph.input, *graph.output, *graph.initializer):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    for node in graph.node:
        for field in ("name", "metadata_props", "doc_string"):  # stack traces, with the paths of whoever converted it
            node.ClearField(field)
        node.attribute.sort(key=lambda attribute: str(attribute.name))
    _number_values(graph)
    plain = onnx.ModelProto(
        ir_version=IR_VERSION, graph=graph, opset_import=model.opset_import, functions=model.functions
    )
    content: bytes = plain.SerializeToString(deterministic=True)
    return content


def _number_values(graph: onnx.GraphProto) -> None:
    import onnx

    if any(
        attribute.type in (attribute.GRAPH, attribute.GRAPHS) for node in graph.node for attribute in node.attribute
    ):
        return  # graphs within it use its names: they stay
    kept = {INPUT, OUTPUT, ""}
    kept |= {entry.name for entry in graph.initializer if entry.data_location == onnx.TensorProto.EXTERNAL}
    order = [name for node in graph.node for name in (*node.input, *node.output)]
    _rename(graph, {name: f"%{number}" for number, name in enumerate(dict.fromkeys(order)) if name not in kept})
    place = {name: number for number, name in enumerate(dict.fromkeys(n for node in graph.node for n in node.input))}
    graph.initializer.sort(key=lambda entry: place.get(str(entry.name), len(place)))


def _rename(graph: onnx.GraphProto, names: Mapping[str, str]) -> None:
    for entry in graph.initializer:
        entry.name = names.get(entry.name, entry.name)
    for node in graph.node:
        for words in (node.input, node.output):
            words[:] = [names.get(name, name) for name in words]


@contextmanager
def _quiet_exporter() -> Iterator[None]:
    """The exporter warns of its own deprecations and logs its progress."""
    import logging

    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
