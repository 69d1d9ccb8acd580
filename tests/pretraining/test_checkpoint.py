"""A checkpoint is whole or is none, and gives back to the last bit what was put in."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")

from lusfx.networks.errors import NetworkError  # noqa: E402
from lusfx.networks.optimisers import make_optimiser  # noqa: E402
from lusfx.pretraining.checkpoint import (  # noqa: E402 - after the skip
    Snapshot,
    newest_checkpoint,
    optimiser_state,
    restore_optimiser,
    write_checkpoint,
)


def snapshot(step: int) -> Snapshot:
    generator = torch.Generator().manual_seed(step)
    return Snapshot({"network.w": torch.randn(3, 4, generator=generator)}, {"step": step, "loss": 0.1 + step / 3})


def three(directory: Path) -> None:
    for step in (1, 2, 3):
        write_checkpoint(directory, step, snapshot(step))


def test_the_newest_is_read_back_to_the_last_bit(tmp_path: Path) -> None:
    three(tmp_path / "c")
    found = newest_checkpoint(tmp_path / "c")
    assert found.n_damaged == 0
    assert found.snapshot is not None
    assert torch.equal(found.snapshot.tensors["network.w"], snapshot(3).tensors["network.w"])
    assert found.snapshot.facts["loss"] == 0.1 + 3 / 3


def test_the_last_two_are_kept_and_private(tmp_path: Path) -> None:
    three(tmp_path / "c")
    names = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert names == [f"step-{step:010}.{kind}" for step in (2, 3) for kind in ("json", "safetensors")]
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in (tmp_path / "c").iterdir())


def test_no_checkpoint_is_no_error(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none").snapshot is None


@pytest.mark.parametrize("damaged", ["json", "safetensors", "torn", "gone", "nonsense"])
def test_a_damaged_one_is_passed_over_for_the_one_before(tmp_path: Path, damaged: str) -> None:
    three(tmp_path / "c")
    facts, tensors = tmp_path / "c" / f"step-{3:010}.json", tmp_path / "c" / f"step-{3:010}.safetensors"
    if damaged == "json":
        facts.write_bytes(facts.read_bytes().replace(b'"step": 3', b'"step": 4'))
    elif damaged == "safetensors":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(content)
    elif damaged == "torn":
        facts.write_bytes(facts.read_bytes()[:-10])
    elif damaged == "gone":
        tensors.unlink()
    else:
        facts.write_bytes(b"[" * 100_000)
    found = newest_checkpoint(tmp_path / "c")
    assert found.snapshot is not None
    assert (found.snapshot.facts["step"], found.n_damaged) == (2, 1)


def test_a_damaged_later_one_does_not_outlive_the_run_that_went_back(tmp_path: Path) -> None:
    three(tmp_path / "c")
    (tmp_path / "c" / f"step-{3:010}.json").write_bytes(b"{}")
    write_checkpoint(tmp_path / "c", 2, snapshot(2))
    assert not list((tmp_path / "c").glob("step-0000000003.*"))
    assert newest_checkpoint(tmp_path / "c").n_damaged == 0


def test_none_sound_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    three(tmp_path / "c")
    for path in (tmp_path / "c").glob("*.json"):
        path.write_bytes(b"")
    with pytest.raises(NetworkError, match="Remove the folder 'checkpoints'"):
        newest_checkpoint(tmp_path / "c")


def test_a_file_between_tensors_and_facts_is_no_checkpoint(tmp_path: Path) -> None:
    """Killed after the tensors: the one before counts, and nothing is called damaged."""
    three(tmp_path / "c")
    (tmp_path / "c" / f"step-{4:010}.safetensors").write_bytes(b"half")
    found = newest_checkpoint(tmp_path / "c")
    assert found.snapshot is not None
    assert (found.snapshot.facts["step"], found.n_damaged) == (3, 0)


@pytest.mark.parametrize("name", ["adamw", "lars"])
def test_an_optimiser_goes_on_as_if_nothing_had_happened(tmp_path: Path, name: str) -> None:
    def network() -> torch.nn.Module:
        with torch.random.fork_rng():
            torch.manual_seed(1)
            return torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4), torch.nn.Linear(4, 2))

    def steps(net: torch.nn.Module, optimiser: torch.optim.Optimizer, numbers: range) -> None:
        for number in numbers:
            x = torch.randn(6, 3, generator=torch.Generator().manual_seed(number))
            optimiser.zero_grad()
            net(x).square().sum().backward()
            optimiser.step()

    straight = network()
    steps(straight, make_optimiser(name, straight.parameters(), 0.01, 0.1), range(6))

    first = network()
    optimiser = make_optimiser(name, first.parameters(), 0.01, 0.1)
    steps(first, optimiser, range(3))
    tensors, facts = optimiser_state(optimiser)
    weights = {f"network.{key}": value.clone() for key, value in first.state_dict().items()}
    write_checkpoint(tmp_path / "c", 3, Snapshot(weights | tensors, {"optimiser": facts}))

    found = newest_checkpoint(tmp_path / "c").snapshot
    assert found is not None
    second = network()
    second.load_state_dict(
        {k.removeprefix("network."): v for k, v in found.tensors.items() if k.startswith("network.")}
    )
    resumed = make_optimiser(name, second.parameters(), 0.5, 0.0)
    restore_optimiser(resumed, found.tensors, found.facts["optimiser"])
    steps(second, resumed, range(3, 6))
    for a, b in zip(straight.state_dict().values(), second.state_dict().values(), strict=True):
        assert torch.equal(a, b)
