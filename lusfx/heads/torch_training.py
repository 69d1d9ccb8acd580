"""How the heads that learn by gradient are trained: by torch, on one CPU thread, until held-out patients gain no more.

Imported only where a head is fitted: loading and scoring need no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.contracts import TrainingSet
from lusfx.heads.row_weights import ClassWeight, row_weights
from lusfx.heads.torch_settings import TorchSettings

Inputs = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]
"""Given the numbers of some units, ``(n,)`` int64, what a network takes for them."""


@dataclass(frozen=True, slots=True)
class Part:
    """Units of a training set, those to train on or those held out.

    :param inputs: what the network takes for some of the units.
    :param targets: ``(n_units,)`` float32, 0 or 1.
    :param weights: ``(n_units,)`` float32 of mean 1.
    """

    inputs: Inputs
    targets: torch.Tensor
    weights: torch.Tensor

    @classmethod
    def of(
        cls,
        inputs: Inputs,
        training: TrainingSet,
        chosen: NDArray[np.bool_],
        class_weight: ClassWeight,
    ) -> Part:
        """The chosen units, ``(n,)``; their weights have mean 1 and balance the classes among themselves.

        :param inputs: of the chosen units alone, numbered from 0.
        """
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


def train(build: Callable[[], Network], learn: Part, stop: Part, settings: TorchSettings, seed: int) -> Network:
    """Train with Adam and keep the weights at the lowest held-out loss, the untrained ones among them.

    :param build: makes the network; its random weights come from ``seed``, and the caller's generator is left alone.
    :param learn: what is trained on.
    :param stop: the held-out part, which decides when to stop.
    """
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
    return torch.nn.functional.binary_cross_entropy_with_logits(
        network.logits(*part.inputs(units)), part.targets[units], weight=part.weights[units]
    )


def _penalty(network: Network, activation_variance: float, n_units: int) -> torch.Tensor:
    """Minus the log of each layer's normal prior, a unit; a prior's variance is for the layer's inputs together."""
    parts = [
        layer.in_features / (2 * activation_variance * n_units) * layer.weight.square().sum()
        for layer in network.penalised
    ]
    return torch.stack(parts).sum()


def _held_out_loss(network: Network, stop: Part) -> float:
    network.layers.eval()
    with torch.inference_mode():
        return float(_loss(network, stop, torch.arange(len(stop.targets))))


def _start_from_the_base_rate(output: torch.nn.Linear, learn: Part) -> None:
    """Where no step lowers the held-out loss, the answer is then the base rate and not the noise of random weights."""
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
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        # torch.manual_seed would also seed the generators of every GPU, which fork_rng does not restore.
        torch.default_generator.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
