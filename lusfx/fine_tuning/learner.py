"""How outcomes are learnt by fine-tuning: one network for all of them, calibrated on patients that it was not trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.calibration import CalibrationMethod, fit_calibration
from lusfx.contracts import HeadSettings, HeadSpec, OperatingPoint
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import FoldPlace
from lusfx.engine.training.learner import Candidate, LearntOutcome
from lusfx.fine_tuning.fit import fit
from lusfx.fine_tuning.frame_units import FrameUnits, LabelledFrames
from lusfx.fine_tuning.progress import EpochProgress
from lusfx.fine_tuning.record import FitRecord
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.heads.linear import LogisticHead
from lusfx.heads.standardiser import Standardiser
from lusfx.metrics import choose_thresholds
from lusfx.networks.network_spec import NetworkSpec
from lusfx.splits import Fold, check_split, held_out_fold
from lusfx.task_model import UnitFeatures

if TYPE_CHECKING:
    import torch

    from lusfx.fine_tuning.network import FineTunedNetwork

ONE_IN_HELD_OUT = 5
"""One in so many training patients is held out, for the calibration and the thresholds."""


@dataclass(frozen=True, slots=True)
class FineTunedOutcome:
    """One output of a network, as the logistic head that it is."""

    network: FineTunedNetwork
    learnt: LearntOutcome

    @property
    def thresholds(self) -> Mapping[str, float]:
        return self.learnt.thresholds

    @property
    def chosen(self) -> str:
        """Nothing is chosen: the last epoch's weights are kept."""
        return f"epoch {len(self.network.history)}"

    def probabilities(self, units: FrameUnits) -> NDArray[np.float64]:
        """Calibrated probability of yes, ``(n,)``: pooled embeddings through the head, as they are served."""
        return self.learnt.probabilities(unit_features(self.network, units))


@dataclass(frozen=True, slots=True)
class FineTuned:
    """What came of one training.

    :param outcomes: in the order in which they were asked for.
    :param fold: which of the samples were trained on (``train``) and which were held out (``test``).
    """

    network: FineTunedNetwork
    outcomes: Sequence[FineTunedOutcome]
    fold: Fold


@dataclass(slots=True)
class FineTuningLearner:
    """Learns outcomes together; see :class:`lusfx.engine.training.learner.Learner` for what is chosen.

    :param head: the kind of head that the outputs become: ``logistic``.
    :param device: where it is trained.
    :param progress: called after each step with the name of the network that is trained.
    :param should_stop: asked after each step.
    :param fits: a record of each network that was trained.
    """

    network_spec: NetworkSpec
    settings: FineTuningSettings
    calibration: CalibrationMethod
    operating_points: Mapping[str, OperatingPoint]
    head: HeadSpec
    device: torch.device
    progress: Callable[[str, EpochProgress], None]
    should_stop: Callable[[], bool]
    fits: list[FitRecord] = field(default_factory=list)

    @property
    def seed(self) -> int:
        return self.settings.seed

    def learn_together(
        self, samples: Samples[FrameUnits], outcomes: Sequence[int], place: FoldPlace
    ) -> Sequence[FineTunedOutcome]:
        """Learn outcomes by the network of a fold; see :meth:`fine_tune`."""
        return self.fine_tune(samples, outcomes, str(place)).outcomes

    def fine_tune(self, samples: Samples[FrameUnits], outcomes: Sequence[int], name: str) -> FineTuned:
        """Train one network with an output an outcome, and calibrate each on the patients that were held out.

        :param name: of the network, for its record and while it is trained.
        :raises TrainingRefusedError: if an answer has so few patients that none can be held out.
        """
        targets = samples.targets[:, outcomes]
        fold = held_out_fold(targets, samples.groups, ONE_IN_HELD_OUT, self.seed)
        check_split(fold, samples.groups, samples.keys)
        training, held_out = (
            LabelledFrames(samples.units.take(rows), targets[rows]) for rows in (fold.train, fold.test)
        )
        network = fit(
            self.network_spec,
            training,
            held_out,
            self.settings,
            device=self.device,
            progress=partial(self.progress, name),
            should_stop=self.should_stop,
        )
        self.fits.append(FitRecord(name, network.history))
        features = unit_features(network, held_out.units)
        learnt = [
            FineTunedOutcome(network, self._outcome(network, number, features, held_out.targets[:, number]))
            for number in range(len(outcomes))
        ]
        return FineTuned(network, learnt, fold)

    def _outcome(
        self, network: FineTunedNetwork, number: int, features: UnitFeatures, targets: NDArray[np.int64]
    ) -> LearntOutcome:
        """One output with its calibration and thresholds.

        :param features: of the units that were held out; ``targets`` are their answers.
        """
        dim = network.backbone.dim
        plain = Standardiser(np.zeros(dim), np.ones(dim))
        head = LogisticHead(plain, network.weight[number], network.bias[number : number + 1])
        known = np.flatnonzero((targets == 0) | (targets == 1))
        scores, answers = head.predict_proba(features.features)[known, 1], targets[known]
        calibration = fit_calibration(self.calibration, scores, answers)
        probabilities = scores if calibration is None else calibration(scores)
        thresholds = choose_thresholds(self.operating_points, answers, probabilities)
        # No setting of the head's own training had a part in it.
        return LearntOutcome(Candidate(self.head, HeadSettings()), head, None, calibration, thresholds)


def unit_features(network: FineTunedNetwork, units: FrameUnits) -> UnitFeatures:
    """Features as the task model's heads take them."""
    embeddings = network.embeddings(units)
    return UnitFeatures(embeddings, embeddings)
