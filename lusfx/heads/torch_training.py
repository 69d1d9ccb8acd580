"""How the heads that learn by gradient are trained: by torch, on one CPU thread, until held-out patients gain no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lusfx.contracts import HeadSettings, TrainingSet
from lusfx.errors import MissingExtraError
from lusfx.heads.row_weights import ClassWeight, row_weights

if TYPE_CHECKING:
    import torch


class TorchSettings(HeadSettings):
    """Settings that the heads trained by torch share.

    :param activation_variance: variance of a unit's input before any label is seen, for independent inputs of variance 1
        such as standardised features: the weights of each layer but the last have an L2 penalty that stands for a normal
        prior of this variance over the number of the layer's inputs, so that one value suits encoders of any width.
        Smaller shrinks harder. It is the weight decay, in a unit that means the same everywhere.
    :param dropout: part of the hidden units that each training step leaves out.
    :param learning_rate: Adam's (Kingma and Ba 2015).
    :param max_epochs: passes over the training rows at most.
    :param patience: passes without a lower held-out loss after which training stops.
    :param hold_out_one_in: one in so many patients is held out for early stopping; more than one where a class has fewer
        patients than that.
    :param class_weight: ``balanced`` weighs the classes alike, however rare one is; probabilities then no longer
        reflect how common the finding was.
    """

    activation_variance: float = Field(default=3.0, gt=0, le=1e6, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    learning_rate: float = Field(default=1e-3, gt=0, le=1)
    max_epochs: int = Field(default=300, ge=1, le=100_000)
    patience: int = Field(default=30, ge=1, le=100_000)
    hold_out_one_in: int = Field(default=5, ge=2, le=100)
    class_weight: ClassWeight = "none"


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a training set, those to train on or those held out.

    :param inputs: given the numbers of some units, ``(n,)`` int64, what the network takes for them.
    :param targets: ``(n_units,)`` float32, 0 or 1.
    :param weights: ``(n_units,)`` float32 of mean 1.
    """

    inputs: Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
    targets: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(
        cls,
        inputs: Callable[[torch.Tensor], tuple[torch.Tensor, ...]],
        training: TrainingSet,
        chosen: NDArray[np.bool_],
        class_weight: ClassWeight,
    ) -> Part:
        """The chosen units, ``(n,)``; their weights have mean 1 and balance the classes among themselves.

        :param inputs: of the chosen units alone, numbered from 0.
        """
        import torch

        targets = training.targets[chosen]
        weights = row_weights(targets, None if training.weights is None else training.weights[chosen], class_weight)
        return cls(inputs, torch.from_numpy(targets.astype(np.float32)), torch.from_numpy(weights.astype(np.float32)))


@dataclass(frozen=True, slots=True)
class Network:
    """What is trained.

    :param layers: all layers by name.
    :param logits: log odds ``(n,)`` from what :attr:`Part.inputs` gives.
    :param penalised: the layers whose weights are shrunk, all but the last.
    :param output: the last layer.
    """

    layers: torch.nn.ModuleDict
    logits: Callable[..., torch.Tensor]
    penalised: Sequence[torch.nn.Linear]
    output: torch.nn.Linear

    def array(self, layer: str, parameter: str) -> NDArray[np.float64]:
        """A trained parameter; a weight has its inputs along the first axis, as ``rows @ weight`` needs it."""
        found: NDArray[np.float64] = getattr(self.layers[layer], parameter).detach().numpy().T.astype(np.float64)
        return found


def require_torch(what: str) -> None:
    """Say in words, and before any work, that torch is missing.

    :param what: what needs it, ``training an MLP head`` say.
    :raises MissingExtraError: if it is not installed.
    """
    try:
        import torch  # noqa: F401 - imported where it is used
    except ImportError:
        raise MissingExtraError(what, "train") from None


def train(build: Callable[[], Network], learn: Part, stop: Part, settings: TorchSettings, seed: int) -> Network:
    """Train with Adam and keep the weights at the lowest held-out loss, the untrained ones among them.

    :param build: makes the network; its random weights come from ``seed``, and the caller's generator is left alone.
    :param learn: what is trained on.
    :param stop: the held-out part, which decides when to stop.
    """
    import torch

    n_units = len(learn.targets)
    with _own_torch_state(seed):
        network = build()
        _start_from_the_base_rate(network.output, learn)
        optimiser = torch.optim.Adam(network.layers.parameters(), lr=settings.learning_rate)
        lowest, best_epoch, best = _held_out_loss(network, stop), 0, _copied(network)
        for epoch in range(1, settings.max_epochs + 1):
            network.layers.train()
            for batch in torch.randperm(n_units).split(_batch_units(n_units)):
                optimiser.zero_grad()
                loss = _loss(network, learn, batch) + _penalty(network, settings.activation_variance, n_units)
                torch.autograd.backward(loss)
                optimiser.step()
            held_out_loss = _held_out_loss(network, stop)
            if held_out_loss < lowest:
                lowest, best_epoch, best = held_out_loss, epoch, _copied(network)
            elif epoch - best_epoch >= settings.patience:
                break
        network.layers.load_state_dict(best)
    return network


def _loss(network: Network, part: Part, units: torch.Tensor) -> torch.Tensor:
    """Weighted cross-entropy a unit; the weights have mean 1 over the part, so it is not divided by a batch's own sum."""
    import torch

    return torch.nn.functional.binary_cross_entropy_with_logits(
        network.logits(*part.inputs(units)), part.targets[units], weight=part.weights[units]
    )


def _penalty(network: Network, activation_variance: float, n_units: int) -> torch.Tensor:
    """Minus the log of each layer's normal prior, a unit; a prior's variance is for the layer's inputs together."""
    import torch

    parts = [
        layer.in_features / (2 * activation_variance * n_units) * layer.weight.square().sum()
        for layer in network.penalised
    ]
    return torch.stack(parts).sum()


def _held_out_loss(network: Network, stop: Part) -> float:
    import torch

    network.layers.eval()
    with torch.inference_mode():
        return float(_loss(network, stop, torch.arange(len(stop.targets))))


def _start_from_the_base_rate(output: torch.nn.Linear, learn: Part) -> None:
    """Where no step lowers the held-out loss, the answer is then the base rate and not the noise of random weights."""
    import torch

    with torch.no_grad():
        output.weight.zero_()
        output.bias.copy_(torch.logit((learn.weights * learn.targets).sum() / learn.weights.sum()))


def _copied(network: Network) -> dict[str, torch.Tensor]:
    """Copies, because the optimiser changes the weights in place."""
    return {name: tensor.detach().clone() for name, tensor in network.layers.state_dict().items()}


def _batch_units(n_units: int) -> int:
    """Some steps in each pass however few units there are, and large products where there are many."""
    return min(max(n_units // 8, 32), 1024)


@contextmanager
def _own_torch_state(seed: int) -> Iterator[None]:
    """Seed torch's generator and use one thread; the caller gets back what it had."""
    import torch

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU, which fork_rng does not restore.
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
