"""What decides the result of a pretraining run. A run goes on only under the settings that it began with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lusfx.backbone import LAST_LAYER
from lusfx.errors import UsageError
from lusfx.messages import plain_problem

Method = Literal["simclr", "barlow-twins", "vicreg"]
Augmentation = Literal["byol", "ultrasound", "degraded"]
OptimiserName = Literal["adamw", "lars"]
Memory = Literal["less", "more"]
"""What a run on a CPU spares: memory, or time. It decides nothing of the result."""

LARS_RATE_A_256 = 0.3
"""LARS's rate grows with the batch: 0.3 for 256 pairs (Chen et al. 2020, arXiv 2002.05709)."""
ADAMW_RATE = 1e-3
MOST_WARMUP_EPOCHS = 10
FROM_INITIAL_WEIGHTS = ("architecture", "layer", "weights_sha256", "normalisation", "size")
"""Settings that follow from the initial weights."""
WEIGHT_DECAY: Mapping[str, float] = {"lars": 1e-6, "adamw": 1e-2}


class PretrainingSettings(BaseModel):
    """Settings of a run. The options of ``lusfx pretrain`` are made from these fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    method: Method = Field(default="simclr", description="Objective.")
    augmentation: Augmentation = Field(
        default="ultrasound", description="How the two views of a pair are made to differ."
    )
    delta_s: float = Field(
        default=1.0,
        ge=0,
        le=3600,
        description="Seconds that the two frames of a pair are apart at most; 0 takes one frame twice.",
    )
    architecture: str = Field(
        default="mobilenetv3_small_100", min_length=1, max_length=100, description="Backbone, by timm's name."
    )
    layer: str = Field(
        default=LAST_LAYER,
        min_length=1,
        max_length=100,
        description="Layer that gives the embedding: global-pool, or a module that gives a feature map.",
    )
    weights_sha256: str | None = Field(
        default=None,
        pattern=r"^[0-9a-f]{64}$",
        description="Digest of the file that the backbone begins with; None where it begins with random weights.",
    )
    normalisation: tuple[tuple[float, ...], tuple[float, ...]] | None = Field(
        default=None, description="Mean and standard deviation, a value a channel each; None for timm's own."
    )
    size: int = Field(default=128, ge=32, le=512, description="Side of the frames in pixels.")
    epochs: int = Field(default=100, ge=1, le=100_000, description="Passes over the clips.")
    batch_size: int = Field(
        default=64,
        ge=2,
        le=65_536,
        description="Pairs that are compared with each other, those of all processes together.",
    )
    accumulate: int = Field(default=1, ge=1, le=1024, description="Batches an optimiser step.")
    optimiser: OptimiserName = Field(default="adamw", description="What moves the weights.")
    lr: float | None = Field(
        default=None,
        gt=0,
        le=1e6,
        description="Highest learning rate; if none is given 0.001 for adamw, 0.3 a 256 pairs for lars.",
    )
    weight_decay: float | None = Field(
        default=None, ge=0, le=1e3, description="Weight decay; if none is given 0.01 for adamw, 1e-6 for lars."
    )
    warmup_epochs: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description="Epochs until the rate is highest; if none is given a tenth of all, 10 at most.",
    )
    pairs_per_clip: int = Field(default=4, ge=1, le=10_000, description="Pairs that a clip gives in an epoch.")
    frames_per_clip: int = Field(default=32, ge=1, le=2000, description="Frames kept of a clip, evenly spaced.")
    max_frames: int = Field(
        default=200_000, ge=1, le=100_000_000, description="Frames kept in all: size x size bytes each."
    )
    seed: int = Field(default=0, ge=0, lt=1 << 31, description="Seed of everything random.")

    @classmethod
    def complete(cls, values: Mapping[str, Any]) -> PretrainingSettings:
        """Check values and put the optimiser's own where none were given.

        :raises UsageError: naming the first that makes no sense.
        """
        try:
            given = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = str(first["loc"][0]).replace("_", "-") if first["loc"] else "settings"
            raise UsageError(f"{place}: {plain_problem(first)}") from None
        lr = given.lr
        if lr is None:
            pairs = given.batch_size * given.accumulate
            lr = ADAMW_RATE if given.optimiser == "adamw" else LARS_RATE_A_256 * pairs / 256
        decay = WEIGHT_DECAY[given.optimiser] if given.weight_decay is None else given.weight_decay
        warmup = given.warmup_epochs
        if warmup is None:
            warmup = min(given.epochs // 10, MOST_WARMUP_EPOCHS)
        if warmup >= given.epochs:
            raise UsageError(f"warmup-epochs: {warmup} do not fit a run of {given.epochs} epochs")
        return given.model_copy(update={"lr": lr, "weight_decay": decay, "warmup_epochs": warmup})

    def check_same(self, others: Mapping[str, Any]) -> None:
        """Refuse to go on with a run of other settings.

        :param others: those that the run began with, as JSON values. One that is absent is younger than the run, which then
            had what is the default.
        :raises UsageError: naming the first that differs.
        """
        for name, value in self.model_dump(mode="json").items():
            begun = others.get(name, type(self).model_fields[name].default)
            if begun != value:
                raise UsageError(
                    f"--out holds a run with {name.replace('_', '-')} {begun}, not {value}. Give the settings "
                    "that it began with to go on with it, or another --out"
                )
