"""Training goes down the gradient, goes on to the bit where it stopped, knows a collapse, and is the same on two processes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pretraining needs torch")
pytest.importorskip("timm", reason="pretraining needs timm")

from safetensors.torch import load_file, save_file  # noqa: E402 - after the skip

from lusfx.networks.errors import DivergedError  # noqa: E402
from lusfx.networks.network import make_network  # noqa: E402
from lusfx.networks.processes import Processes  # noqa: E402
from lusfx.pretraining import trainer as module  # noqa: E402
from lusfx.pretraining.losses import LOSSES  # noqa: E402 - after the skip
from lusfx.pretraining.pairs import ClipFrames  # noqa: E402
from lusfx.pretraining.settings import PretrainingSettings  # noqa: E402
from lusfx.pretraining.trainer import Trainer  # noqa: E402

SIZE, N_CLIPS, N_FRAMES = 32, 16, 3


def frames_of_clips() -> np.ndarray:
    """Clips that differ: each a pattern of its own in a beam that fills most of the frame, and a little noise a frame."""
    generator = np.random.default_rng(3)
    patterns = np.kron(generator.integers(40, 220, (N_CLIPS, 1, 4, 4)), np.ones((1, 1, SIZE // 4, SIZE // 4)))
    noisy = patterns + generator.normal(0, 10, (N_CLIPS, N_FRAMES, SIZE, SIZE))
    return np.clip(noisy, 1, 255).astype(np.uint8).reshape(-1, SIZE, SIZE)


def settings_of(**changed: Any) -> PretrainingSettings:
    values = {
        "architecture": "mobilenetv3_small_050",
        "size": SIZE,
        "epochs": 2,
        "batch_size": 8,
        "augmentation": "byol",
        "pairs_per_clip": 2,
    }
    return PretrainingSettings.complete(values | changed)


def trainer_of(
    directory: Path,
    settings: PretrainingSettings,
    frames: np.ndarray | None = None,
    among: Processes | None = None,
    precision: str = "float32",
    **kept: Any,
) -> Trainer:
    network = make_network(
        settings.architecture,
        LOSSES[settings.method].projector,
        settings.size,
        settings.seed,
        weights=None,
        layer=settings.layer,
    )
    network.module.to(getattr(torch, precision))
    clips = [ClipFrames(N_FRAMES * number, np.arange(N_FRAMES) / 10) for number in range(N_CLIPS)]
    among = among or Processes(0, 1, torch.device("cpu"))
    return Trainer(network, settings, frames_of_clips() if frames is None else frames, clips, among, directory, **kept)


def after(n_steps: int) -> Callable[[], bool]:
    """Says stop after so many steps."""
    asked = iter(range(1, 1_000_000))
    return lambda: next(asked) >= n_steps


def never() -> bool:
    return False


def end_state(trainer: Trainer) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in trainer.network.module.state_dict().items()}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Sums in another order differ in their last bits."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("optimiser", ["adamw", "lars"])
@pytest.mark.parametrize(("method", "seed"), [("simclr", 0), ("barlow-twins", 1), ("vicreg", 2)])
def test_a_step_lowers_the_loss_by_what_the_gradient_says(
    tmp_path: Path, method: str, seed: int, optimiser: str
) -> None:
    """Over epochs a loss rises and falls with the views that are drawn, and with the processor's rounding in float32. A small
    step in float64 leaves nothing to either: on the very same views the loss falls by the step times the gradient."""
    settings = settings_of(
        method=method, seed=seed, optimiser=optimiser, lr=1e-7, weight_decay=0.0, epochs=1, warmup_epochs=0
    )
    losses: list[float] = []
    trainer = trainer_of(tmp_path / "first", settings, precision="float64")
    before = {name: value.detach().clone() for name, value in trainer.network.module.named_parameters()}
    trainer.run(after(1), lambda progress: losses.append(progress.loss))
    steps = [(before[name] - value.detach(), value.grad) for name, value in trainer.network.module.named_parameters()]
    expected = sum(float((step * gradient).sum()) for step, gradient in steps)

    again = trainer_of(tmp_path / "again", settings, precision="float64")
    again.network.module.load_state_dict(trainer.network.module.state_dict())
    again.run(after(1), lambda progress: losses.append(progress.loss))
    # The curvature's share of so small a step is below a thousandth here; float64 rounds at 1e-12 of the loss.
    assert expected > 1e-7 * losses[0]
    assert losses[0] - losses[1] == pytest.approx(expected, rel=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changed", [{}, {"accumulate": 2, "method": "vicreg"}, {"layer": "blocks.3", "method": "barlow-twins"}]
)
def test_blocks_that_are_computed_again_change_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any]
) -> None:
    settings = settings_of(**changed)
    ends = []
    for name, bound in (("kept", 1 << 40), ("again", 0)):
        monkeypatch.setattr(module, "RECOMPUTE_ABOVE_BYTES", bound)
        trainer = trainer_of(tmp_path / name, settings)
        assert any("forward" in vars(part) for part in trainer.network.backbone.modules()) == (bound == 0)
        losses: list[float] = []
        assert trainer.run(never, lambda progress, losses=losses: losses.append(progress.loss))
        ends.append((losses, end_state(trainer), trainer.state.history))
    assert ends[0] == ends[1]


def test_who_has_memory_computes_nothing_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RECOMPUTE_ABOVE_BYTES", 0)
    trainer = trainer_of(tmp_path, settings_of(), memory="more")
    assert not any("forward" in vars(part) for part in trainer.network.backbone.modules())


def test_the_history_has_each_epochs_mean_loss(tmp_path: Path) -> None:
    losses: list[float] = []
    trainer = trainer_of(tmp_path, settings_of(epochs=3, warmup_epochs=0))
    assert trainer.run(never, lambda progress: losses.append(progress.loss))
    history = trainer.state.history
    assert [record["epoch"] for record in history] == [0, 1, 2, 3]
    assert history[0]["loss"] is None
    assert [record["loss"] for record in history[1:]] == pytest.approx(np.reshape(losses, (3, 4)).mean(axis=1))
    assert all(record["std"] > 0 and record["rank"] >= 1 for record in history)
    assert trainer.state.images == 3 * 2 * N_CLIPS * 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "stops"),
    [
        ({}, [3]),
        ({"optimiser": "lars", "method": "vicreg"}, [1, 1, 2]),
        ({"accumulate": 3, "augmentation": "ultrasound", "delta_s": 0.2}, [2]),
    ],
)
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    tmp_path: Path, changed: dict[str, Any], stops: list[int]
) -> None:
    settings = settings_of(**changed)
    straight = trainer_of(tmp_path / "straight", settings)
    assert straight.run(never)
    for steps in stops:
        assert not trainer_of(tmp_path / "stopped", settings).run(after(steps))
    last = trainer_of(tmp_path / "stopped", settings)
    assert last.state.step == sum(stops)
    assert last.run(never)
    assert end_state(last) == end_state(straight)
    assert last.state.history == straight.state.history


@pytest.mark.slow
def test_a_run_goes_on_from_the_checkpoint_before_a_damaged_one(tmp_path: Path) -> None:
    settings = settings_of()
    straight = trainer_of(tmp_path / "straight", settings)
    straight.run(never)
    for _ in range(2):
        trainer_of(tmp_path / "stopped", settings).run(after(1))
    newest = max((tmp_path / "stopped").glob("*.safetensors"))
    newest.write_bytes(newest.read_bytes()[:-1])
    last = trainer_of(tmp_path / "stopped", settings)
    assert (last.state.step, last.n_damaged_checkpoints) == (1, 1)
    last.run(never)
    assert end_state(last) == end_state(straight)


@pytest.mark.slow
def test_checkpoints_are_also_written_by_the_clock(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, settings_of(), checkpoint_s=0.0)
    seen: list[set[str]] = []
    trainer.run(never, lambda _: seen.append({path.name for path in tmp_path.glob("*.json")}))
    assert any("step-0000000001.json" in names for names in seen)


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    trainer_of(tmp_path, settings_of()).run(never)
    again = trainer_of(tmp_path, settings_of())
    assert again.finished
    assert len(again.state.history) == 3


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    trainer_of(tmp_path, settings_of(epochs=1)).run(never)
    assert torch.equal(torch.get_rng_state(), before)


def test_constant_images_are_called_a_collapse(tmp_path: Path) -> None:
    frames = np.full((N_CLIPS * N_FRAMES, SIZE, SIZE), 90, np.uint8)
    trainer = trainer_of(tmp_path, settings_of(epochs=1), frames)
    trainer.run(never)
    assert trainer.state.history[-1]["collapsed"] is True


@pytest.mark.slow
@pytest.mark.parametrize("absurd", [{"lr": 1.0}, {"lr": 0.1, "weight_decay": 9.0}])
def test_settings_that_make_all_frames_alike_are_called_a_collapse(tmp_path: Path, absurd: dict[str, Any]) -> None:
    trainer = trainer_of(tmp_path, settings_of(epochs=3, warmup_epochs=0, **absurd))
    trainer.run(never)
    assert trainer.state.history[0]["collapsed"] is False
    assert trainer.state.history[-1]["collapsed"] is True


def test_a_loss_that_is_no_number_ends_the_run_and_spares_the_checkpoint(tmp_path: Path) -> None:
    settings = settings_of()
    trainer_of(tmp_path, settings).run(after(1))
    trainer = trainer_of(tmp_path, settings)
    trainer._loss = lambda z_a, _z_b, _weights: z_a.sum() * float("nan")
    with pytest.raises(DivergedError, match="Lower --lr"):
        trainer.run(never)
    assert trainer_of(tmp_path, settings).state.step == 1


def test_progress_tells_loss_rate_and_time_left(tmp_path: Path) -> None:
    told: list[Any] = []
    trainer_of(tmp_path, settings_of(accumulate=2)).run(never, told.append)
    assert [progress.step for progress in told] == [1, 2, 3, 4]
    assert {progress.steps for progress in told} == {4}
    assert all(progress.loss > 0 and progress.images_per_s > 0 for progress in told)
    assert told[-1].seconds_left == 0


@pytest.mark.slow
def test_the_rate_rises_and_falls(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, settings_of(epochs=4, warmup_epochs=1, lr=1e-3))
    rates: list[float] = []
    trainer.run(never, lambda _: rates.append(trainer._optimiser.param_groups[0]["lr"]))
    peak = int(np.argmax(rates))
    assert rates[:peak] == sorted(rates[:peak])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert rates[peak] == 1e-3


def test_the_probe_is_asked_before_and_after_each_epoch(tmp_path: Path) -> None:
    said = {"linear": {"b-lines": 0.75, "none": float("nan")}, "neighbours": {"b-lines": 0.5}}
    trainer = trainer_of(tmp_path, settings_of(), probe=lambda _: said)
    trainer.run(never)
    kept = {"linear": {"b-lines": 0.75, "none": None}, "neighbours": {"b-lines": 0.5}}
    assert [record["probe"] for record in trainer.state.history] == [kept] * 3


TOGETHER = {
    "simclr": {"lr": 1e-4},
    "barlow-twins": {"method": "barlow-twins", "lr": 1e-4},
    "vicreg": {"method": "vicreg", "lr": 1e-4, "accumulate": 2, "augmentation": "ultrasound"},
}
"""Settings that one process and two are compared under."""
STOPPED_AFTER = 3
WORKER = """
import importlib.util, json, sys
from pathlib import Path
from lusfx.networks.processes import processes
spec = importlib.util.spec_from_file_location("trainer_tests", sys.argv[1])
tests = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tests)
tests.torch.set_num_threads(1)
with processes("cpu") as among:
    for name, settings in tests.TOGETHER.items():
        # One of them with blocks that are computed again, which communicate a second time.
        tests.module.RECOMPUTE_ABOVE_BYTES = 0 if name == "vicreg" else 1 << 40
        for precision, epochs in (("float32", 2), ("float64", 1)):
            tests.trained(Path(sys.argv[2], f"{name} {precision}"), settings, precision, epochs, among=among)
    stopped = Path(sys.argv[2], "stopped")
    tests.trained(stopped, tests.TOGETHER["simclr"], "float64", steps=tests.STOPPED_AFTER, among=among)
"""


def trained(
    out: Path,
    changed: dict[str, Any],
    precision: str = "float32",
    epochs: int = 2,
    *,
    steps: int = 1000,
    among: Processes | None = None,
) -> list[float]:
    """Train, and keep losses, weights and the last step's gradients where :func:`kept` reads them; the losses."""
    trainer = trainer_of(out, settings_of(**changed, epochs=epochs), among=among, precision=precision)
    losses: list[float] = []
    trainer.run(after(steps), lambda progress: losses.append(progress.loss))
    tensors = {f"weight {name}": value for name, value in trainer.network.module.state_dict().items()}
    tensors |= {f"gradient {name}": value.grad for name, value in trainer.network.module.named_parameters()}
    tensors["losses"] = torch.tensor(losses, dtype=torch.float64)
    if among is None or among.is_first:
        save_file({name: value.contiguous() for name, value in tensors.items()}, out / "kept.safetensors")
    return losses


def kept(out: Path) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in load_file(out / "kept.safetensors").items()}


@pytest.fixture(scope="module")
def by_two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two CPU processes made of :data:`TOGETHER`, started as torchrun would; one start for all tests."""
    out = tmp_path_factory.mktemp("two")
    # As torchrun does: it holds the store, so that the port is taken from the start and by nobody else.
    store = torch.distributed.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    held = {"MASTER_PORT": store.port, "TORCHELASTIC_USE_AGENT_STORE": True, "TORCHELASTIC_RESTART_COUNT": 0}
    started = []
    for rank in range(2):
        place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, **held}
        environment = os.environ | {key: str(value) for key, value in place.items()} | {"MASTER_ADDR": "127.0.0.1"}
        arguments = [sys.executable, "-W", "error", "-c", WORKER, __file__, str(out)]
        started.append(subprocess.Popen(arguments, env=environment, stderr=subprocess.PIPE, text=True))
    for process in started:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    return out


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_train_as_one(tmp_path: Path, by_two: Path, name: str) -> None:
    """Losses are the same until the weights move; AdamW then divides small gradients' rounding errors by their own size.

    Rounding alone moves the losses of these steps by up to 1e-4; what would set two processes apart moves them by a tenth.
    """
    losses = trained(tmp_path / "one", TOGETHER[name])
    two = kept(by_two / f"{name} float32")
    assert len(losses) >= 4
    np.testing.assert_allclose(two["losses"][0], losses[0], rtol=1e-5)
    np.testing.assert_allclose(two["losses"], losses, rtol=1e-2)


@pytest.mark.slow
@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_differ_from_one_by_rounding_alone(tmp_path: Path, by_two: Path, name: str) -> None:
    """In float64, where rounding is 10^9 times finer, the doubts are gone: losses, gradients and weights agree to the end.

    Gradients are compared with the largest of all: those of biases before a batch normalisation are nothing but rounding.
    """
    trained(tmp_path / "one", TOGETHER[name], "float64", epochs=1)
    one, two = kept(tmp_path / "one"), kept(by_two / f"{name} float64")
    assert one.keys() == two.keys()
    np.testing.assert_allclose(two["losses"], one["losses"], rtol=1e-10)
    gradients = [key for key in one if key.startswith("gradient ")]
    largest = max(np.abs(one[key]).max() for key in gradients)
    assert len(gradients) > 100
    assert largest > 1e-3
    for key, expected in one.items():
        # AdamW moves those biases, too: by rounding over its epsilon, 1e-8, times the rate.
        atol = 1e-11 * largest if key in gradients else 1e-7
        np.testing.assert_allclose(two[key], expected, rtol=1e-8, atol=atol, err_msg=key)


@pytest.mark.slow
def test_a_run_goes_on_with_another_number_of_processes(tmp_path: Path, by_two: Path) -> None:
    straight = trained(tmp_path / "one", TOGETHER["simclr"], "float64")
    before = kept(by_two / "stopped")["losses"].tolist()
    assert len(before) == STOPPED_AFTER < len(straight)
    rest = trained(shutil.copytree(by_two / "stopped", tmp_path / "rest"), TOGETHER["simclr"], "float64")
    np.testing.assert_allclose(before + rest, straight, rtol=1e-8)
