"""What a pretraining is asked for: the parameters of :func:`lusfx.pretrain`, from which the command's options come, too."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.errors import UsageError
from lusfx.pretraining.settings import (
    FROM_INITIAL_WEIGHTS,
    Augmentation,
    Memory,
    Method,
    OptimiserName,
    PretrainingSettings,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable

    from lusfx.contracts import Device
    from lusfx.networks.initial_weights import InitialWeights
    from lusfx.pretraining.progress import PretrainingListener
    from lusfx.site_key import SiteKey

SETTINGS = PretrainingSettings()


@dataclass(frozen=True)
class PretrainingRequest:
    """A call of :func:`lusfx.pretrain`, which says what each of these is. Nothing is checked yet."""

    sources: Path | str | Iterable[Path | str]
    out: Path | str
    _: KW_ONLY
    method: Method = SETTINGS.method
    augmentation: Augmentation = SETTINGS.augmentation
    delta_s: float = SETTINGS.delta_s
    encoder: str | Path | None = None
    architecture: str | None = None
    layer: str | None = None
    weights: Path | str | None = None
    size: int | None = None
    epochs: int = SETTINGS.epochs
    batch_size: int = SETTINGS.batch_size
    accumulate: int = SETTINGS.accumulate
    optimiser: OptimiserName = SETTINGS.optimiser
    lr: float | None = SETTINGS.lr
    weight_decay: float | None = SETTINGS.weight_decay
    warmup_epochs: int | None = SETTINGS.warmup_epochs
    pairs_per_clip: int = SETTINGS.pairs_per_clip
    frames_per_clip: int = SETTINGS.frames_per_clip
    max_frames: int = SETTINGS.max_frames
    seed: int = SETTINGS.seed
    probe: Path | str | None = None
    probe_task: str | None = None
    name: str | None = None
    licence: str | None = None
    device: Device = "auto"
    threads: int = 0
    memory: Memory = "less"
    minutes: float | None = None
    site_key: SiteKey | Path | str | None = None
    progress: PretrainingListener | None = None
    stop: threading.Event | None = None

    @property
    def labelled_probe(self) -> tuple[Path, str] | None:
        """Label table and task of the probe; None if none is asked for.

        :raises UsageError: if one is there without the other.
        """
        if self.probe is not None and self.probe_task is not None:
            return Path(self.probe), self.probe_task
        if self.probe is None and self.probe_task is None:
            return None
        raise UsageError("--probe and --probe-task go together: a label table and the task that reads it")

    def settings(self, initial_weights: InitialWeights) -> PretrainingSettings:
        """Those of the parameters that are settings, with those that follow from the initial weights; checked and complete.

        :raises UsageError: naming the first that makes no sense.
        """
        given = {
            name: getattr(self, name) for name in PretrainingSettings.model_fields if name not in FROM_INITIAL_WEIGHTS
        }
        network = initial_weights.network
        return PretrainingSettings.complete(
            given
            | {
                "architecture": network.architecture,
                "layer": network.layer,
                "weights_sha256": initial_weights.weights_sha256,
                "normalisation": network.normalisation,
                "size": network.size,
            }
        )
