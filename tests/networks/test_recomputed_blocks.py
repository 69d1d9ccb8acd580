"""What is computed again gives what was kept: outputs, gradients, running statistics and random draws, to the bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")
timm = pytest.importorskip("timm", reason="timm is not installed")

from lusfx.backbone import LAST_LAYER, blocks, make_backbone  # noqa: E402 - after the skip
from lusfx.networks.recomputed_blocks import buffers_left_alone, kept_bytes, recompute_blocks  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

NAME = "test_efficientnet"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Sums in another order differ in their last bits."""
    with cpu_threads(1):
        yield


def made(layer: str, drop_path: float = 0.0) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if drop_path:
            return timm.create_model(NAME, num_classes=0, drop_path_rate=drop_path)
        return make_backbone(NAME, layer)


def trained_on(network: Any) -> dict[str, Any]:
    """What two passes leave: outputs, gradients and buffers."""
    network.train()
    frames = torch.rand(6, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    kept = {}
    with torch.random.fork_rng():
        torch.manual_seed(2)
        for number in range(2):
            output = network(frames)
            with buffers_left_alone(network):
                torch.autograd.backward(output.square().sum())
            kept[f"output {number}"] = output.detach()
    kept |= {f"gradient {name}": weight.grad for name, weight in network.named_parameters()}
    return kept | {f"buffer {name}": value.clone() for name, value in network.named_buffers()}


@pytest.mark.parametrize(("layer", "drop_path"), [(LAST_LAYER, 0.0), ("blocks.3", 0.0), (LAST_LAYER, 0.5)])
def test_nothing_changes_to_the_bit(layer: str, drop_path: float) -> None:
    kept, again = made(layer, drop_path), made(layer, drop_path)
    assert recompute_blocks(again) >= 3
    expected, found = trained_on(kept), trained_on(again)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


def test_without_care_statistics_would_count_twice() -> None:
    network = made(LAST_LAYER)
    recompute_blocks(network)
    network.train()
    torch.autograd.backward(network(torch.rand(4, 3, 64, 64)).sum())
    counts = {int(value) for name, value in network.named_buffers() if name.endswith("num_batches_tracked")}
    assert counts == {1, 2}


def test_blocks_of_a_cut_network_are_those_of_the_whole_one() -> None:
    whole, cut = (made(layer) for layer in (LAST_LAYER, "blocks.3"))
    names = {id(module): name for name, module in whole.named_modules()}
    cut_names = {id(module): name for name, module in cut.named_modules()}
    expected = [names[id(block)] for block in blocks(whole)]
    assert len(expected) > 3
    assert [cut_names[id(block)] for block in blocks(cut)] == [name for name in expected if name < "blocks.4"]


def test_a_layer_within_a_block_can_be_taken() -> None:
    network = make_backbone(NAME, "blocks.3.0.conv_pw")
    assert network(torch.rand(1, 3, 64, 64)).ndim == 2


class Frames(torch.nn.Module):  # type: ignore[misc] # torch is not followed by mypy
    """A backbone of grey frames."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = made(LAST_LAYER)

    def forward(self, frames: Any) -> Any:
        return self.backbone(frames.expand(-1, 3, -1, -1))


def test_kept_bytes_are_counted_and_become_fewer() -> None:
    network = Frames()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    drawn = torch.get_rng_state()
    kept = kept_bytes(network, 64, 16)
    assert kept == 2 * kept_bytes(network, 64, 8)
    # The stem's output alone, before and after its activation: 16 frames of 32 x 32 in float32.
    stem = network.backbone.conv_stem.out_channels
    assert kept > 2 * 16 * stem * 32 * 32 * 4
    recompute_blocks(network.backbone)
    assert kept_bytes(network, 64, 16) < 0.6 * kept
    assert network.training
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
