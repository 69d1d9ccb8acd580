"""Train a network end to end on labelled units, for as many epochs as the settings say.

Labels are those of whole units and frames are drawn from them at random, so each frame learns from a weak label; the loss is
on the mean of some frames' embeddings, which is what is served.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lusfx.fine_tuning.frame_units import LabelledFrames
from lusfx.fine_tuning.progress import EpochProgress
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.network_spec import NetworkSpec

if TYPE_CHECKING:
    import torch

    from lusfx.fine_tuning.network import FineTunedNetwork


def fit(
    network_spec: NetworkSpec,
    training: LabelledFrames,
    held_out: LabelledFrames | None,
    settings: FineTuningSettings,
    *,
    device: str | torch.device = "cpu",
    progress: Callable[[EpochProgress], None] | None = None,
    should_stop: Callable[[], bool] = lambda: False,
) -> FineTunedNetwork:
    """Fine-tune a network.

    :param network_spec: of the backbone; where its weights are random, the settings' seed draws them.
    :param training: each outcome should have both answers in it.
    :param held_out: of other patients; :func:`~lusfx.fine_tuning.losses.calibrated_loss` on them is written down after each
        epoch, and decides nothing.
    :param settings: complete (see :meth:`FineTuningSettings.complete`).
    :param progress: called after each step.
    :param should_stop: asked after each step.
    :returns: the network with the last epoch's weights, on the device.
    :raises DivergedError: if the loss is no finite number any more.
    :raises RunInterruptedError: if ``should_stop`` says so.
    """
    import torch

    from lusfx.fine_tuning.trainer import Trainer

    place = torch.device(device)
    with torch.random.fork_rng(devices=[place] if place.type == "cuda" else []):
        trainer = Trainer(
            network_spec=network_spec,
            training=training,
            held_out=held_out,
            settings=settings,
            device=place,
            progress=progress,
            should_stop=should_stop,
        )
        return trainer.run()
