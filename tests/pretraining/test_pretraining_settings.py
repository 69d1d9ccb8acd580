"""What a run must be given again to go on, and what one that is older than a setting had."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lusfx.errors import UsageError
from lusfx.pretraining.settings import PretrainingSettings

OLD: dict[str, Any] = {
    "method": "simclr", "augmentation": "ultrasound", "delta_s": 1.0, "architecture": "mobilenetv3_small_100",
    "weights_sha256": None, "size": 128, "epochs": 100, "batch_size": 64, "accumulate": 1, "optimiser": "adamw",
    "lr": 0.001, "weight_decay": 0.01, "warmup_epochs": 10, "pairs_per_clip": 4, "frames_per_clip": 32,
    "max_frames": 200000, "seed": 0,
}  # fmt: skip
"""The settings in ``run.json`` of a run that was begun before encoders could be begun with, all at their defaults."""
NORMALISATION = ((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def test_a_run_older_than_a_setting_goes_on_with_its_default() -> None:
    PretrainingSettings.complete({}).check_same(OLD)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"layer": "blocks.3"}, "layer global-pool, not blocks.3"),
        ({"normalisation": NORMALISATION}, "normalisation None, not"),
        ({"weights_sha256": "ab" * 32}, "weights-sha256 None, not abab"),
        ({"architecture": "resnet18"}, "architecture mobilenetv3_small_100, not resnet18"),
    ],
)
def test_other_initial_weights_do_not_go_on_with_it(change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=f"--out holds a run with {said}"):
        PretrainingSettings.complete(change).check_same(OLD)


def test_what_was_written_is_the_same_when_it_is_read() -> None:
    settings = PretrainingSettings.complete({"layer": "blocks.3", "normalisation": NORMALISATION})
    written = json.loads(json.dumps(settings.model_dump(mode="json")))
    settings.check_same(written)
    with pytest.raises(UsageError, match=r"layer blocks\.3, not global-pool"):
        PretrainingSettings.complete({"normalisation": NORMALISATION}).check_same(written)


def test_a_setting_without_a_default_in_an_old_run_is_not_forgotten() -> None:
    """The rate, the decay and the warm-up are filled in before they are compared."""
    for name in ("lr", "weight_decay", "warmup_epochs"):
        rest = {key: value for key, value in OLD.items() if key != name}
        with pytest.raises(UsageError, match=name.replace("_", "-")):
            PretrainingSettings.complete({}).check_same(rest)
