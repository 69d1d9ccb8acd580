"""What a fine-tuning says of itself: a section of the task model's report, and the model card of its encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lusfx.engine.samples.samples import Samples
from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.networks.model_card import encoder_model_card
from lusfx.report import Figure, Gallery, Section, Table
from lusfx.report.figures import BLUE, INK, ORANGE, as_svg, new_axes
from lusfx.task_model import TaskCard

if TYPE_CHECKING:
    from lusfx.fine_tuning.record import FineTuningRecord, FitRecord
    from lusfx.fine_tuning.settings import FineTuningSettings
    from lusfx.networks.beginning import NamedBeginning

AUGMENTATIONS = {
    "ultrasound": "the ultrasound-preserving pipeline (VanBerlo et al. 2025, arXiv 2504.07904)",
    "degraded": "the ultrasound-preserving pipeline (VanBerlo et al. 2025, arXiv 2504.07904) after lusfx's own degradation",
    "byol": "BYOL's pipeline (Grill et al. 2020, arXiv 2006.07733)",
    "none": "nothing",
}
LIMITS = (
    "It was taught one question. For another one a general encoder may be better: measure before you change to it.",
    "Its embeddings of the clips that it was trained on are not those of clips that it never saw: a head that is trained and "
    "judged on the same patients again looks better than it is, cross-validation or not.",
    "It has learnt the machines, probes and settings of its clips. On others it may be worse.",
)


def fine_tuning_section(record: FineTuningRecord) -> Section:
    """Curves of every network, and what they were trained with."""
    figures = [Figure("Loss by epoch", _loss_figure(fit), _caption(fit)) for fit in record.fits]
    settings = record.as_dict()["settings"]
    facts = [
        ("architecture", f"timm/{record.architecture}"),
        ("begun with", record.beginning),
        (
            "held out of the last network",
            f"{record.n_held_out_patients} patients: best epoch, calibration and thresholds",
        ),
        *[(name.replace("_", "-"), str(value)) for name, value in settings.items()],
    ]
    return Section("Fine-tuning of the encoder", [Gallery(figures), Table("", ("setting", "value"), facts)])


def _caption(fit: FitRecord) -> str:
    return f"{fit.name[:1].upper()}{fit.name[1:]}: the weights of epoch {fit.best_epoch} were kept."


def _loss_figure(fit: FitRecord) -> str:
    from matplotlib.ticker import MaxNLocator

    epochs = range(1, len(fit.history) + 1)
    held_out = [record.validation_loss for record in fit.history if record.validation_loss is not None]
    figure, axes = new_axes((4, 3), "epoch", "cross-entropy")
    axes.plot(epochs, [record.training_loss for record in fit.history], color=BLUE, linewidth=1.5, label="trained on")
    if held_out:  # of every epoch or of none
        axes.plot(epochs, held_out, "--", color=ORANGE, linewidth=1.5, label="held out, calibrated")
    axes.axvline(fit.best_epoch, color=INK, linewidth=0.8, linestyle=":")
    axes.legend(frameon=False, labelcolor=INK)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return as_svg(figure, f"loss by epoch, {fit.name}")


def training_data(card: TaskCard, samples: Samples[FrameUnits]) -> str:
    """The line of ``encoder.json`` about the data."""
    n_frames = sum(len(rows) for unit in samples.units.clips for rows in unit)
    return (
        f"{n_frames} frames of {len(samples.clips)} clips of {len(np.unique(samples.groups))} patients, with the labels of "
        f"task {card.name}"
    )


def model_card(
    name: str,
    licence: str,
    card: TaskCard,
    samples: Samples[FrameUnits],
    beginning: NamedBeginning,
    settings: FineTuningSettings,
) -> str:
    """``MODEL_CARD.md`` of the encoder: data, licence, method, limits."""
    return encoder_model_card(
        name,
        [
            f"An encoder of lung ultrasound frames: {beginning.network.architecture} of timm, fine-tuned end to end by `lusfx` "
            f"for task {card.name}: {card.question}"
        ],
        data=f"{training_data(card, samples)}. Frames are grey, cut to the beam, {beginning.preprocess.size} px. One patient "
        f"in five was held out to choose the epoch. Training began with {beginning.weights}.",
        licence=f"whoever ran the training, or by the encoder that it began as: {licence}",
        method="Binary cross-entropy of each outcome from one linear layer on the mean embedding of some frames of a clip; "
        f"AdamW; frames augmented by {AUGMENTATIONS[settings.augmentation]}.",
        settings=((setting.replace("_", "-"), value) for setting, value in settings.model_dump(mode="json").items()),
        figures=[
            "The report of the task model that this encoder belongs to has them, from networks trained in the same way on some "
            "of the patients and judged on the others."
        ],
        limits=LIMITS,
    )
