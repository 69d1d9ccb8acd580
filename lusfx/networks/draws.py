"""Random numbers of an augmentation, all from one generator."""

from __future__ import annotations

import torch


class Draws:
    """Random numbers from one generator, on the frames' device."""

    def __init__(self, generator: torch.Generator, device: torch.device) -> None:
        self._generator = generator
        self._device = device

    def uniform(self, n: int, low: float, high: float) -> torch.Tensor:
        """``(n,)`` from ``low`` to ``high``."""
        drawn = torch.rand(n, generator=self._generator, device=self._generator.device).to(self._device)
        return low + (high - low) * drawn

    def normal(self, shape: torch.Size | tuple[int, ...]) -> torch.Tensor:
        """Standard normal."""
        return torch.randn(shape, generator=self._generator, device=self._generator.device).to(self._device)

    def happens(self, n: int, probability: float) -> torch.Tensor:
        """``(n,)`` bool."""
        return self.uniform(n, 0.0, 1.0) < probability

    def chosen(self, n: int, probability: float) -> torch.Tensor:
        """The numbers of those frames, of ``n``, to which something of this probability happens."""
        return self.happens(n, probability).nonzero()[:, 0]

    def sign(self, n: int) -> torch.Tensor:
        """``(n, 1, 1, 2)`` that flips the x of a grid, for every other frame on average."""
        x = 1 - 2 * self.happens(n, 0.5).float()
        return torch.stack([x, torch.ones_like(x)], dim=-1)[:, None, None]
