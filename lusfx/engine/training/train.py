"""Train heads on cached features, judge them on patients they have not seen, and save what was learnt with its evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pydantic import ValidationError

from lusfx.arguments import several
from lusfx.cache import Cache
from lusfx.calibration import CalibrationMethod
from lusfx.config import FeatureSpec
from lusfx.contracts import HeadSettings, HeadSpec, Pooling, Task, check_task
from lusfx.engine.samples.features import features_of_clips
from lusfx.engine.samples.labels import LabelledUnits, labels_of, read_labels, site_keys_of
from lusfx.engine.samples.pooling import resolve_pooling
from lusfx.engine.samples.samples import Samples
from lusfx.engine.samples.seen_data_sets import seen_data_sets
from lusfx.engine.samples.stores import choose_store
from lusfx.engine.training.copied_clips import MAX_SHARE, CopiedClips, PatientsOfClips
from lusfx.engine.training.cross_validation import CrossValidation, FoldPlace, Procedure, cross_validate_together
from lusfx.engine.training.forms import Form, FormLearner, UnitsInForms, forms_of, samples_in_forms
from lusfx.engine.training.judging import (
    check_samples,
    figures_of_task,
    judged_outcome,
    novelty_folds,
    novelty_of,
    save_model,
)
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.engine.training.learning_curve import learning_curve as curve_of
from lusfx.engine.training.result import SomeRefusedError, TrainingResult
from lusfx.engine.training.search import benefit_of
from lusfx.errors import TrainingRefusedError, UsageError
from lusfx.messages import plain_problem
from lusfx.outputs import prepare_place
from lusfx.plugins import Registry, load_registry
from lusfx.site_key import SiteKey
from lusfx.task_model import TaskCard, check_replaceable

DEFAULT_HEAD = "mlp"
"""Is the logistic head where a table is small, and learns what that cannot where one is large (docs/results.md)."""
AUTO_HEAD = "auto"
"""Stands for all heads that go with a task, each with its default settings: inner folds choose."""
DEFAULT_BAG_HEAD = "attention"
DEFAULT_CALIBRATION: CalibrationMethod = "platt"
N_FOLDS = 5
N_REPEATS = 5
"""How often the cross-validation is done with other folds: on 42 patients one split's AUC is up to 0.1 from another's."""
MANY_PATIENTS = 500
"""From here on one cross-validation is enough: the folds matter no more, and the fits take their time."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How one task is to be trained.

    :param task: the plugin's task.
    :param forms: how its frames may be put together: first as the user, the head or the task says.
    :param candidates: heads with settings; of several, each outcome takes the best.
    :param out: directory of the task model.
    """

    task: Task
    forms: Sequence[Form]
    candidates: Sequence[Candidate]
    out: Path

    @property
    def card(self) -> TaskCard:
        """The task in its first form."""
        return self.forms[0].card


def train_task(
    tasks: str | Task | Iterable[str | Task],
    labels: Path | str,
    cache: Path | str,
    out: Path | str,
    *,
    head: str | None = None,
    settings: Mapping[str, str] | None = None,
    pooling: Pooling | None = None,
    calibration: CalibrationMethod = DEFAULT_CALIBRATION,
    search: bool = False,
    learning_curve: bool = False,
    n_folds: int = N_FOLDS,
    n_repeats: int | None = None,
    seed: int = 0,
    fingerprint: str | None = None,
    encoder: str | Path | None = None,
    max_near_duplicates: float = MAX_SHARE,
    force: bool = False,
    trust_table: bool = False,
    dataset: str | None = None,
    site_key: SiteKey | Path | str | None = None,
    progress: Callable[[str], None] | None = None,
) -> list[TrainingResult]:
    """Train a task model a task on the cached features of labelled clips. The features are read once for all tasks.

    :param tasks: tasks, one or several, or names of those that plugins provide.
    :param labels: label table.
    :param out: directory of the task model; with several tasks, the directory that gets one for each.
    :param head: kind of head; by default ``mlp``, or ``attention`` for tasks that pool by attention. ``auto`` tries each kind
        with its default settings, and takes for each outcome the best by inner folds.
    :param settings: the head's settings that are not to have their defaults, as text.
    :param pooling: how frames become features, where it is not to be as the task says.
    :param calibration: how scores become probabilities; fitted out of fold.
    :param search: try several poolings, or aggregations where the task aggregates, then several heads and settings. The best
        pooling is taken for the task, and the best head for each outcome. It is searched anew within each fold, so that the
        winner is judged on patients that it never saw, and compared there with the default settings.
    :param learning_curve: also cross-validate the training on 25, 50 and 75% of the training patients, to say whether more
        labels would help.
    :param n_folds: of the cross-validation, by patient.
    :param n_repeats: times that the cross-validation is done, each with other folds; its figures are averaged. By default
        five, or one from 500 patients on.
    :param fingerprint: which features, where the cache holds several.
    :param encoder: which features, by the encoder that made them: the name that it was extracted with, or its directory.
    :param max_near_duplicates: share of a training's clips, 0 to 1, that may look like a clip of another patient. Up to it
        the result warns; above it there is no training.
    :param force: whether task models that are there may be replaced; they are kept beside the new ones, their names ending in
        ``.old-`` and their digests' first digits.
    :param trust_table: believe the label table's patients where the cache's ledgers say otherwise, or were made with another
        site key.
    :param dataset: the data set that the table is of, in place of its column ``dataset``: results warn where the encoder has
        seen it.
    :param progress: called with a sentence now and then.
    :raises TrainingRefusedError: where no result could be trusted. One of several tasks that is refused stops no other: at the
        end :class:`~lusfx.engine.training.result.SomeRefusedError` says which were, and has the results of the others.
    """
    if n_folds < 2 or (n_repeats is not None and n_repeats < 1):
        raise UsageError("a cross-validation has at least 2 folds and 1 repeat")
    if not 0 <= max_near_duplicates <= 1:
        raise UsageError("the share of near-duplicates is from 0 to 1")
    registry = load_registry()
    chosen: dict[str, Task] = {}
    for task in (registry.task(t) if isinstance(t, str) else t for t in several("tasks", tasks, Task)):
        if chosen.setdefault(task.name, task) is not task:
            raise UsageError(f"two different tasks have the name '{task.name}'")
    plans = []
    for name, task in chosen.items():
        check_task(task)
        place = Path(out) if len(chosen) == 1 else Path(out) / name
        check_replaceable(place, force=force)
        prepare_place("task model", place)
        plans.append(make_plan(registry, task, place, head, settings or {}, pooling, search))
    opened = Cache.open(Path(cache))
    store = choose_store(opened, fingerprint, encoder)
    key = SiteKey.of(site_key, make=False)
    rows = read_labels(Path(labels), opened, store, key, trust_table=trust_table)
    refused: dict[str, str] = {}
    found = {}
    for plan in plans:
        with _others_go_on(plan, refused, len(chosen)):
            found[plan.task.name] = labels_of(plan.task, rows)
    plans = [plan for plan in plans if plan.task.name in found]
    if not plans:
        raise SomeRefusedError(refused, [])
    labelled = [found[plan.task.name] for plan in plans]
    keys = sorted({key for units in labelled for clips in units.clips for key in clips})
    # A task's name has no space.
    makers = {f"{plan.task.name} {form}": form.maker for plan in plans for form in plan.forms}
    features = features_of_clips(store, keys, makers)
    encoder_name = opened.encoder_name(store.fingerprint)
    trainer = Trainer(
        calibration=calibration,
        n_folds=n_folds,
        n_repeats=n_repeats,
        seed=seed,
        learning_curve=learning_curve,
        site_keys=site_keys_of(opened, key, rows),
        seen=seen_data_sets(opened, store.fingerprint, rows, dataset),
        progress=progress or (lambda text: None),
    )
    clips = PatientsOfClips(store, labelled, features.values())
    results = []
    for plan, units in zip(plans, labelled, strict=True):
        notes: dict[str, None] = {}
        of_plan = {str(form): features.pop(f"{plan.task.name} {form}") for form in plan.forms}
        with _others_go_on(plan, refused, len(chosen)):
            samples = samples_in_forms(units, of_plan, plan.forms, partial(_note, notes))
            copied = clips.copied(samples.clips)
            copied.check(max_near_duplicates)
            results.append(trainer.train(plan, units, samples, store.spec, encoder_name, copied, notes))
    if refused:
        raise SomeRefusedError(refused, results)
    return results


@contextmanager
def _others_go_on(plan: Plan, refused: dict[str, str], n_tasks: int) -> Iterator[None]:
    """Keep why one of several tasks is refused; of a single one the refusal is the answer."""
    try:
        yield
    except TrainingRefusedError as error:
        if n_tasks == 1:
            raise
        refused[plan.task.name] = str(error)


def make_plan(
    registry: Registry,
    task: Task,
    out: Path,
    head: str | None,
    settings: Mapping[str, str],
    pooling: Pooling | None,
    search: bool,
) -> Plan:
    """Settle how a task is trained.

    :raises UsageError: if the task, head, settings and pooling do not go together.
    """
    pools_by_attention = task.aggregate is None and (pooling or task.pooling) == "attention"
    default = DEFAULT_BAG_HEAD if pools_by_attention else DEFAULT_HEAD
    any_head = head == AUTO_HEAD or (search and head is None)
    if settings and (search or any_head):
        raise UsageError(f"{'--search' if search else '--head auto'} chooses the settings itself: leave out --set")
    spec = registry.head(default if head is None or any_head else head)
    card = TaskCard.of(task, resolve_pooling(task, pooling, spec.takes, spec.name))
    tried_heads = [spec, *(h for h in registry.heads.values() if any_head and h.name != spec.name)]
    candidates = [
        Candidate(tried, head_settings(tried, values))
        for tried in tried_heads
        if tried.takes == spec.takes
        for values in ([settings] if not search else [{}, *tried.search])
    ]
    # A pooling that was asked for stands, and so does what a task without one was asked for.
    return Plan(task, forms_of(task, card, search=search and pooling is None), candidates, out)


def head_settings(spec: HeadSpec, settings: Mapping[str, object]) -> HeadSettings:
    """A head's settings with those that are not to have their defaults.

    :raises UsageError: naming the first that makes no sense.
    """
    try:
        return spec.settings.model_validate(dict(settings))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        known = ", ".join(spec.settings.model_fields)
        raise UsageError(f"head '{spec.name}', setting '{place}': {plain_problem(first)}; it has: {known}") from None


@dataclass(frozen=True, slots=True)
class Trainer:
    """Trains tasks in one way; see :func:`train_task` for the parameters.

    :param seen: what to warn of where the encoder has seen the data set.
    """

    calibration: CalibrationMethod
    n_folds: int
    n_repeats: int | None
    seed: int
    learning_curve: bool
    site_keys: Sequence[str]
    seen: Sequence[str]
    progress: Callable[[str], None]

    def train(
        self,
        plan: Plan,
        labelled: LabelledUnits,
        samples_in_forms: Samples[UnitsInForms],
        spec: FeatureSpec,
        encoder: str,
        copied: CopiedClips,
        notes: dict[str, None],
    ) -> TrainingResult:
        """Check, cross-validate, fit on everything, save.

        :param notes: sentences that a person should know, to which what is found here is added.
        """
        learner = Learner(
            candidates=plan.candidates,
            aggregation=plan.forms[0].aggregation,
            frames_per_unit=plan.card.frames_per_clip,
            calibration=self.calibration,
            operating_points=plan.task.operating_points,
            seed=self.seed,
            note=partial(_note, notes),
        )
        warnings = check_samples(plan.card, samples_in_forms, self.n_folds)
        procedure = FormLearner(learner, plan.forms)
        validations = self._validated(procedure, samples_in_forms, plan.card, "")
        self.progress(f"{plan.card.name}: fitting on all patients")
        everything = procedure.learn_together(samples_in_forms, range(len(plan.card.outcomes)))
        form = everything[0].form
        samples = samples_in_forms.with_units(samples_in_forms.units.ways[str(form)])
        outcomes = [
            judged_outcome(name, number, learnt.outcome, validation, samples, self.seed)
            for number, (name, learnt, validation) in enumerate(
                zip(plan.card.outcomes, everything, validations, strict=True)
            )
        ]
        search = None
        if procedure.chooses:
            without = self._validated(procedure.default, samples_in_forms, plan.card, ", default settings")
            default = str(replace(plan.candidates[0], form=str(plan.forms[0])))
            search = benefit_of(default, without, validations, samples, self.seed)
        curve = None
        if self.learning_curve:
            validate = partial(self._validated, samples=samples_in_forms, card=plan.card)
            curve = curve_of(
                procedure, lambda some, of: validate(some, of=of), validations, samples_in_forms, partial(_note, notes)
            )
        figures, confusion = figures_of_task(plan.task, form.card, samples, outcomes, self.seed)
        result = TrainingResult(
            task=plan.task,
            card=form.card,
            out=plan.out,
            digest="",  # known once the files are written
            encoder=encoder,
            fingerprint=spec.fingerprint,
            precision=spec.precision,
            fps=spec.preprocess.fps,
            samples=samples,
            outcomes=outcomes,
            figures=figures,
            confusion=confusion,
            novelty=novelty_of(form.card, samples, novelty_folds(samples, self.n_folds)),
            n_not_known=labelled.n_not_known,
            n_not_cached=len(labelled.rows_not_cached),
            copied=copied,
            site_keys=self.site_keys,
            warnings=[*self.seen, *warnings, *copied.warnings(), *samples.warnings(), *labelled.warnings(), *notes],
            seed=self.seed,
            search=search,
            curve=curve,
        )
        return save_model(result)

    def _validated(
        self, procedure: Procedure[UnitsInForms], samples: Samples[UnitsInForms], card: TaskCard, of: str
    ) -> list[CrossValidation]:
        """Cross-validations of all outcomes: with the same folds where one form is chosen for all, else each with its own.

        :param of: added to the task's name where progress is told.
        """
        every = range(len(card.outcomes))
        n_repeats = self.n_repeats or (N_REPEATS if samples.n_patients < MANY_PATIENTS else 1)
        validations: list[CrossValidation] = []
        for outcomes in [list(every)] if len(samples.units.ways) > 1 else [[outcome] for outcome in every]:
            whole = len(outcomes) == len(every)
            label = (card.name if whole else f"{card.name}, {card.outcomes[outcomes[0]]}") + of
            told = partial(self._tell, label)
            validations += cross_validate_together(procedure, samples, outcomes, self.n_folds, n_repeats, told)
        return validations

    def _tell(self, label: str, place: FoldPlace) -> None:
        self.progress(f"{label}: {place}")


def _note(notes: dict[str, None], text: str) -> None:
    """Keep a sentence once."""
    notes[text] = None
