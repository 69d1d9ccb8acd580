"""Settings of a fine-tuning: what follows from others, and what makes no sense."""

from __future__ import annotations

import pytest

from lusfx.errors import UsageError
from lusfx.fine_tuning.settings import FineTuningSettings


def test_a_backbone_that_has_learnt_something_changes_less_than_the_new_layer() -> None:
    assert FineTuningSettings.complete({"lr": 0.01}, random_weights=False).backbone_lr == pytest.approx(0.001)
    assert FineTuningSettings.complete({"lr": 0.01}, random_weights=True).backbone_lr == 0.01
    assert FineTuningSettings.complete({"backbone_lr": 0.5}, random_weights=False).backbone_lr == 0.5


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"epochs": 0}, "epochs: "),
        ({"frames_per_step": 0}, "frames-per-step: "),
        ({"lr": float("nan")}, "lr: "),
        ({"backbone_lr": 0}, "backbone-lr: "),
        ({"augmentation": "flip"}, "augmentation: "),
        ({"seed": -1}, "seed: "),
    ],
)
def test_what_makes_no_sense_is_named(changed: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        FineTuningSettings.complete(changed, random_weights=False)
