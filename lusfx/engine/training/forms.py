"""Form: how the frames of a unit become what a head scores. A search chooses one for a task, within each fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from lusfx.contracts import Aggregation, OperatingPoint, Pooling, Task
from lusfx.engine.samples.features import ClipFeatures, FeatureMaker
from lusfx.engine.samples.labels import LabelledUnits
from lusfx.engine.samples.samples import Samples, make_samples
from lusfx.engine.training.cross_validation import FoldPlace
from lusfx.engine.training.learner import Learner, LearntOutcome
from lusfx.errors import TrainingRefusedError
from lusfx.task_model import AGGREGATIONS, AggregationCard, TaskCard, UnitFeatures
from lusfx.types import NotAssessable

BY_OTHERS = ("attention", "custom")
"""Poolings that a head or a plugin does by itself: no search offers them to another."""


@dataclass(frozen=True, slots=True)
class Form:
    """One way of putting a unit's frames together: a pooling, or an aggregation of what a head says of each frame.

    :param card: the task in this form.
    :param aggregation: makes a unit's score of its frames'; None where heads score units whole.
    :param task: the plugin's task, where the form is its own.
    """

    card: TaskCard
    aggregation: Aggregation | None
    task: Task | None = None

    def __str__(self) -> str:
        return self.card.form

    @property
    def maker(self) -> FeatureMaker:
        """Makes the features."""
        return FeatureMaker(self.card, self.task)


def forms_of(task: Task, card: TaskCard, *, search: bool) -> list[Form]:
    """The form that a task is to have, and then all others that its heads could learn from as well.

    :param card: the task in the form that it or the user asks for.
    :param search: whether there are to be others. There are none where frames are the units or a head weighs them itself.
    """
    own = Form(card, task.aggregate, task)
    if not search or card.unit == "frame" or card.pooling == "attention":
        return [own]
    if card.aggregate is not None:
        rules = [make() for make in AGGREGATIONS.values()]
        others = [Form(card.model_copy(update={"aggregate": AggregationCard.of(rule)}), rule) for rule in rules]
    else:
        poolings = [pooling for pooling in get_args(Pooling) if pooling not in BY_OTHERS]
        others = [Form(card.model_copy(update={"pooling": pooling}), None) for pooling in poolings]
    return [own, *(other for other in others if other.card != card)]


@dataclass(frozen=True, slots=True)
class UnitsInForms:
    """The same units in several forms.

    :param ways: their features, by the form's text.
    """

    ways: Mapping[str, UnitFeatures]

    def __len__(self) -> int:
        return len(next(iter(self.ways.values())))

    def take(self, units: NDArray[np.intp]) -> Self:
        """The named units, in the order given."""
        taken = {id(way): way.take(units) for way in self.ways.values()}  # forms may share their features
        return type(self)({form: taken[id(way)] for form, way in self.ways.items()})

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Which units have finite features only, in whatever form, ``(n,)``."""
        return np.asarray(np.all([way.finite for way in self.ways.values()], axis=0), np.bool_)


def samples_in_forms(
    labelled: LabelledUnits,
    clips: Mapping[str, Mapping[str, ClipFeatures]],
    forms: Sequence[Form],
    note: Callable[[str], None],
) -> Samples[UnitsInForms]:
    """Join labels and features of every form. A form that cannot have all units which the first one has is left out.

    :param clips: features by the form's text and clip key.
    :param note: called with what a person should know of a form that is left out.
    :raises TrainingRefusedError: as :func:`lusfx.engine.samples.samples.make_samples` does of the first form.
    """
    first, *others = forms
    samples = make_samples(labelled, clips[str(first)], first.maker)
    ways = {str(first): samples.units}
    for form in others:
        if _lost(clips[str(form)]) != _lost(clips[str(first)]):
            note(f"the search leaves out '{form}': not every {form.card.unit} can be assessed so")
        elif form.aggregation is not None:
            ways[str(form)] = samples.units  # all aggregations are given the same frames
        else:
            ways[str(form)] = make_samples(labelled, clips[str(form)], form.maker).units
    return samples.with_units(UnitsInForms(ways))


def _lost(clips: Mapping[str, ClipFeatures]) -> set[str]:
    """Keys of the clips that cannot be assessed."""
    return {key for key, clip in clips.items() if isinstance(clip, NotAssessable)}


@dataclass(frozen=True, slots=True)
class LearntInForm:
    """What was learnt of one outcome, in the form that was chosen for all outcomes of the task."""

    form: Form
    outcome: LearntOutcome

    @property
    def thresholds(self) -> Mapping[str, float]:
        """By operating point, for calibrated probabilities."""
        return self.outcome.thresholds

    @property
    def chosen(self) -> str:
        """What was taken of what was tried, as text."""
        return self.outcome.chosen

    def probabilities(self, units: UnitsInForms) -> NDArray[np.float64]:
        """Calibrated probability of yes, ``(n,)``."""
        return self.outcome.probabilities(units.ways[str(self.form)])


@dataclass(frozen=True, slots=True)
class FormLearner:
    """Chooses a form by the first candidate's out-of-fold AUC, in the mean over outcomes; then all candidates have that form.

    One after the other, and not each with each: forms and candidates then cost their sum and not their product. A task
    model has one form for all its outcomes.

    :param learner: learns an outcome in one form.
    :param forms: the task's own first, which is the only one or stands for a search that finds nothing better.
    """

    learner: Learner
    forms: Sequence[Form]

    @property
    def operating_points(self) -> Mapping[str, OperatingPoint]:
        """Of the task."""
        return self.learner.operating_points

    @property
    def seed(self) -> int:
        """Of everything random."""
        return self.learner.seed

    @property
    def chooses(self) -> bool:
        """Whether there is more than one thing to try."""
        return len(self.forms) > 1 or len(self.learner.candidates) > 1

    @property
    def default(self) -> Self:
        """The same without any choice: the first candidate in the first form."""
        learner = replace(self.learner, candidates=self.learner.candidates[:1])
        return replace(self, learner=learner, forms=self.forms[:1])

    def learn_together(
        self, samples: Samples[UnitsInForms], outcomes: Sequence[int], place: FoldPlace | None = None
    ) -> list[LearntInForm]:
        """Learn outcomes, each from the samples whose answer to it is known.

        :raises TrainingRefusedError: see :meth:`lusfx.engine.training.learner.Learner.learn`.
        """
        known = {outcome: samples.take(samples.known(outcome)) for outcome in outcomes}
        form, merits = self._best_form(known)
        learner = self._in(form)
        learnt = []
        for outcome, of_outcome in known.items():
            found = learner.learn(of_outcome.with_units(of_outcome.units.ways[str(form)]), outcome)
            # A choice of one is none: then there is nothing to tell.
            tried = {**merits[outcome], **found.merits} if self.chooses else {}
            learnt.append(LearntInForm(form, replace(found, merits=tried)))
        return learnt

    def _in(self, form: Form) -> Learner:
        """The learner whose candidates all have one form, and say so where there was a choice."""
        name = str(form) if len(self.forms) > 1 else ""
        candidates = [replace(candidate, form=name) for candidate in self.learner.candidates]
        return replace(self.learner, candidates=candidates, aggregation=form.aggregation)

    def _best_form(self, known: Mapping[int, Samples[UnitsInForms]]) -> tuple[Form, Mapping[int, Mapping[str, float]]]:
        """The form, and by outcome what the first candidate reached in each."""
        merits: dict[int, dict[str, float]] = {outcome: {} for outcome in known}
        offered = [form for form in self.forms if all(str(form) in samples.units.ways for samples in known.values())]
        if len(offered) == 1:
            return offered[0], merits
        best: tuple[float, Form] | None = None
        for form in offered:
            learner = self._in(form)
            try:
                reached = {
                    outcome: learner.merit(samples.with_units(samples.units.ways[str(form)]), outcome)
                    for outcome, samples in known.items()
                }
            except TrainingRefusedError as error:
                self.learner.note(f"the search leaves out '{form}': {error}")
                continue
            for outcome, merit in reached.items():
                merits[outcome][str(learner.candidates[0])] = merit
            mean = float(np.mean(list(reached.values())))
            if best is None or mean > best[0]:
                best = mean, form
        if best is None:
            raise TrainingRefusedError(f"the head '{self.learner.candidates[0].head.name}' cannot be trained here")
        return best[1], merits
