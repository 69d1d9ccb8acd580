"""``timm/<name>``: any timm backbone, converted once to an encoder directory of this user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import make_backbone, read_weights, require_architecture
from lusfx.config import PreprocessSpec
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.encoders.card import weights_sha256
from lusfx.encoders.conversion import make_directory
from lusfx.encoders.converted import converted_directory, converted_named
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError, MissingExtraError
from lusfx.messages import short

if TYPE_CHECKING:
    import torch


def open_timm(request: EncoderRequest) -> Encoder:
    """Open ``timm/<name>`` with the weights of a file, or else of timm's model hub.

    Where nothing may be fetched, the one that was converted here is opened.

    :raises UsageError: if timm has no such model.
    :raises EncoderError: if the weights do not fit, or the hub cannot be reached, or may not be and nothing is here.
    :raises MissingExtraError: without timm.
    """
    if request.weights is None and not request.download:
        return _opened(_converted(request.name), request)
    name = request.name.partition("/")[2]
    try:
        import timm  # noqa: F401 - imported where it is used
    except ImportError:
        raise MissingExtraError(f"the encoder {request.name}", "timm") from None
    require_architecture(name)
    if request.weights is None:
        weights, configuration, source = _from_hub(name)
    else:
        weights, configuration, source = _from_file(name, request.weights)
    digest = weights_sha256(weights)
    directory = converted_directory() / f"timm-{name}@{short(digest)}"
    if not directory.is_dir():
        make_directory(
            directory,
            name=request.name,
            architecture=request.name,
            weights=weights,
            mean=tuple(configuration["mean"]),
            std=tuple(configuration["std"]),
            preprocess=PreprocessSpec(size=configuration["input_size"][-1]),
            licence=str(configuration.get("license") or "unknown"),
            training_data="see the source",
            source=source,
            model_card=f"# {request.name}\n\nConverted by lusfx from {source}, weights {digest}.\n",
        )
    return _opened(directory, request)


def _opened(directory: Path, request: EncoderRequest) -> Encoder:
    return DirectoryEncoder(directory, request.device, request.threads, request.precision, request.runtime)


def _converted(name: str) -> Path:
    found = converted_named(name)
    if len(found) == 1:
        return found[0]
    held = "was not converted on this machine" if not found else f"was converted here from {len(found)} sets of weights"
    raise EncoderError(
        f"the encoder {name} {held}, and nothing is fetched for this. Name its directory with --encoder. To make one: "
        f"lusfx extract SOURCES... --cache DIR --encoder {name} --weights FILE"
    )


def _from_hub(name: str) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any], str]:
    import timm

    try:
        network: torch.nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the hub's client raises: no network, no such file, no permission
        raise EncoderError(
            f"the weights of timm/{name} cannot be downloaded ({type(error).__name__}). Have them from a file: "
            f"lusfx extract SOURCES... --cache DIR --encoder timm/{name} --weights FILE. Or have a plugin's "
            "lusfx_resolve_weights answer with a mirror's"
        ) from None
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    return weights, dict(network.pretrained_cfg), f"timm's model hub, {network.pretrained_cfg.get('tag') or name}"


def _from_file(name: str, file: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any], str]:
    network = make_backbone(name)
    weights = {key: value.numpy() for key, value in read_weights(file, name, network.state_dict()).items()}
    return weights, dict(network.pretrained_cfg), "a local safetensors file"
