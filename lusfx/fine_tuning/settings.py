"""What decides how a network is fine-tuned, beside its frames and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lusfx.errors import UsageError
from lusfx.messages import plain_problem

Augmentation = Literal["ultrasound", "degraded", "byol", "none"]

BACKBONE_SHARE = 0.1
"""Of the new layer's learning rate, for a backbone that has learnt something before: it is to change little."""


class FineTuningSettings(BaseModel):
    """Settings of a fine-tuning. Options of ``lusfx fine-tune`` are made from these fields.

    A step's loss is on the mean of some frames of each clip. Rates rise at first and then fall along a cosine to zero, so that
    the last epochs hardly differ; the last one's weights are kept.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    epochs: int = Field(default=20, ge=1, le=10_000, description="Passes over the clips.")
    batch_size: int = Field(default=16, ge=1, le=4096, description="Clips a step.")
    frames_per_step: int = Field(default=4, ge=1, le=256, description="Frames of a clip a step, drawn at random.")
    lr: float = Field(default=1e-3, gt=0, le=10, description="Highest learning rate of the new layer.")
    backbone_lr: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="Highest learning rate of the backbone; if none is given a tenth of --lr, or all of it for random weights.",
    )
    weight_decay: float = Field(
        default=0.01, ge=0, le=10, description="Weight decay, not of biases and normalisations."
    )
    augmentation: Augmentation = Field(default="ultrasound", description="How frames are changed at random.")
    seed: int = Field(default=0, ge=0, lt=1 << 31, description="Seed of everything random.")

    @classmethod
    def complete(cls, values: Mapping[str, Any], random_weights: bool) -> FineTuningSettings:
        """Check values, and put in what follows from others.

        :param random_weights: whether the backbone has learnt nothing before.
        :raises UsageError: naming the first that makes no sense.
        """
        try:
            given = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
            raise UsageError(f"{place}: {plain_problem(first)}") from None
        if given.backbone_lr is not None:
            return given
        return given.model_copy(update={"backbone_lr": given.lr * (1.0 if random_weights else BACKBONE_SHARE)})
