"""``MODEL_CARD.md`` of a fine-tuned encoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lusfx.engine.samples.samples import Samples
from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.networks.model_card import encoder_model_card
from lusfx.task_model import TaskCard

if TYPE_CHECKING:
    from lusfx.fine_tuning.settings import FineTuningSettings
    from lusfx.networks.initial_weights import InitialWeights

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
    initial_weights: InitialWeights,
    settings: FineTuningSettings,
) -> str:
    """``MODEL_CARD.md`` of the encoder: data, licence, method, limits."""
    return encoder_model_card(
        name,
        [
            f"An encoder of lung ultrasound frames: {initial_weights.network.architecture} of timm, fine-tuned end to end by "
            f"`lusfx` for task {card.name}: {card.question}"
        ],
        data=f"{training_data(card, samples)}. Frames are grey, cut to the beam, {initial_weights.preprocess.size} px. One "
        f"patient in five was held out to choose the epoch. Training began with {initial_weights.origin}.",
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
