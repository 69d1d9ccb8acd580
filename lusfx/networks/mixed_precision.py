"""What a network is trained in: half precision on CUDA, float32 on the CPU."""

from __future__ import annotations

from typing import Any

import torch


class MixedPrecision:
    """The half-precision type of a device, and the scaler of the losses that it needs.

    :param device: where the network is trained.
    """

    def __init__(self, device: torch.device) -> None:
        on_cuda = device.type == "cuda"
        self._device = device
        self._half = torch.bfloat16 if on_cuda and torch.cuda.is_bf16_supported() else torch.float16
        self.scaler = torch.amp.GradScaler(device.type, enabled=on_cuda and self._half is torch.float16)

    def autocast(self) -> Any:
        """A context in which networks compute in half precision on CUDA, and as they are on the CPU."""
        return torch.autocast(self._device.type, self._half, enabled=self._device.type == "cuda")
