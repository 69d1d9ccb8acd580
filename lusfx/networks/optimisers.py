"""What moves the weights: LARS or AdamW, and the factor on the learning rate, which warms up and then falls as a cosine.

States are plain tensors and numbers, so that they can be stored without pickle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Literal

import torch

from lusfx.errors import UsageError

OptimiserName = Literal["lars", "adamw"]


class LARS(torch.optim.Optimizer):  # type: ignore[misc] # torch is not followed by mypy
    """Momentum whose step is in proportion to each layer's weights (You et al. 2017, arXiv 1708.03888), as in SimCLR.

    Per parameter w with gradient g: ``g += weight_decay * w``; the learning rate is multiplied by
    ``trust * |w| / |g|`` where both norms are above 0; ``m = momentum * m + rate * g``; ``w -= m``.
    A group with ``adapt`` false keeps the learning rate as it is.

    :param parameters: parameters, or groups of them: ``params``, ``weight_decay`` and ``adapt``.
    :param lr: the learning rate.
    :param momentum: what remains of the last step.
    :param weight_decay: L2 penalty, added to the gradient.
    :param trust: the paper's trust coefficient eta.
    """

    def __init__(
        self,
        parameters: Iterable[torch.nn.Parameter] | Iterable[dict[str, object]],
        lr: float,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        trust: float = 1e-3,
    ) -> None:
        defaults = {"lr": lr, "momentum": momentum, "weight_decay": weight_decay, "trust": trust, "adapt": True}
        super().__init__(parameters, defaults)

    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """Move the weights once.

        :param closure: computes the loss anew, where the caller wants that.
        :return: the closure's loss.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        with torch.no_grad():
            for group in self.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._move(parameter, group)
        return loss

    def _move(self, parameter: torch.nn.Parameter, group: dict[str, float]) -> None:
        gradient = parameter.grad
        if group["weight_decay"]:
            gradient = gradient.add(parameter, alpha=group["weight_decay"])
        if group["adapt"]:
            weight_norm, gradient_norm = parameter.norm(), gradient.norm()
            ratio = group["trust"] * weight_norm / gradient_norm
            sound = (weight_norm > 0) & (gradient_norm > 0)
            gradient = gradient * torch.where(sound, ratio, torch.ones_like(ratio))  # no wait for the GPU
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        state["momentum"].mul_(group["momentum"]).add_(gradient, alpha=group["lr"])
        parameter.sub_(state["momentum"])


def cosine_with_warmup(step: int, warmup: int, total: int) -> float:
    """Factor on the learning rate: rises in a straight line to 1, then falls to 0 as half a cosine (Loshchilov & Hutter 2017).

    :param step: which one, from 0.
    :param warmup: steps until the factor is 1.
    :param total: steps of the whole run; from there on the factor is 0.
    :raises UsageError: if the warm-up is not shorter than the run.
    """
    if not 0 <= warmup < total:
        raise UsageError(f"a warm-up of {warmup} steps does not fit a run of {total}")
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return (1 + math.cos(math.pi * min((step - warmup) / (total - warmup), 1.0))) / 2


def make_optimiser(
    name: OptimiserName, parameters: Iterable[torch.nn.Parameter], lr: float, weight_decay: float
) -> torch.optim.Optimizer:
    """The optimiser by name. Biases and the parameters of norms, all of one axis at most, get no weight decay and no LARS
    adaptation, as in SimCLR.

    :param parameters: all that are trained, always in the same order: a stored state counts them.
    :param lr: the learning rate at factor 1.
    :raises UsageError: if there is no such optimiser, or nothing to train.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    weights = [parameter for parameter in trained if parameter.ndim > 1]
    others = [parameter for parameter in trained if parameter.ndim <= 1]
    if not trained:
        raise UsageError("there is no parameter to train")
    groups: list[dict[str, object]] = []
    if weights:
        groups.append({"params": weights, "weight_decay": weight_decay})
    if others:
        groups.append({"params": others, "weight_decay": 0.0})
    if name == "lars":
        for group in groups:
            group["adapt"] = group["params"] is weights
        return LARS(groups, lr=lr)
    if name == "adamw":
        return torch.optim.AdamW(groups, lr=lr)
    raise UsageError(f"there is no optimiser '{name}'; there are lars and adamw")
