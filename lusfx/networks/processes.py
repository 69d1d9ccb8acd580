"""Several processes that train one network, as ``torchrun`` starts them: who is who, and what they say together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

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
