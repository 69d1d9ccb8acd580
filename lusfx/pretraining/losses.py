"""The objectives of joint-embedding pretraining: SimCLR, Barlow Twins and VICReg, with a weight for every pair.

The weights are those of intra-video positive pairs (IVPP; VanBerlo et al. 2024, arXiv 2403.07715): frames far apart in a clip
pull each other less. They enter as in the authors' code (github.com/bvanberl/IVPP): SimCLR weighs a pair's cross-entropies,
VICReg its squared distance and nothing else, Barlow Twins its share in the batch's moments (here in the correlations too, so
that identical views still correlate by 1). With all weights 1 each is the objective of its own paper.

The code is our own and not the ``lightly`` package's (1.6.0, MIT licence, no telemetry): its losses take no weights, and it
brings torchvision, pytorch-lightning and hydra for three formulas. The tests check them against the formulas in numpy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import torch

from lusfx.errors import UsageError

MIN_PAIRS = 2
"""Fewer than so many pairs in a joined batch have neither negatives nor a variance."""
BATCH_NORM_EPSILON = 1e-5
"""Added to a variance before its root is taken, as by the batch normalisation of Barlow Twins' published code."""
HINGE_EPSILON = 1e-4
"""Added to a variance before its root is taken (VICReg, equation 2)."""


def gather(tensor: torch.Tensor) -> torch.Tensor:
    """Join the tensors of all processes along the first axis, in order of rank; with gradients.

    Each process computes the loss of the whole joined batch. Going back, the gradients that all processes send to a tensor
    are summed; DistributedDataParallel then divides by their number, which leaves the gradient of one process on the joined
    batch.

    :param tensor: ``(n, ...)``, of the same shape in every process.
    :return: ``(n_processes * n, ...)``; the tensor itself where there is one process.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return tensor
    if torch.distributed.get_world_size() == 1:
        return tensor
    joined: torch.Tensor = _Gather.apply(tensor)
    return joined


class _Gather(torch.autograd.Function):  # type: ignore[misc] # torch is not followed by mypy
    """What ``torch.distributed.nn.functional.all_gather`` did before torch deprecated it for a private module."""

    @staticmethod
    def forward(context: Any, tensor: torch.Tensor) -> torch.Tensor:
        own = tensor.contiguous()
        parts = [torch.empty_like(own) for _ in range(torch.distributed.get_world_size())]
        torch.distributed.all_gather(parts, own)
        context.n = len(own)
        return torch.cat(parts)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone(memory_format=torch.contiguous_format)
        torch.distributed.all_reduce(total)
        start = torch.distributed.get_rank() * context.n
        return total[start : start + context.n]


class Loss(ABC):
    """What pretraining makes small.

    Computed in float32 (float64 where the embeddings are float64), under mixed precision too: exponentials and variances of
    half-precision numbers are too coarse.
    """

    name: ClassVar[str]
    """By which the command line knows it."""
    projector: ClassVar[tuple[int, ...]]
    """Widths of the default projector's layers, hidden ones first. The authors' (512, 512) for SimCLR; three equal layers,
    as in their papers, for the other two, narrower than the papers' 8192 because the encoders are small too."""

    def __call__(self, z_a: torch.Tensor, z_b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The loss of a batch, joined over all processes.

        :param z_a: ``(n, d)`` projections of the pairs' first views.
        :param z_b: ``(n, d)`` projections of their second views.
        :param weights: ``(n,)`` of the pairs, above 0 and at most 1.
        :return: a scalar.
        :raises UsageError: if shapes disagree or the joined batch has fewer than two pairs.
        """
        if z_a.ndim != 2 or z_a.shape != z_b.shape or weights.shape != z_a.shape[:1]:
            raise UsageError(
                f"a loss needs two arrays (n, d) and weights (n,), not {tuple(z_a.shape)}, {tuple(z_b.shape)} "
                f"and {tuple(weights.shape)}"
            )
        with torch.autocast(device_type=z_a.device.type, enabled=False):
            a, b = gather(_precise(z_a)), gather(_precise(z_b))
            w = gather(weights.to(a.dtype))
            if len(a) < MIN_PAIRS:
                raise UsageError("a batch needs at least two pairs")
            return self._of_joined(a, b, w)

    @abstractmethod
    def _of_joined(self, a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """The loss of ``(n, d)``, ``(n, d)`` and ``(n,)`` from all processes."""


class SimCLR(Loss):
    """NT-Xent: of all other views in the batch, a view's partner is to be the most similar (Chen et al. 2020, equation 1).

    :param temperature: of the softmax over cosine similarities; 0.1 is the paper's best and the authors' choice.
    """

    name = "simclr"
    projector = (512, 512)

    def __init__(self, temperature: float = 0.1) -> None:
        _require_above_zero("temperature", temperature)
        self.temperature = temperature

    def _of_joined(self, a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        n = len(a)
        views = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
        logits = views @ views.T / self.temperature
        itself = torch.eye(2 * n, dtype=torch.bool, device=logits.device)
        logits = logits.masked_fill(itself, float("-inf"))
        partner = torch.arange(2 * n, device=logits.device).roll(n)
        of_views = torch.nn.functional.cross_entropy(logits, partner, reduction="none")
        loss: torch.Tensor = (weights.repeat(2) * of_views).mean()
        return loss


class BarlowTwins(Loss):
    """The views' components correlate each with its like and with no other (Zbontar et al. 2021, equations 1 and 2).

    The loss is no sum over pairs: a pair's weight is its share in the means, variances and correlations over the batch.

    :param off_diagonal: weight of the redundancy reduction, the paper's lambda.
    """

    name = "barlow-twins"
    projector = (1024, 1024, 1024)

    def __init__(self, off_diagonal: float = 0.005) -> None:
        _require_above_zero("off_diagonal", off_diagonal)
        self.off_diagonal = off_diagonal

    def _of_joined(self, a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        shares = (weights / weights.sum())[:, None]
        correlation = (shares * _standardised(a, shares)).T @ _standardised(b, shares)
        diagonal = correlation.diagonal()
        off_diagonal = correlation.square().sum() - diagonal.square().sum()
        loss: torch.Tensor = (1 - diagonal).square().sum() + self.off_diagonal * off_diagonal
        return loss


class VICReg(Loss):
    """Views agree (invariance), components vary (variance) and do not repeat each other (covariance): Bardes et al. 2022.

    The paper's equation 6 with the scales of its published code, for which its coefficients were found: the squared distance
    is a mean over components too, and the variance hinge a mean over both views. Only the invariance is weighted.

    :param invariance: the paper's lambda.
    :param variance: the paper's mu.
    :param covariance: the paper's nu.
    """

    name = "vicreg"
    projector = (1024, 1024, 1024)

    def __init__(self, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0) -> None:
        _require_above_zero("invariance", invariance)
        _require_above_zero("variance", variance)
        _require_above_zero("covariance", covariance)
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def _of_joined(self, a: torch.Tensor, b: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        distance = (weights[:, None] * (a - b).square()).mean()
        hinge = (_hinge(a) + _hinge(b)) / 2
        loss: torch.Tensor = (
            self.invariance * distance + self.variance * hinge + self.covariance * (_covariance(a) + _covariance(b))
        )
        return loss


LOSSES: Mapping[str, type[Loss]] = {loss.name: loss for loss in (SimCLR, BarlowTwins, VICReg)}
"""By name; each can be made without arguments."""


def _standardised(z: torch.Tensor, shares: torch.Tensor) -> torch.Tensor:
    """``(n, d)`` with weighted mean 0 and weighted variance 1 over the batch, a component."""
    centred = z - (shares * z).sum(dim=0)
    variance = (shares * centred.square()).sum(dim=0)
    return centred * torch.rsqrt(variance + BATCH_NORM_EPSILON)


def _hinge(z: torch.Tensor) -> torch.Tensor:
    """How far the components' standard deviations are below 1, on average."""
    return torch.relu(1 - torch.sqrt(z.var(dim=0) + HINGE_EPSILON)).mean()


def _covariance(z: torch.Tensor) -> torch.Tensor:
    """Squared covariances between different components, summed, over the number of components."""
    centred = z - z.mean(dim=0)
    covariance = centred.T @ centred / (len(z) - 1)
    squares = covariance.square()
    return (squares.sum() - squares.diagonal().sum()) / z.shape[1]


def _precise(z: torch.Tensor) -> torch.Tensor:
    return z if z.dtype == torch.float64 else z.float()


def _require_above_zero(what: str, value: float) -> None:
    if not 0 < value < float("inf"):
        raise UsageError(f"{what} is a number above 0, not {value}")
