"""How the encoder of a fine-tuned task model was made: what its evidence keeps, and what its report draws."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lusfx.fine_tuning.history import EpochRecord
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.report import Figure, Gallery, Section, Table
from lusfx.report.figures import BLUE, INK, ORANGE, as_svg, new_axes


@dataclass(frozen=True, slots=True)
class FitRecord:
    """One network that was trained: within a fold, or on all patients.

    :param name: ``repeat 1 of 1, fold 2 of 5``, say.
    :param history: an epoch each.
    """

    name: str
    history: Sequence[EpochRecord]

    def as_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "training_loss": [record.training_loss for record in self.history],
            "validation_loss": [record.validation_loss for record in self.history],
        }


@dataclass(frozen=True, slots=True)
class FineTuningRecord:
    """All networks of a run.

    :param own_encoder: SHA-256 of the card of the encoder that was kept.
    :param architecture: timm's name.
    :param beginning: in words, the weights that every network began with.
    :param preparation: facts of the frames: ``size``, ``frames_per_clip``.
    :param fits: the last is the one that was kept.
    :param n_held_out_patients: of the last, held out for its calibration and its thresholds.
    """

    own_encoder: str
    architecture: str
    beginning: str
    preparation: Mapping[str, int]
    settings: FineTuningSettings
    fits: Sequence[FitRecord]
    n_held_out_patients: int

    def as_dict(self) -> dict[str, Any]:
        """For programs, and for the evidence."""
        return {
            "architecture": self.architecture,
            "beginning": self.beginning,
            "settings": {**self.preparation, **self.settings.model_dump(mode="json")},
            "n_held_out_patients": self.n_held_out_patients,
            "fits": [fit.as_dict() for fit in self.fits],
        }

    def section(self) -> Section:
        """Curves of every network, and what they were trained with."""
        figures = [
            Figure("Loss by epoch", _loss_figure(fit), f"{fit.name[:1].upper()}{fit.name[1:]}.") for fit in self.fits
        ]
        settings = self.as_dict()["settings"]
        facts = [
            ("architecture", f"timm/{self.architecture}"),
            ("begun with", self.beginning),
            ("held out of the last network", f"{self.n_held_out_patients} patients: calibration and thresholds"),
            *[(name.replace("_", "-"), str(value)) for name, value in settings.items()],
        ]
        return Section("Fine-tuning of the encoder", [Gallery(figures), Table("", ("setting", "value"), facts)])


def _loss_figure(fit: FitRecord) -> str:
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(fit.history) + 1)
    held_out = [record.validation_loss for record in fit.history if record.validation_loss is not None]
    figure, axes = new_axes((4, 3), "epoch", "cross-entropy")
    axes.plot(epochs, [record.training_loss for record in fit.history], color=BLUE, linewidth=1.5, label="trained on")
    if held_out:  # of every epoch or of none
        axes.plot(epochs, held_out, "--", color=ORANGE, linewidth=1.5, label="held out, calibrated")
    axes.legend(frameon=False, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return as_svg(figure, f"loss by epoch, {fit.name}")
