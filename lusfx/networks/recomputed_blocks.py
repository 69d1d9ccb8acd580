"""Activations that are computed again when they are needed, in place of being kept: training in a fraction of the memory.

Of each block of the backbone only what goes in is kept; its inside is computed a second time on the way back (activation
checkpointing, Chen et al. 2016, arXiv 1604.06174). The whole batch passes through each block at once as before, so batch
normalisation and losses, which look at the whole batch, are the same, and so are random draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from lusfx.backbone import blocks

RECOMPUTE_ABOVE_BYTES = 1 << 30
"""From here on a batch's activations are not kept: below, the memory is worth less than the time."""
TRIAL_FRAMES = 2


def kept_bytes(module: nn.Module, size: int, n_frames: int) -> int:
    """Bytes that a training step keeps of a batch for the way back, from a trial with two frames.

    :param module: takes frames ``(n, 1, size, size)``; it stays as it is.
    :param n_frames: of the batch.
    """
    weights = {weight.untyped_storage().data_ptr() for weight in module.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    some = next(module.parameters())
    was_training = module.training
    module.train()
    try:
        with (
            torch.random.fork_rng(devices=[]),
            buffers_left_alone(module),
            torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
        ):
            module(torch.zeros(TRIAL_FRAMES, 1, size, size, dtype=some.dtype, device=some.device))
    finally:
        module.train(was_training)
    return sum(kept.values()) * n_frames // TRIAL_FRAMES


def recompute_blocks(backbone: nn.Module) -> int:
    """Make a backbone's blocks compute their inside again on the way back, in place.

    Gradients have to be taken within :func:`buffers_left_alone`.

    :returns: how many blocks it has; of a backbone without any all is kept, as before.
    """
    found = blocks(backbone)
    for block in found:
        block.forward = _recomputed(block.forward)
    return len(found)


def _recomputed(forward: Callable[..., Any]) -> Callable[..., Any]:
    def computed(*given: torch.Tensor) -> Any:
        if not torch.is_grad_enabled():
            return forward(*given)
        return checkpoint(forward, *given, use_reentrant=False)

    return computed


@contextmanager
def buffers_left_alone(module: nn.Module) -> Iterator[None]:
    """What is computed again in here counts no second time: running statistics are put back as they were."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
