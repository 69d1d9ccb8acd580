"""Making encoder directories: from a timm architecture with its weights, or from an ONNX file."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import LAST_LAYER
from lusfx.config import EncoderIdentity, Pooled, PreprocessSpec
from lusfx.encoders.card import (
    CARD,
    FORMAT_VERSION,
    GRAPH,
    MODEL_CARD,
    WEIGHTS,
    EncoderCard,
    Origin,
    TrainingSets,
    weights_sha256,
)
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.encoders.export import export
from lusfx.encoders.probe import Probe
from lusfx.encoders.trial import tried
from lusfx.errors import EncoderError
from lusfx.messages import system_reason
from lusfx.patience import replace


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
    pooling: Pooled = "mean",
    input_size: int | None = None,
    training_sets: TrainingSets | None = None,
    origin: Origin | None = None,
) -> EncoderCard:
    """Write an encoder directory of a timm architecture: weights once, and a graph that refers to them.

    :param out: must not exist; it appears whole or not at all.
    :param weights: the state dictionary of :func:`lusfx.backbone.make_backbone`, to the last key.
    :param mean: a value a channel, on a scale of 0 to 1; ``std`` likewise.
    :param layer: the layer that is taken; see :func:`lusfx.backbone.make_backbone`, as for ``pooling`` and ``input_size``.
    :param training_sets: the data sets that the weights have seen; None where nobody says.
    :param origin: of an imported checkpoint.
    :raises EncoderError: if the weights do not fit, give values that are not finite, or ONNX Runtime computes something else
        of the graph than torch.
    :raises MissingExtraError: without torch, timm and onnx.
    """
    from safetensors.numpy import save

    draft = EncoderIdentity(
        architecture=architecture,
        weights_sha256=weights_sha256(weights),
        layer=layer,
        pooling=pooling,
        input_size=input_size,
        dim=1,
        channels=3 if len(mean) == 3 else 1,
        mean=mean,
        std=std,
    )
    graph, embedding = export(draft, weights, preprocess.size)
    identity = draft.model_copy(update={"dim": len(embedding), "graph_sha256": hashlib.sha256(graph).hexdigest()})
    files = {
        WEIGHTS: save({key: np.array(value, order="C") for key, value in weights.items()}),
        GRAPH: graph,
        MODEL_CARD: model_card.encode(),
    }
    probe = _finite(Probe.of(embedding))
    facts = {"licence": licence, "training_data": training_data, "source": source}
    return _write(
        out, name, identity, preprocess, facts | {"training_sets": training_sets, "origin": origin}, files, probe
    )


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
    :raises EncoderError: if the graph cannot be loaded, or gives something else, or values that are not finite, or does not
        end, for one image.
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
    facts = {"licence": licence, "training_data": training_data, "source": source}
    return _write(out, name, identity, preprocess, facts, files, None)


def _finite(probe: Probe) -> Probe:
    if probe.values() is None:
        raise EncoderError("the encoder gives values that are not finite for an image with contrast: it cannot be used")
    return probe


def _write(
    out: Path,
    name: str,
    identity: EncoderIdentity,
    preprocess: PreprocessSpec,
    facts: Mapping[str, object],
    files: Mapping[str, bytes],
    probe: Probe | None,
) -> EncoderCard:
    """Write the directory; without a probe, what the graph makes of the image becomes the card's."""
    card = EncoderCard.model_validate(
        {
            "format_version": 1,
            "name": name,
            "identity": identity,
            "preprocess": preprocess,
            **facts,
            "files": {file: hashlib.sha256(content).hexdigest() for file, content in sorted(files.items())},
        }
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    draft = out.with_name(f".{out.name}-{os.getpid()}-{secrets.token_hex(4)}")
    try:
        draft.mkdir()
        for file, content in files.items():
            (draft / file).write_bytes(content)
        if probe is None:
            _write_card(draft, card)
            probe = _finite(tried(draft))
        card = card.model_copy(update={"format_version": FORMAT_VERSION, "probe": probe})
        _write_card(draft, card)
        DirectoryEncoder(draft, "cpu", 1, "float32", "onnxruntime").warm_up()  # compares the probe
        replace(draft, out)
    except OSError as error:
        if not out.is_dir():  # else another run made the same directory first
            raise EncoderError(f"the encoder directory cannot be written: {system_reason(error)}") from None
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return card


def _write_card(directory: Path, card: EncoderCard) -> None:
    text = json.dumps(card.model_dump(mode="json"), indent=2) + "\n"
    (directory / CARD).write_bytes(text.encode())
