"""The networks of the heads that torch trains, and what they are given of a training set.

Imported only where a head is fitted: loading and scoring need no torch.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.contracts import Bags
from lusfx.heads.torch_training import Inputs, Network


def row_inputs(rows: NDArray[np.float32]) -> Inputs:
    """The rows asked for, ``(n, n_features)``."""
    tensor = torch.from_numpy(rows)
    return lambda units: (tensor[units],)


def bag_inputs(bags: Bags) -> Inputs:
    """Rows of the bags asked for, ``(n_rows, n_features)``, and the bag of each, ``(n_rows,)`` from 0.

    :param bags: standardised rows, float32.
    """

    def take(units: torch.Tensor) -> tuple[torch.Tensor, ...]:
        taken = bags.take(units.numpy())
        return torch.from_numpy(taken.rows), torch.from_numpy(np.repeat(np.arange(len(taken)), taken.sizes))

    return take


def mlp(n_features: int, hidden_units: Sequence[int], dropout_rate: float) -> Network:
    """Layers of rectified units, each followed by dropout, and one number."""
    sizes = zip([n_features, *hidden_units[:-1]], hidden_units, strict=True)
    hidden = [torch.nn.Linear(n_inputs, n_units) for n_inputs, n_units in sizes]
    output = torch.nn.Linear(hidden_units[-1], 1)
    dropout = torch.nn.Dropout(dropout_rate)
    layers = torch.nn.ModuleDict({f"hidden_{number}": layer for number, layer in enumerate(hidden)})
    layers.update({"dropout": dropout, "output": output})

    def logits(rows: torch.Tensor) -> torch.Tensor:
        activations = rows
        for layer in hidden:
            activations = dropout(torch.relu(layer(activations)))
        return output(activations)[:, 0]

    return Network(layers, logits, hidden, output)


def gated_attention(n_features: int, hidden_units: int, attention_units: int, dropout_rate: float) -> Network:
    """A projection of each row, two branches that say how much it counts in its bag, and one number."""
    projection = torch.nn.Linear(n_features, hidden_units)
    tanh = torch.nn.Linear(hidden_units, attention_units)
    gate = torch.nn.Linear(hidden_units, attention_units)
    score = torch.nn.Linear(attention_units, 1, bias=False)  # a softmax forgets what is added to all
    output = torch.nn.Linear(hidden_units, 1)
    dropout = torch.nn.Dropout(dropout_rate)
    penalised = {"projection": projection, "tanh": tanh, "gate": gate, "score": score}
    layers = torch.nn.ModuleDict({**penalised, "dropout": dropout, "output": output})

    def logits(rows: torch.Tensor, bag_of_row: torch.Tensor) -> torch.Tensor:
        hidden = dropout(torch.relu(projection(rows)))
        scores = score(torch.tanh(tanh(hidden)) * torch.sigmoid(gate(hidden)))[:, 0]
        n_bags = int(bag_of_row[-1]) + 1
        highest = torch.full((n_bags,), -torch.inf).scatter_reduce(0, bag_of_row, scores.detach(), "amax")
        relative = torch.exp(scores - highest[bag_of_row])
        sums = torch.zeros(n_bags).index_add(0, bag_of_row, relative)
        claims = torch.zeros(n_bags).index_add(0, bag_of_row, relative * output(hidden)[:, 0])
        return claims / sums  # the output layer's bias is in each claim, and so in their mean

    return Network(layers, logits, list(penalised.values()), output)
