"""LARS step by step, the learning rate's course, and what each optimiser leaves alone."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lusfx.errors import UsageError  # noqa: E402
from lusfx.networks.optimisers import LARS, cosine_with_warmup, make_optimiser  # noqa: E402


def network() -> torch.nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2)).double()


def backward(layers: torch.nn.Sequential, seed: int) -> None:
    layers.zero_grad()
    inputs = torch.from_numpy(np.random.default_rng(seed).normal(size=(8, 3)))
    layers(inputs).square().sum().backward()


def test_lars_is_the_papers_rule() -> None:
    layers = network()
    optimiser = make_optimiser("lars", layers.parameters(), lr=0.3, weight_decay=0.01)
    expected = [parameter.detach().numpy().copy() for parameter in layers.parameters()]
    momentum = [np.zeros_like(weight) for weight in expected]
    for step in range(4):
        backward(layers, step)
        for i, parameter in enumerate(layers.parameters()):
            weight, gradient = expected[i], parameter.grad.numpy().copy()
            rate = 0.3
            if weight.ndim > 1:
                gradient = gradient + 0.01 * weight
                rate *= 1e-3 * np.linalg.norm(weight) / np.linalg.norm(gradient)
            momentum[i] = 0.9 * momentum[i] + rate * gradient
            expected[i] = weight - momentum[i]
        optimiser.step()
        for weight, parameter in zip(expected, layers.parameters(), strict=True):
            np.testing.assert_allclose(parameter.detach().numpy(), weight, rtol=1e-10, atol=1e-14)


def test_lars_moves_nothing_to_not_a_number() -> None:
    zero = torch.nn.Parameter(torch.zeros(2, 2))
    unused = torch.nn.Parameter(torch.ones(2, 2))
    optimiser = LARS([zero, unused], lr=1.0)
    zero.grad = torch.zeros(2, 2)
    optimiser.step()
    assert not zero.any()
    zero.grad = torch.ones(2, 2)
    optimiser.step()
    assert (zero == -1).all()
    assert (unused == 1).all()


def test_lars_asks_a_closure_for_its_loss() -> None:
    weight = torch.nn.Parameter(torch.ones(2, 2))
    optimiser = LARS([weight], lr=1.0)

    def closure() -> float:
        optimiser.zero_grad()
        loss = weight.sum()
        loss.backward()
        return float(loss.detach())

    assert optimiser.step(closure) == 4
    assert (weight < 1).all()


@pytest.mark.parametrize("name", ["lars", "adamw"])
def test_decay_spares_biases_and_norms(name: str) -> None:
    optimiser = make_optimiser(name, network().parameters(), lr=0.1, weight_decay=0.5)
    decays = {
        parameter.ndim: group["weight_decay"] for group in optimiser.param_groups for parameter in group["params"]
    }
    assert decays == {2: 0.5, 1: 0.0}


@pytest.mark.parametrize("name", ["lars", "adamw"])
def test_state_is_tensors_and_numbers_and_going_on_from_it_is_exact(name: str) -> None:
    whole, first = network(), network()
    optimiser = make_optimiser(name, whole.parameters(), lr=0.1, weight_decay=0.01)
    before = make_optimiser(name, first.parameters(), lr=0.1, weight_decay=0.01)
    for step in range(4):
        backward(whole, step)
        optimiser.step()
        if step < 2:
            backward(first, step)
            before.step()
    state = before.state_dict()
    assert all(torch.is_tensor(value) for of_one in state["state"].values() for value in of_one.values())
    groups = json.loads(json.dumps(state["param_groups"]))  # raises where it holds anything else
    second = network()
    second.load_state_dict(first.state_dict())
    after = make_optimiser(name, second.parameters(), lr=0.5, weight_decay=0.0)
    after.load_state_dict({"state": state["state"], "param_groups": groups})
    for step in (2, 3):
        backward(second, step)
        after.step()
    for expected, found in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(expected, found)


def test_learning_rate_rises_and_falls() -> None:
    factors = [cosine_with_warmup(step, 10, 110) for step in range(120)]
    assert factors[:10] == pytest.approx([(step + 1) / 11 for step in range(10)])
    assert factors[10] == 1
    assert factors[60] == pytest.approx(0.5)
    assert factors[109] == pytest.approx((1 + np.cos(np.pi * 0.99)) / 2)
    assert factors[110:] == pytest.approx([0.0] * 10)
    assert np.all(np.diff(factors[10:111]) < 0)
    assert cosine_with_warmup(0, 0, 1) == 1
    for warmup, total in ((5, 5), (-1, 5), (0, 0)):
        with pytest.raises(UsageError, match="warm-up"):
            cosine_with_warmup(0, warmup, total)


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(UsageError, match="lars and adamw"):
        make_optimiser("sgd", network().parameters(), lr=0.1, weight_decay=0.0)
    frozen = network().requires_grad_(False)
    with pytest.raises(UsageError, match="no parameter"):
        make_optimiser("lars", frozen.parameters(), lr=0.1, weight_decay=0.0)
