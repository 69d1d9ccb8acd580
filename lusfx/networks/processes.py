"""Several processes that train one network, as ``torchrun`` starts them: who is who, and statistics over all of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from lusfx.errors import UsageError

if TYPE_CHECKING:
    import torch

TIMEOUT = timedelta(days=2)
"""How long processes wait for each other: the first decodes the whole archive while the others wait."""


@dataclass(frozen=True, slots=True)
class Processes:
    """This process among those of the run.

    :param rank: its number, from 0; the first alone decodes and writes.
    :param world: how many there are.
    :param device: where this one computes.
    """

    rank: int
    world: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def barrier(self) -> None:
        """Wait for all."""
        self.any(False)

    def any(self, value: bool) -> bool:
        """Whether it is so in any process; the same answer in all."""
        return bool(self.sum([float(value)])[0])

    def sum(self, values: list[float]) -> list[float]:
        """Sum each value over all processes."""
        if self.world == 1:
            return values
        import torch

        tensor = torch.tensor(values, dtype=torch.float64, device=self.device)
        torch.distributed.all_reduce(tensor)
        return [float(value) for value in tensor.tolist()]


@contextmanager
def processes(device: Literal["auto", "cpu", "cuda"]) -> Iterator[Processes]:
    """Join the others that ``torchrun`` started (``RANK``, ``WORLD_SIZE``, ``LOCAL_RANK``); alone where it did not.

    :raises UsageError: if a CUDA device is wanted and there is none for this process.
    """
    import torch

    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    on_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_cuda:
        local = int(os.environ.get("LOCAL_RANK", "0"))
        if local >= torch.cuda.device_count():
            raise UsageError(f"there is no CUDA device for process {rank}. Use --device cpu, or fewer processes")
        torch.cuda.set_device(local)
        chosen = torch.device("cuda", local)
    else:
        chosen = torch.device("cpu")
    if world == 1:
        yield Processes(0, 1, chosen)
        return
    torch.distributed.init_process_group("nccl" if on_cuda else "gloo", timeout=TIMEOUT)
    try:
        yield Processes(rank, world, chosen)
    finally:
        torch.distributed.destroy_process_group()


def share_batch_norms(module: torch.nn.Module) -> None:
    """Make every batch normalisation take its statistics over the batches of all processes, in place.

    torch's own ``SyncBatchNorm`` computes on GPUs only; this one is the same on any device, so that what is tested on two
    CPU processes is what runs on eight GPUs. timm's layers that end in an activation keep it.
    """
    from torch import nn

    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm1d | nn.BatchNorm2d):
            setattr(module, name, _shared(child))
        else:
            share_batch_norms(child)


def _shared(layer: Any) -> torch.nn.Module:
    import torch
    from torch import nn

    class Summed(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy
        """Sum over processes; so is the gradient, since each process's loss depends on the sum."""

        @staticmethod
        def forward(_ctx: Any, values: torch.Tensor) -> torch.Tensor:
            values = values.contiguous().clone()
            torch.distributed.all_reduce(values)
            return values

        @staticmethod
        def backward(_ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
            gradient = gradient.contiguous().clone()
            torch.distributed.all_reduce(gradient)
            return gradient

    class SharedBatchNorm(nn.Module):  # type: ignore[misc] # likewise
        def __init__(self) -> None:
            super().__init__()
            self.eps, self.momentum = layer.eps, layer.momentum
            self.weight, self.bias = layer.weight, layer.bias
            for name in ("running_mean", "running_var", "num_batches_tracked"):
                self.register_buffer(name, getattr(layer, name))
            self.drop = getattr(layer, "drop", nn.Identity())
            self.act = getattr(layer, "act", nn.Identity())

        def forward(self, x: torch.Tensor) -> torch.Tensor:
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
            mean = Summed.apply(x.sum(axes)) / count
            centred = x - mean.reshape((1, -1) + (1,) * (x.ndim - 2))
            variance = Summed.apply(centred.square().sum(axes)) / count
            with torch.no_grad():
                self.num_batches_tracked += 1
                rate = self.momentum if self.momentum is not None else 1 / float(self.num_batches_tracked)
                self.running_mean.lerp_(mean.detach(), rate)
                self.running_var.lerp_(variance.detach() * count / max(count - 1, 1), rate)
            return mean, variance

    return SharedBatchNorm()
