"""The network that is pretrained: a timm backbone, which becomes the encoder, and a projector, which is thrown away."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import nn

from lusfx.backbone import LAST_LAYER, make_backbone, read_weights, require_architecture
from lusfx.errors import UsageError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class BackboneAndProjector(nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """The module that is trained: float32 grey frames ``(n, 1, size, size)`` from 0 to 1 -> projections."""

    def __init__(
        self, backbone: nn.Module, projector: nn.Module, mean: tuple[float, ...], std: tuple[float, ...]
    ) -> None:
        super().__init__()
        self.backbone = backbone
        self.projector = projector
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).reshape(1, -1, 1, 1), persistent=False)

    def features(self, frames: torch.Tensor) -> torch.Tensor:
        """Embeddings ``(n, dim)``, before the projector."""
        normalised = ((frames - self.mean) / self.std).contiguous(memory_format=torch.channels_last)
        embeddings: torch.Tensor = self.backbone(normalised)
        return embeddings

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Projections ``(n, projector[-1])``."""
        projections: torch.Tensor = self.projector(self.features(frames))
        return projections


@dataclass(frozen=True, slots=True)
class PretrainingNetwork:
    """A backbone with its projector.

    :param module: float32 grey frames ``(n, 1, size, size)`` from 0 to 1 -> projections ``(n, projector[-1])``.
    :param backbone: the part that is kept; takes what :meth:`embed` normalises.
    :param dim: length of an embedding.
    :param mean: subtracted from the grey value, one a channel; ``std`` divides after that.
    """

    module: nn.Module
    backbone: nn.Module
    dim: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def backbone_weights(self) -> dict[str, NDArray[np.generic]]:
        """Copies of the backbone's weights, under timm's names."""
        return {name: value.detach().cpu().numpy().copy() for name, value in self.backbone.state_dict().items()}

    def embed(self, frames: NDArray[np.uint8], batch: int = 64) -> NDArray[np.float32]:
        """Embeddings as the finished encoder would give them: float32, with the running statistics of batch normalisation.

        :param frames: ``(n, size, size)``.
        :returns: ``(n, dim)``.
        """
        device = next(self.backbone.parameters()).device
        was_training = self.module.training
        self.module.eval()
        try:
            with torch.inference_mode():
                parts = [
                    self.module.features(grey(frames[start : start + batch], device)).float().cpu().numpy()
                    for start in range(0, len(frames), batch)
                ]
        finally:
            self.module.train(was_training)
        return np.concatenate(parts) if parts else np.empty((0, self.dim), np.float32)


def grey(frames: NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Stored frames ``(n, size, size)`` as float32 ``(n, 1, size, size)`` from 0 to 1 on a device."""
    return torch.from_numpy(np.array(frames)).to(device).unsqueeze(1).to(torch.float32) / 255


def make_network(
    architecture: str,
    projector: Sequence[int],
    size: int,
    seed: int,
    weights: Path | None,
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None,
    layer: str = LAST_LAYER,
) -> PretrainingNetwork:
    """Build a network on the CPU.

    :param architecture: timm's name.
    :param projector: widths of the projector's layers; between two a batch normalisation and a ReLU, after the last nothing.
        Without any, projections are the embeddings.
    :param size: side of the frames in pixels.
    :param seed: of the random weights; the caller's generator is left alone.
    :param weights: safetensors file that the backbone begins with; None for random weights.
    :param normalisation: mean and standard deviation, a value a channel each; None for timm's own.
    :param layer: the layer that gives the embedding; see :func:`lusfx.backbone.make_backbone`.
    :raises UsageError: if timm has no such model, or it takes no frames of this size.
    :raises EncoderError: if the weights do not fit, or there is no such layer.
    """
    require_architecture(architecture)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        backbone = make_backbone(architecture, layer)
        if weights is not None:
            backbone.load_state_dict(read_weights(weights, architecture, backbone.state_dict()))
        dim = _dim(backbone, architecture, size)
        mean, std = normalisation or _normalisation(timm.get_pretrained_cfg(architecture).to_dict())
        module = BackboneAndProjector(backbone, _projector(dim, projector), mean, std)
    return PretrainingNetwork(module, backbone, dim, mean, std)


def _normalisation(configuration: dict[str, Any]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    mean, std = (tuple(map(float, configuration.get(name) or ())) for name in ("mean", "std"))
    return (mean, std) if len(mean) == len(std) == 3 else (IMAGENET_MEAN, IMAGENET_STD)


def _dim(backbone: nn.Module, architecture: str, size: int) -> int:
    backbone.eval()
    try:
        with torch.inference_mode():
            shape = backbone(torch.zeros(1, 3, size, size)).shape
    except (RuntimeError, AssertionError, ValueError) as error:
        raise UsageError(f"timm/{architecture} takes no frames of {size} px ({type(error).__name__})") from None
    if len(shape) != 2:
        raise UsageError(f"timm/{architecture} gives no single vector a frame")
    return int(shape[1])


def _projector(dim: int, widths: Sequence[int]) -> nn.Module:
    """Linear layers with batch normalisation and ReLU between them (Chen 2020, Zbontar 2021, Bardes 2022).

    A layer before a batch normalisation has no bias: the normalisation would take it off again.
    """
    if not widths:
        return nn.Identity()
    layers: list[nn.Module] = []
    for before, after in zip([dim, *widths[:-2]], widths[:-1], strict=True):
        layers += [nn.Linear(before, after, bias=False), nn.BatchNorm1d(after), nn.ReLU(inplace=True)]
    layers.append(nn.Linear(widths[-2] if len(widths) > 1 else dim, widths[-1]))
    return nn.Sequential(*layers)
