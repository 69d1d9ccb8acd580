"""How a network is to be built, known before torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.backbone import LAST_LAYER
from lusfx.errors import MissingExtraError

if TYPE_CHECKING:
    from lusfx.networks.network import PretrainingNetwork


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """How a network is built: its backbone and its initial weights.

    :param architecture: timm's name of the backbone.
    :param size: side of the frames in pixels.
    :param weights: safetensors file of the backbone's weights; None for random ones.
    :param normalisation: mean and standard deviation of the grey values from 0 to 1, a value a channel each; None for timm's.
    :param layer: the layer that gives the embedding; see :func:`lusfx.backbone.make_backbone`.
    """

    architecture: str
    size: int
    weights: Path | None = None
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = None
    layer: str = LAST_LAYER

    def backbone(self, seed: int) -> PretrainingNetwork:
        """The network on the CPU, without a projector; see :meth:`with_projector`."""
        return self.with_projector((), seed)

    def with_projector(self, widths: Sequence[int], seed: int) -> PretrainingNetwork:
        """The network on the CPU.

        :param widths: of the projector's layers; see :func:`lusfx.networks.network.make_network`.
        :param seed: of random weights.
        :raises UsageError: if timm has no such model, or it takes no frames of this size.
        :raises EncoderError: if the weights do not fit, or there is no such layer.
        """
        from lusfx.networks.network import make_network

        return make_network(self.architecture, widths, self.size, seed, self.weights, self.normalisation, self.layer)


def require_timm(what: str) -> None:
    """Say in words, and before any work, that torch or timm is missing.

    :raises MissingExtraError: if one is not installed.
    """
    try:
        import timm  # noqa: F401 - imported where it is used
        import torch  # noqa: F401
    except ImportError:
        raise MissingExtraError(what, "timm") from None
