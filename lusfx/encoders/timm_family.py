"""``timm/<name>``: any timm backbone, converted once to an encoder directory of this user."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import make_backbone, read_weights, require_architecture
from lusfx.config import PreprocessSpec, user_directory
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.encoders.card import weights_sha256
from lusfx.encoders.conversion import make_directory
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError, MissingExtraError
from lusfx.messages import short

if TYPE_CHECKING:
    import torch


def open_timm(request: EncoderRequest) -> Encoder:
    """Open ``timm/<name>`` with the weights of a file, or else of timm's model hub.

    :raises UsageError: if timm has no such model.
    :raises EncoderError: if the weights do not fit, or the hub cannot be reached.
    :raises MissingExtraError: without timm.
    """
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
    directory = user_directory() / "encoders" / f"timm-{name}@{short(digest)}"
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
    return DirectoryEncoder(directory, request.device, request.threads, request.precision, request.runtime)


def _from_hub(name: str) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any], str]:
    import timm

    try:
        network: torch.nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except Exception as error:  # whatever the hub's client raises: no network, no such file, no permission
        raise EncoderError(
            f"the weights of timm/{name} cannot be downloaded ({type(error).__name__}). Name a file with --weights, or "
            "have a plugin's lusfx_resolve_weights answer with a mirror's"
        ) from None
    weights = {key: value.numpy() for key, value in network.state_dict().items()}
    return weights, dict(network.pretrained_cfg), f"timm's model hub, {network.pretrained_cfg.get('tag') or name}"


def _from_file(name: str, file: Path) -> tuple[dict[str, NDArray[np.generic]], dict[str, Any], str]:
    network = make_backbone(name)
    weights = {key: value.numpy() for key, value in read_weights(file, name, network.state_dict()).items()}
    return weights, dict(network.pretrained_cfg), "a local safetensors file"
