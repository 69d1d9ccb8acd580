"""Making encoder directories: from a timm architecture with its weights, or from an ONNX file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import LAST_LAYER
from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.encoders.card import CARD, GRAPH, MODEL_CARD, WEIGHTS, EncoderCard, weights_sha256
from lusfx.errors import EncoderError, MissingExtraError
from lusfx.messages import system_reason
from lusfx.patience import replace

if TYPE_CHECKING:
    import onnx

OPSET = 18
UNTRAINED = "num_batches_tracked"
"""Counters that batch normalisation keeps beside its weights; no graph has them."""


def make_directory(
    out: Path,
    *,
    name: str,
    architecture: str,
    weights: Mapping[str, NDArray[np.generic]],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    preprocess: PreprocessSpec,
    licence: str,
    training_data: str,
    source: str,
    model_card: str,
    layer: str = LAST_LAYER,
) -> EncoderCard:
    """Write an encoder directory of a timm architecture: weights once, and a graph that refers to them.

    :param out: must not exist; it appears whole or not at all.
    :param weights: the state dictionary of :func:`lusfx.backbone.make_backbone`, to the last key.
    :param mean: a value a channel, on a scale of 0 to 1; ``std`` likewise.
    :param layer: the layer that is taken; see :func:`lusfx.backbone.make_backbone`.
    :raises EncoderError: if the weights do not fit.
    :raises MissingExtraError: without torch, timm and onnx.
    """
    from safetensors.numpy import save

    draft = EncoderIdentity(
        architecture=architecture,
        weights_sha256=weights_sha256(weights),
        layer=layer,
        pooling="mean",
        dim=1,
        channels=3 if len(mean) == 3 else 1,
        mean=mean,
        std=std,
    )
    graph, dim = _export(draft, weights, preprocess.size)
    files = {
        WEIGHTS: save({key: np.array(value, order="C") for key, value in weights.items()}),
        GRAPH: graph,
        MODEL_CARD: model_card.encode(),
    }
    return _write(out, name, draft.model_copy(update={"dim": dim}), preprocess, (licence, training_data, source), files)


def make_directory_from_onnx(
    out: Path,
    graph: Path,
    *,
    name: str,
    dim: int,
    channels: int,
    mean: tuple[float, ...],
    std: tuple[float, ...],
    preprocess: PreprocessSpec,
    licence: str,
    training_data: str,
    source: str,
    model_card: str,
) -> EncoderCard:
    """Write an encoder directory of an ONNX file with its weights inside.

    :param graph: maps grey uint8 ``(n, size, size)`` to float32 ``(n, dim)``; normalisation is inside it, and ``channels``,
        ``mean`` and ``std`` say which.
    """
    content = graph.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    identity = EncoderIdentity.model_validate(
        {
            "architecture": "onnx",
            "weights_sha256": digest,
            "graph_sha256": digest,
            "layer": "output",
            "pooling": "none",
            "dim": dim,
            "channels": channels,
            "mean": mean,
            "std": std,
        }
    )
    files = {GRAPH: content, MODEL_CARD: model_card.encode()}
    return _write(out, name, identity, preprocess, (licence, training_data, source), files)


def _write(
    out: Path,
    name: str,
    identity: EncoderIdentity,
    preprocess: PreprocessSpec,
    origin: tuple[str, str, str],
    files: Mapping[str, bytes],
) -> EncoderCard:
    licence, training_data, source = origin
    card = EncoderCard.model_validate(
        {
            "name": name,
            "identity": identity,
            "preprocess": preprocess,
            "licence": licence,
            "training_data": training_data,
            "source": source,
            "files": {file: hashlib.sha256(content).hexdigest() for file, content in sorted(files.items())},
        }
    )
    text = json.dumps(card.model_dump(mode="json"), indent=2) + "\n"
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.mkdir()
        for file, content in {**files, CARD: text.encode()}.items():
            (draft / file).write_bytes(content)
        replace(draft, out)
    except OSError as error:
        if not out.is_dir():  # else another run made the same directory first
            raise EncoderError(f"the encoder directory cannot be written: {system_reason(error)}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def _export(identity: EncoderIdentity, weights: Mapping[str, NDArray[np.generic]], size: int) -> tuple[bytes, int]:
    """The graph without its weights, and the length of an embedding."""
    try:
        import torch

        from lusfx.encoders.torch_runtime import grey_network
    except ImportError:
        raise MissingExtraError("converting an encoder", "timm") from None
    network = grey_network(identity, weights).eval()
    example = torch.zeros((2, size, size), dtype=torch.uint8)
    with torch.inference_mode():
        dim = int(network(example).shape[1])
    with _quiet_exporter():
        program: Any = torch.onnx.export(
            network,
            (example,),
            input_names=["images"],
            output_names=["embeddings"],
            dynamic_shapes={"images": {0: torch.export.Dim("n", min=1)}},
            opset_version=OPSET,
            dynamo=True,
            optimize=False,
            verbose=False,
        )
        _tidy(program.model)
    model = program.model_proto
    _detach_weights(model, weights)
    model.metadata_props.clear()
    return model.SerializeToString(deterministic=True), dim


def _tidy(model: Any) -> None:
    """Fold what the exporter leaves around constants, but no weight into another: they keep their values and names."""
    from onnxscript import optimizer

    optimizer.inline(model)
    optimizer.fold_constants(model, onnx_shape_inference=True)
    optimizer.remove_unused_nodes(model)


def _detach_weights(model: onnx.ModelProto, weights: Mapping[str, NDArray[np.generic]]) -> None:
    """Replace each weight in the graph by a reference to the tensor of that name."""
    import onnx

    prefix = "backbone."
    used = set()
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
        _rename(model, initializer.name, name)
        initializer.name = name
    forgotten = sorted(name for name in weights.keys() - used if not name.endswith(UNTRAINED))
    if forgotten:
        raise EncoderError(f"the exported graph does not use the weights {', '.join(forgotten[:3])}")
    for node in model.graph.node:
        node.ClearField("metadata_props")  # stack traces, with the paths of whoever converted it
        node.ClearField("doc_string")
    model.graph.ClearField("value_info")
    model.graph.ClearField("metadata_props")


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    for node in model.graph.node:
        for position, name in enumerate(node.input):
            if name == old:
                node.input[position] = new


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
