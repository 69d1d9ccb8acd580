"""A network learns what frames show, from known labels alone, and the same again from the same seed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")
pytest.importorskip("timm", reason="fine-tuning needs timm")

from lusfx.contracts import UNKNOWN  # noqa: E402 - after the skip
from lusfx.errors import EncoderError, RunInterruptedError, UsageError  # noqa: E402
from lusfx.fine_tuning.fit import fit  # noqa: E402
from lusfx.fine_tuning.frame_units import FrameUnits, LabelledFrames  # noqa: E402
from lusfx.fine_tuning.losses import calibrated_loss  # noqa: E402
from lusfx.fine_tuning.network import FineTunedNetwork, renew_statistics  # noqa: E402
from lusfx.fine_tuning.progress import EpochProgress  # noqa: E402
from lusfx.fine_tuning.settings import FineTuningSettings  # noqa: E402
from lusfx.metrics import roc_auc  # noqa: E402
from lusfx.networks.errors import DivergedError  # noqa: E402
from lusfx.networks.network_spec import NetworkSpec  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

SIZE, N_FRAMES = 64, 3
NETWORK_SPEC = NetworkSpec("test_efficientnet", SIZE)


def striped(n_units: int, seed: int) -> LabelledFrames:
    """Clips of noise; half of them have upright bright stripes at places of their own, which is the label."""
    generator = np.random.default_rng(seed)
    targets = np.arange(n_units) % 2
    frames = generator.integers(20, 90, (n_units, N_FRAMES, SIZE, SIZE)).astype(np.uint8)
    for unit in np.flatnonzero(targets):
        for column in generator.choice(SIZE - 3, 4, replace=False):
            frames[unit, :, 5:, column : column + 3] = 230
    clips = [[np.arange(N_FRAMES * unit, N_FRAMES * (unit + 1))] for unit in range(n_units)]
    return LabelledFrames(FrameUnits(frames.reshape(-1, SIZE, SIZE), clips), targets[:, None])


def fitted(training: LabelledFrames, held_out: LabelledFrames | None = None, **changed: Any) -> FineTunedNetwork:
    progress, should_stop = changed.pop("progress", None), changed.pop("should_stop", lambda: False)
    network_spec = changed.pop("network_spec", NETWORK_SPEC)
    values = {"epochs": 8, "batch_size": 8, "frames_per_step": 2, "lr": 3e-3, "augmentation": "none"} | changed
    settings = FineTuningSettings.complete(values, random_weights=True)
    return fit(network_spec, training, held_out, settings, progress=progress, should_stop=should_stop)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Where other tests use the same cores, threads wait for each other at every layer."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def network() -> FineTunedNetwork:
    """Trained from random weights, with patients held out."""
    return fitted(striped(32, 0), striped(16, 1))


@pytest.mark.slow
def test_the_loss_falls_and_the_finding_is_learnt(network: FineTunedNetwork) -> None:
    losses = [record.training_loss for record in network.history]
    assert losses[-1] < 0.6 * losses[0]
    others = striped(32, 2)
    assert roc_auc(others.targets[:, 0], network.scores(others.units)[:, 0]) > 0.9


def test_held_out_units_are_watched_and_the_last_epoch_is_kept(network: FineTunedNetwork) -> None:
    held_out = [record.validation_loss for record in network.history]
    assert len(held_out) == 8
    tested = striped(16, 1)
    loss = calibrated_loss(network.logits(tested.units), tested.targets)
    assert loss == pytest.approx(held_out[-1], abs=1e-4)


def test_held_out_units_decide_nothing() -> None:
    """However their answers are turned, the weights are those of training without them."""
    without = fitted(striped(8, 0), epochs=2)
    held_out = striped(8, 1)
    turned = LabelledFrames(held_out.units, 1 - held_out.targets)
    for watched in (held_out, turned):
        network = fitted(striped(8, 0), watched, epochs=2)
        np.testing.assert_array_equal(network.weight, without.weight)
        for name, value in network.backbone.backbone_weights().items():
            np.testing.assert_array_equal(value, without.backbone.backbone_weights()[name], err_msg=name)


def test_the_loss_on_held_out_units_is_one_of_order_and_not_of_how_common_the_finding_is() -> None:
    generator = np.random.default_rng(0)
    answers = np.repeat([0, 1], 50)
    logits = generator.normal(size=100) + 2 * answers
    loss = calibrated_loss(logits[:, None], answers[:, None])
    assert calibrated_loss(3 * logits[:, None] - 5, answers[:, None]) == pytest.approx(loss, abs=0.01)
    better = calibrated_loss(logits[:, None] + 2 * answers[:, None], answers[:, None])
    worse = calibrated_loss(generator.permutation(logits)[:, None], answers[:, None])
    assert better < loss < worse <= np.log(2) + 1e-3
    known = np.where(np.arange(100) % 3 == 0, UNKNOWN, answers)
    two = calibrated_loss(np.stack([logits, logits], axis=1), np.stack([known, np.full(100, UNKNOWN)], axis=1))
    assert two == pytest.approx(calibrated_loss(logits[known >= 0, None], answers[known >= 0, None]))
    assert calibrated_loss(np.zeros((4, 1)), np.ones((4, 1), np.int64)) == pytest.approx(np.log(2))


def test_without_held_out_units_nothing_is_watched() -> None:
    network = fitted(striped(8, 0), epochs=2)
    assert [record.validation_loss for record in network.history] == [None, None]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    one, same, other = (
        fitted(striped(16, 0), striped(8, 1), epochs=2, augmentation="ultrasound", seed=seed) for seed in (0, 0, 1)
    )
    for name, value in one.backbone.backbone_weights().items():
        np.testing.assert_array_equal(value, same.backbone.backbone_weights()[name], err_msg=name)
    np.testing.assert_array_equal(one.weight, same.weight)
    assert one.history == same.history
    assert one.weight.tolist() != other.weight.tolist()


def test_the_callers_random_numbers_are_left_alone() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3).tolist()
    torch.manual_seed(5)
    fitted(striped(4, 0), epochs=1)
    assert torch.rand(3).tolist() == expected


def test_what_is_not_known_teaches_nothing() -> None:
    """A second outcome that is never known stays at even odds, and changes nothing of the first."""
    alone = striped(16, 0)
    both = LabelledFrames(alone.units, np.concatenate([alone.targets, np.full_like(alone.targets, UNKNOWN)], axis=1))
    one, two = fitted(alone, epochs=2), fitted(both, epochs=2)
    assert two.weight[1].tolist() == [0.0] * two.backbone.dim
    assert two.bias[1] == 0
    # One column or two are other kernels; AdamW makes some 3e-7 of float32's rounding, and steps are of 3e-3.
    np.testing.assert_allclose(two.weight[0], one.weight[0], rtol=0, atol=2e-5)
    masked = both.targets.copy()
    masked[:4, 0] = UNKNOWN
    turned = masked.copy()
    turned[:4, 0] = 7  # whatever stands for not known
    first, second = (fitted(LabelledFrames(alone.units, targets), epochs=1) for targets in (masked, turned))
    np.testing.assert_array_equal(first.weight, second.weight)


def test_an_exams_embedding_is_the_mean_over_its_clips(network: FineTunedNetwork) -> None:
    frames = striped(4, 3).units.frames
    clips = [np.arange(0, 3), np.arange(3, 10)]
    exam = FrameUnits(frames, [clips])
    each = network.embeddings(FrameUnits(frames, [[rows] for rows in clips]))
    np.testing.assert_allclose(network.embeddings(exam)[0], each.mean(axis=0), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        network.logits(exam)[0], network.embeddings(exam)[0] @ network.weight.T + network.bias, rtol=1e-5, atol=1e-5
    )


def test_statistics_are_those_of_the_frames_given() -> None:
    backbone = NETWORK_SPEC.backbone(0)
    frames = striped(8, 0).units.frames
    first = next(layer for layer in backbone.module.modules() if isinstance(layer, torch.nn.BatchNorm2d))
    seen: list[Any] = []
    hook = first.register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))
    renew_statistics(backbone, [frames[:12], frames[12:]])
    hook.remove()
    expected = torch.stack([values.mean(dim=(0, 2, 3)) for values in seen]).mean(dim=0)
    torch.testing.assert_close(first.running_mean, expected)
    assert not first.training
    assert first.momentum is not None


def test_a_run_is_told_of_and_can_be_stopped() -> None:
    told: list[EpochProgress] = []
    with pytest.raises(RunInterruptedError, match="no task model was written"):
        fitted(striped(16, 0), progress=told.append, should_stop=lambda: len(told) == 3)
    assert [(progress.epoch, progress.step, progress.steps, progress.frames) for progress in told] == [
        (1, 1, 16, 16),
        (1, 2, 16, 32),
        (2, 3, 16, 48),
    ]


def test_a_loss_that_is_no_number_ends_the_run() -> None:
    with pytest.raises(DivergedError, match="Lower --lr"):
        fitted(striped(16, 0), striped(8, 1), lr=10.0, weight_decay=10.0, backbone_lr=10.0, epochs=20)


def test_what_cannot_be_begun_with_is_refused(tmp_path: Any) -> None:
    with pytest.raises(UsageError, match="timm knows no model 'no-such'"):
        fitted(striped(4, 0), network_spec=NetworkSpec("no-such", SIZE))
    (tmp_path / "weights.safetensors").write_bytes(b"none")
    with pytest.raises(EncoderError, match="no safetensors file"):
        fitted(striped(4, 0), network_spec=NetworkSpec("test_efficientnet", SIZE, tmp_path / "weights.safetensors"))
