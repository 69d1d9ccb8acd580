"""One network for all outcomes: what it is trained on, what it is calibrated on, and what it never sees."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import UNKNOWN, MinSensitivity, Youden
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import cross_validate_together
from lusfx.errors import LeakError, TrainingRefusedError
from lusfx.fine_tuning.frame_units import FrameUnits, LabelledFrames
from lusfx.fine_tuning.history import EpochRecord
from lusfx.fine_tuning.learner import FineTuningLearner
from lusfx.fine_tuning.network import FineTunedNetwork
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.heads.linear import LogisticHeadSpec
from lusfx.networks.network_spec import NetworkSpec
from lusfx.splits import Fold

N_PATIENTS, CLIPS_EACH = 20, 3


@dataclass
class Backbone:
    """Embeds a frame by its two grey values: the patient's number and what tells the answer."""

    dim: int = 2
    asked: list[set[int]] = field(default_factory=list)

    def embed(self, frames: np.ndarray) -> np.ndarray:
        self.asked.append(patients_of(frames))
        return frames[:, 0, :].astype(np.float32) / 100


def patients_of(frames: np.ndarray) -> set[int]:
    return set(frames[:, 0, 0].tolist())


@dataclass
class FakeFit:
    """In place of :func:`lusfx.fine_tuning.fit.fit`: learns nothing, and writes down whose frames it was given."""

    calls: list[tuple[LabelledFrames, LabelledFrames]] = field(default_factory=list)
    networks: list[FineTunedNetwork] = field(default_factory=list)

    def __call__(
        self, network_spec: NetworkSpec, training: LabelledFrames, held_out: LabelledFrames, settings: Any, **rest: Any
    ) -> FineTunedNetwork:
        self.calls.append((training, held_out))
        n_outcomes = training.targets.shape[1]
        weight = np.tile([0.0, 2.0], (n_outcomes, 1))
        history = [EpochRecord(0.5, 0.4), EpochRecord(0.4, 0.3)]
        network = FineTunedNetwork(Backbone(), weight, np.full(n_outcomes, -1.0), history)
        self.networks.append(network)
        return network

    def seen(self, call: int) -> tuple[set[int], set[int]]:
        """Patients trained on and held out."""
        return tuple(patients_in(part.units) for part in self.calls[call])


def patients_in(units: FrameUnits) -> set[int]:
    return patients_of(units.frames[np.concatenate([rows for unit in units.clips for rows in unit])])


@pytest.fixture
def fake_fit(monkeypatch: pytest.MonkeyPatch) -> FakeFit:
    fake = FakeFit()
    monkeypatch.setattr("lusfx.fine_tuning.learner.fit", fake)
    return fake


@pytest.fixture
def samples() -> Samples[FrameUnits]:
    """Two outcomes; of every seventh clip the second is not known."""
    generator = np.random.default_rng(0)
    patient = np.repeat(np.arange(N_PATIENTS), CLIPS_EACH)
    targets = np.stack([patient % 2, (patient // 2) % 2], axis=1).astype(np.int64)
    signal = 60 + 50 * targets[:, 0] + generator.integers(-30, 30, len(patient))
    frames = np.stack([patient, signal], axis=1).astype(np.uint8)[:, None, :]
    targets[::7, 1] = UNKNOWN
    return Samples(
        keys=np.array([f"{number:064x}" for number in range(len(patient))]),
        groups=np.array([f"p-{number:04d}" for number in patient]),
        targets=targets,
        classes=np.full(len(patient), UNKNOWN),
        weights=np.ones(len(patient)),
        units=FrameUnits(frames, [[np.array([row])] for row in range(len(patient))]),
        clips=(),
        reasons={},
    )


def learner(**changed: Any) -> FineTuningLearner:
    facts: dict[str, Any] = {
        "network_spec": NetworkSpec("none", 64),
        "settings": FineTuningSettings.complete({}, random_weights=True),
        "calibration": "platt",
        "operating_points": {"balanced": Youden(), "screen": MinSensitivity(0.9)},
        "head": LogisticHeadSpec(),
        "device": "cpu",
        "progress": lambda name, progress: None,
        "should_stop": lambda: False,
    }
    return FineTuningLearner(**(facts | changed))


def test_no_patient_of_a_test_side_is_seen_by_the_network_that_is_tested_on_it(
    samples: Samples[FrameUnits], fake_fit: FakeFit
) -> None:
    teacher = learner()
    validations = cross_validate_together(teacher, samples, [0, 1], 4, 2)
    assert len(fake_fit.calls) == 8  # a network a fold, for both outcomes
    everybody = set(range(N_PATIENTS))
    for call, network in enumerate(fake_fit.networks):
        trained, held_out = fake_fit.seen(call)
        assert trained
        assert held_out
        assert not trained & held_out
        tested = everybody - trained - held_out
        backbone: Any = network.backbone
        # First the calibration's, then what each outcome is tested on: no frame of anybody who was trained on.
        assert set.union(*backbone.asked[: len(held_out) * CLIPS_EACH]) == held_out
        assert set.union(*backbone.asked[len(held_out) * CLIPS_EACH :]) == tested
        fold = validations[0].folds[call // 4]
        patients = np.repeat(np.arange(N_PATIENTS), CLIPS_EACH)
        assert set(patients[fold == call % 4].tolist()) == tested
    assert [fit.name for fit in teacher.fits[3:5]] == ["repeat 1 of 2, fold 4 of 4", "repeat 2 of 2, fold 1 of 4"]


def test_outcomes_share_folds_and_each_is_judged_where_it_is_known(
    samples: Samples[FrameUnits], fake_fit: FakeFit
) -> None:
    first, second = cross_validate_together(learner(), samples, [0, 1], 4, 1)
    assert len(first.rows) == len(samples)
    assert second.rows.tolist() == samples.known(1).tolist()
    assert first.folds[:, second.rows].tolist() == second.folds.tolist()
    assert first.chosen == [["epoch 2"] * 4]
    assert np.isfinite(first.probabilities).all()


def test_calibration_and_thresholds_are_those_of_the_patients_held_out(
    samples: Samples[FrameUnits], fake_fit: FakeFit
) -> None:
    from lusfx.calibration import fit_calibration
    from lusfx.metrics import choose_threshold

    tuned = learner().fine_tune(samples, [0, 1], "all patients")
    held = tuned.fold.test
    for number, outcome in enumerate(tuned.outcomes):
        known = held[samples.targets[held, number] != UNKNOWN]
        scores = tuned.network.scores(samples.units.take(known))[:, number]
        answers = samples.targets[known, number]
        expected = fit_calibration("platt", scores, answers)
        assert expected is not None
        probabilities = expected(scores)
        np.testing.assert_allclose(outcome.probabilities(samples.units.take(known)), probabilities, rtol=1e-6)
        assert outcome.thresholds["balanced"] == pytest.approx(choose_threshold(Youden(), answers, probabilities))


def test_without_calibration_the_heads_score_as_the_network_does(
    samples: Samples[FrameUnits], fake_fit: FakeFit
) -> None:
    tuned = learner(calibration="none").fine_tune(samples, [0, 1], "all patients")
    both = np.stack([outcome.probabilities(samples.units) for outcome in tuned.outcomes], axis=1)
    np.testing.assert_allclose(both, tuned.network.scores(samples.units), rtol=1e-6)
    assert tuned.outcomes[0].learnt.candidate.settings.model_dump() == {}


def test_each_network_leaves_a_record(samples: Samples[FrameUnits], fake_fit: FakeFit) -> None:
    teacher = learner()
    cross_validate_together(teacher, samples, [0], 2, 1)
    assert [fit.name for fit in teacher.fits] == ["repeat 1 of 1, fold 1 of 2", "repeat 1 of 1, fold 2 of 2"]
    assert teacher.fits[0].as_dict() == {
        "name": "repeat 1 of 1, fold 1 of 2",
        "training_loss": [0.5, 0.4],
        "validation_loss": [0.4, 0.3],
    }


def test_patients_on_both_sides_of_what_is_held_out_are_a_leak(
    samples: Samples[FrameUnits], fake_fit: FakeFit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were the split ever made wrongly, nothing would be trained."""
    rows = np.arange(len(samples))
    monkeypatch.setattr("lusfx.fine_tuning.learner.held_out_fold", lambda *arguments: Fold(rows[1:], rows[:1]))
    with pytest.raises(LeakError, match="stands on both sides of a split"):
        learner().fine_tune(samples, [0], "all patients")
    assert fake_fit.calls == []


def test_too_few_patients_to_hold_any_out_are_refused(samples: Samples[FrameUnits], fake_fit: FakeFit) -> None:
    few = samples.take(np.flatnonzero(np.isin(samples.groups, ["p-0000", "p-0001", "p-0002"])))
    with pytest.raises(TrainingRefusedError, match="holding out patients needs two of each answer"):
        learner().fine_tune(few, [0], "all patients")
