"""Torch, for CUDA devices and as the reference that the ONNX graphs are made from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.backbone import FAMILY, make_backbone
from lusfx.config import EncoderIdentity, Precision
from lusfx.encoders.batch import Compute
from lusfx.encoders.card import WEIGHTS, EncoderCard, parse_weights, read_file
from lusfx.errors import EncoderError, MissingExtraError

if TYPE_CHECKING:
    import torch


def load_torch(directory: Path, card: EncoderCard, device: str, precision: Precision = "float32") -> Compute:
    """Build the network of a card with its checked weights.

    :param device: ``cpu`` or ``cuda``.
    :param precision: ``float16`` is torch's autocast: convolutions and products in float16, sums in float32.
    :raises EncoderError: if the weights do not fit the architecture to the last key.
    """
    import torch

    weights = parse_weights(read_file(directory, card, WEIGHTS), card)
    network = grey_network(card.identity, weights).eval().to(device, memory_format=torch.channels_last)
    torch.backends.cuda.matmul.allow_tf32 = False  # embeddings are float32 to 1e-4 on every runtime
    torch.backends.cudnn.allow_tf32 = False

    def compute(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        held = torch.from_numpy(np.require(images, requirements=["C", "W"]))
        if device == "cuda":
            held = held.pin_memory()  # only then is the copy to the device not waited for
        with torch.inference_mode(), torch.autocast(device, torch.float16, enabled=precision == "float16"):
            embeddings: NDArray[np.float32] = network(held.to(device, non_blocking=True)).float().cpu().numpy()
        return embeddings

    return compute


def grey_network(identity: EncoderIdentity, weights: Mapping[str, NDArray[np.generic]]) -> torch.nn.Module:
    """The network from grey uint8 images ``(n, size, size)`` to embeddings ``(n, dim)``, normalisation inside.

    :raises EncoderError: if a weight is missing, left over or of another shape.
    """
    import torch

    backbone = _backbone(identity)
    try:
        backbone.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in weights.items()})
    except RuntimeError as error:
        raise EncoderError(f"the weights do not fit {identity.architecture}: {' '.join(str(error).split())}") from None

    class GreyNetwork(torch.nn.Module):  # type: ignore[misc] # torch is not followed by mypy
        def __init__(self) -> None:
            super().__init__()
            self.backbone = backbone
            mean = torch.tensor(identity.mean, dtype=torch.float32).reshape(1, -1, 1, 1)
            std = torch.tensor(identity.std, dtype=torch.float32).reshape(1, -1, 1, 1)
            self.register_buffer("scale", 1 / (255 * std), persistent=False)
            self.register_buffer("shift", -mean / std, persistent=False)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            grey = images.unsqueeze(1).to(torch.float32)
            embeddings: torch.Tensor = self.backbone(grey * self.scale + self.shift)
            return embeddings

    return GreyNetwork()


def _backbone(identity: EncoderIdentity) -> torch.nn.Module:
    if not identity.architecture.startswith(FAMILY):
        raise EncoderError(f"there is no torch network for the architecture '{identity.architecture}'")
    if identity.pooling == "none":
        raise EncoderError("a network of timm pools, and not by 'none'")
    name = identity.architecture.removeprefix(FAMILY)
    try:
        return make_backbone(name, identity.layer, identity.pooling, identity.input_size)
    except ImportError:
        raise MissingExtraError(f"the network {identity.architecture}", "timm") from None
