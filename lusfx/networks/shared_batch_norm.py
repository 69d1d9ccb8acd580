"""Batch normalisation whose statistics are of the batches of all processes."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def share_batch_norms(module: nn.Module) -> None:
    """Make every batch normalisation take its statistics over the batches of all processes, in place.

    torch's own ``SyncBatchNorm`` computes on GPUs only; this one is the same on any device, so that what is tested on two
    CPU processes is what runs on eight GPUs. timm's layers that end in an activation keep it.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, SharedBatchNorm(child))
        else:
            share_batch_norms(child)


class _Sum(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy
    """Sum over processes; so is the gradient, since each process's loss depends on the sum."""

    @staticmethod
    def forward(_context: Any, values: torch.Tensor) -> torch.Tensor:
        values = values.contiguous().clone()
        torch.distributed.all_reduce(values)
        return values

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        gradient = gradient.contiguous().clone()
        torch.distributed.all_reduce(gradient)
        return gradient


class SharedBatchNorm(nn.Module):  # type: ignore[misc] # likewise
    """Takes the place of a batch normalisation.

    :param layer: whose parameters and buffers it shares.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.eps, self.momentum = layer.eps, layer.momentum
        self.weight, self.bias = layer.weight, layer.bias
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, getattr(layer, name))
        self.drop = getattr(layer, "drop", nn.Identity())
        self.act = getattr(layer, "act", nn.Identity())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See :meth:`torch.nn.BatchNorm2d.forward`; ``(n, channels, ...)``."""
        values = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.training:
            mean, variance = self._statistics(values)
        else:
            mean, variance = self.running_mean, self.running_var
        shape = (1, -1) + (1,) * (x.ndim - 2)
        values = (values - mean.reshape(shape)) * torch.rsqrt(variance + self.eps).reshape(shape)
        if self.weight is not None:
            values = values * self.weight.reshape(shape) + self.bias.reshape(shape)
        result: torch.Tensor = self.act(self.drop(values.to(x.dtype)))
        return result

    def _statistics(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and variance over all processes; two passes, since squares of uncentred values lose digits."""
        axes = [0, *range(2, x.ndim)]
        count = torch.distributed.get_world_size() * x.numel() / x.shape[1]  # all processes have equal shares
        mean = _Sum.apply(x.sum(axes)) / count
        centred = x - mean.reshape((1, -1) + (1,) * (x.ndim - 2))
        variance = _Sum.apply(centred.square().sum(axes)) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
            self.running_mean.lerp_(mean.detach(), rate)
            self.running_var.lerp_(variance.detach() * count / max(count - 1, 1), rate)
        return mean, variance
