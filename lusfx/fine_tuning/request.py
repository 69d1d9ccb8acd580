"""What a fine-tuning is asked for: the parameters of :func:`lusfx.fine_tune`, from which the command's options come, too."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING

from lusfx.errors import UsageError
from lusfx.fine_tuning.settings import Augmentation, FineTuningSettings

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from lusfx.calibration import CalibrationMethod
    from lusfx.contracts import Device, Task
    from lusfx.fine_tuning.progress import FineTuningListener
    from lusfx.site_key import SiteKey

SETTINGS = FineTuningSettings()


@dataclass(frozen=True)
class FineTuningRequest:
    """A call of :func:`lusfx.fine_tune`, which says what each of these is. Nothing is checked yet."""

    task: str | Task
    labels: Path | str
    out: Path | str
    _: KW_ONLY
    encoder: str | Path | None = None
    architecture: str | None = None
    layer: str | None = None
    weights: Path | str | None = None
    size: int | None = None
    epochs: int = SETTINGS.epochs
    batch_size: int = SETTINGS.batch_size
    frames_per_step: int = SETTINGS.frames_per_step
    frames_per_clip: int = 32
    lr: float = SETTINGS.lr
    backbone_lr: float | None = SETTINGS.backbone_lr
    weight_decay: float = SETTINGS.weight_decay
    augmentation: Augmentation = SETTINGS.augmentation
    calibration: CalibrationMethod = "platt"
    n_folds: int = 5
    n_repeats: int = 1
    seed: int = SETTINGS.seed
    licence: str | None = None
    work: Path | str | None = None
    device: Device = "auto"
    threads: int = 0
    force: bool = False
    trust_table: bool = False
    site_key: SiteKey | Path | str | None = None
    progress: FineTuningListener | None = None
    stop: threading.Event | None = None

    def check(self) -> None:
        """Refuse numbers that make no sense.

        :raises UsageError: naming the first.
        """
        if self.n_folds < 2 or self.n_repeats < 1:
            raise UsageError("a cross-validation has at least 2 folds and 1 repeat")
        if self.frames_per_clip < 1:
            raise UsageError("frames-per-clip: at least one frame of a clip is needed")

    def settings(self, random_weights: bool) -> FineTuningSettings:
        """Those of the parameters that are settings, checked and complete.

        :param random_weights: whether the backbone has learnt nothing before.
        :raises UsageError: naming the first that makes no sense.
        """
        values = {name: getattr(self, name) for name in FineTuningSettings.model_fields}
        return FineTuningSettings.complete(values, random_weights)
