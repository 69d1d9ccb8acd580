"""A task model with the same heads, and with a calibration and thresholds of labelled units of another place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lusfx.calibration import CalibrationMethod, fit_calibration
from lusfx.contracts import HeadSpec, OperatingPoint, Task
from lusfx.engine.evaluation.unseen import load_with_task, unseen_units
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import FoldPlace, cross_validate
from lusfx.engine.training.judging import check_samples, figures_of_task, judged_outcome, save_model
from lusfx.engine.training.learner import Candidate, LearntOutcome
from lusfx.engine.training.result import OutcomeResult, TrainingResult
from lusfx.engine.training.train import MANY_PATIENTS, N_FOLDS, N_REPEATS
from lusfx.errors import UsageError
from lusfx.metrics import choose_thresholds
from lusfx.outputs import prepare_place
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.task_model import TaskModel, UnitFeatures, check_replaceable, model_place, raw_scores

FROM_SIMULATED = (
    "the heads learnt from simulated exams alone: only calibration and thresholds are of patients. Where there are labels "
    "enough, lusfx train-task may make a model that orders better"
)


@dataclass(frozen=True, slots=True)
class Recalibration:
    """A procedure that leaves a model's heads as they are, and fits their calibration and thresholds to samples.

    :param head_specs: the kinds of heads that there are.
    """

    model: TaskModel
    head_specs: Mapping[str, HeadSpec]
    calibration: CalibrationMethod
    operating_points: Mapping[str, OperatingPoint]
    seed: int

    def learn_together(
        self, samples: Samples[UnitFeatures], outcomes: Sequence[int], place: FoldPlace
    ) -> list[LearntOutcome]:
        """Several outcomes, each by itself; see :meth:`learn`."""
        return [self.learn(samples, outcome) for outcome in outcomes]

    def learn(self, samples: Samples[UnitFeatures], outcome: int) -> LearntOutcome:
        """Calibrate one outcome's head on samples, each with a known answer.

        :raises TrainingRefusedError: if one answer is missing, or the units are too few for the calibration.
        """
        card, head, targets = self.model.card.outcomes[outcome], self.model.heads[outcome], samples.targets[:, outcome]
        scores = raw_scores(head, samples.units, self.model.aggregation)
        calibration = fit_calibration(self.calibration, scores, targets, samples.weights)
        probabilities = scores if calibration is None else calibration(scores)
        spec = self.head_specs[card.head.name]
        return LearntOutcome(
            candidate=Candidate(spec, spec.settings.model_validate(dict(card.head.settings))),
            head=head,
            aggregation=self.model.aggregation,
            calibration=calibration,
            thresholds=choose_thresholds(self.operating_points, targets, probabilities),
        )


def recalibrate(
    model: Path | str,
    labels: Path | str,
    cache: Path | str,
    out: Path | str,
    *,
    task: Task | None = None,
    calibration: CalibrationMethod = "platt",
    n_folds: int = N_FOLDS,
    n_repeats: int | None = None,
    seed: int = 0,
    force: bool = False,
    trust_table: bool = False,
    site_key: SiteKey | Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> TrainingResult:
    """Fit a task model's calibration and thresholds to labelled units of patients that it was not trained on, and save it anew.

    The heads, hence the order of their scores, stay. What was fitted is judged by repeated cross-validation by patient, as
    training judges. Afterwards these patients are training patients of the new model, beside those of the old one.

    :param model: task model directory, or a starter model's name (``starter/NAME``); it is left as it is. Of a starter
        model, which only orders units, comes one that answers.
    :param out: directory of the new task model.
    :param task: the task that the model answers, where no plugin provides it.
    :param n_repeats: times that the cross-validation is done; as in :func:`lusfx.train_task`.
    :param force: as in :func:`lusfx.train_task`.
    :param trust_table: as :func:`lusfx.evaluate` takes it.
    :raises LeakError: if a patient or a clip was in the model's training.
    :raises TrainingRefusedError: where no result could be trusted.
    """
    place, model = Path(out), model_place(model)
    if n_folds < 2 or (n_repeats is not None and n_repeats < 1):
        raise UsageError("a cross-validation has at least 2 folds and 1 repeat")
    if place.absolute().resolve() == model.absolute().resolve():
        raise UsageError("the new task model needs a directory of its own: name another one with --out")
    check_replaceable(place, force=force)
    prepare_place("task model", place)
    loaded, task = load_with_task(model, task)
    unseen = unseen_units(loaded, task, Path(labels), Path(cache), trust_table=trust_table, site_key=site_key)
    card, samples, features = loaded.card.task, unseen.samples, loaded.card.features
    procedure = Recalibration(
        model=loaded,
        head_specs=load_registry().heads.as_mapping(),
        calibration=calibration,
        operating_points=task.operating_points,
        seed=seed,
    )
    warnings = check_samples(card, samples, n_folds)
    repeats = n_repeats or (N_REPEATS if samples.n_patients < MANY_PATIENTS else 1)
    report = progress or (lambda text: None)
    outcomes = [
        _judged(procedure, samples, number, n_folds, repeats, lambda place: report(f"{card.name}: {place}"))
        for number in range(len(card.outcomes))
    ]
    figures, confusion = figures_of_task(task, card, samples, outcomes, seed)
    result = TrainingResult(
        task=task,
        card=card,
        out=place,
        digest="",  # known once the files are written
        encoder=features.encoder,
        fingerprint=features.fingerprint,
        precision=features.precision,
        fps=features.fps,
        samples=samples,
        outcomes=outcomes,
        figures=figures,
        confusion=confusion,
        novelty=None
        if loaded.novelty is None or loaded.card.novelty is None
        else (loaded.novelty, loaded.card.novelty.limit),
        n_not_known=unseen.labelled.n_not_known,
        n_not_cached=len(unseen.labelled.rows_not_cached),
        warnings=[*warnings, *unseen.warnings, *([FROM_SIMULATED] if loaded.card.trained_on else [])],
        seed=seed,
        site_keys=unseen.site_keys,
        recalibrated=loaded,
    )
    return save_model(result, loaded.own_encoder)


def _judged(
    procedure: Recalibration,
    samples: Samples[UnitFeatures],
    number: int,
    n_folds: int,
    n_repeats: int,
    progress: Callable[[FoldPlace], None],
) -> OutcomeResult:
    validation = cross_validate(procedure, samples, number, n_folds, n_repeats, progress)
    learnt = procedure.learn(samples.take(validation.rows), number)
    name = procedure.model.card.outcomes[number].name
    return judged_outcome(name, number, learnt, validation, samples, procedure.seed)
