"""Ask task models about clips: gates first, then what can be assessed, from features that are read once for all models."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.samples.features import ClipFeatures, FeatureMaker, FrameRows
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.errors import UsageError
from lusfx.task_model import TaskModel, UnitFeatures
from lusfx.types import ClipEmbeddings, NotAssessable


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one unit.

    :param probabilities: ``(n_outcomes,)``, or scores of a model that only orders units; None where it says nothing.
    :param said: the task's answer from them, as :meth:`TaskModel.answer` gives it; None where there is none.
    :param reason: why it says nothing; None where it does.
    :param frame: position of the frame in its source, where the unit is a frame.
    :param time_s: seconds after the clip's first frame, where the unit is a frame; NaN where unknown.
    :param distance: from the training set, where it was measured; NaN where the model cannot tell.
    """

    probabilities: NDArray[np.float64] | None = None
    said: str | None = None
    reason: NotAssessable | None = None
    frame: int | None = None
    time_s: float | None = None
    distance: float | None = None


class FrameAnswers(Sequence[Answer]):
    """What a model says of the readable frames of a clip, made into single answers only where somebody asks for them.

    :param probabilities: ``(n, n_outcomes)``, ``said`` and ``reasons`` an entry a frame: a frame has the one or the other.
    :param frame: ``(n,)``, ``time_s`` ``(n,)`` and ``distances`` ``(n,)`` as in :class:`Answer`.
    """

    def __init__(
        self,
        probabilities: NDArray[np.float64],
        said: Sequence[str | None],
        reasons: Sequence[NotAssessable | None],
        frame: NDArray[np.int64],
        time_s: NDArray[np.float64],
        distances: NDArray[np.float64],
    ) -> None:
        self.probabilities = probabilities
        self.said = said
        self.reasons = reasons
        self.frame = frame
        self.time_s = time_s
        self.distances = distances

    def __len__(self) -> int:
        return len(self.probabilities)

    @overload
    def __getitem__(self, number: int) -> Answer: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Answer]: ...
    def __getitem__(self, number: int | slice) -> Answer | Sequence[Answer]:
        if isinstance(number, slice):
            return [self[n] for n in range(*number.indices(len(self)))]
        frame, time_s, reason = int(self.frame[number]), float(self.time_s[number]), self.reasons[number]
        place = Answer(frame=frame, time_s=time_s, distance=float(self.distances[number]))
        if reason is not None:
            return replace(place, reason=reason)
        return replace(place, probabilities=self.probabilities[number], said=self.said[number])


Answers = Mapping[str, Sequence[Answer]]
"""By clip key, or exam key of an exam task; several answers of a clip whose frames are the units, else one."""


@dataclass(frozen=True)
class _Asker:
    """A model with what makes its features, and the model that it is gated by."""

    model: TaskModel
    maker: FeatureMaker
    gate: TaskModel | None

    @cached_property
    def recipe(self) -> Hashable:
        """What decides the features of all units: models of one recipe are given the same."""
        gate = None if self.gate is None else (self.gate.digest, self.model.card.task.requires)
        return self.maker.recipe, gate


@dataclass(frozen=True, slots=True)
class _Made:
    """Features of the units that one recipe can be asked about.

    :param units: by name of a clip or exam, the clips that its features are of, in the order of ``features``.
    :param features: None where there is no unit.
    :param refused: answers of the units that have no features.
    """

    units: Mapping[str, Sequence[ClipFeatures]]
    features: UnitFeatures | None
    refused: Mapping[str, Sequence[Answer]]


class Panel:
    """Models that are asked together.

    :param models: all bound to one fingerprint.
    :param with_gates: whether a task is asked only where its gate allows.
    :raises UsageError: if a gate's model is missing, ambiguous, not about clips, or in a circle.
    """

    def __init__(self, models: Sequence[TaskModel], with_gates: bool = True) -> None:
        self.models = models
        gates = {model.digest: self._gate(model) if with_gates else None for model in models}
        self._askers = [
            _Asker(model, FeatureMaker(model.card.task, model.task), gates[model.digest])
            for model in _gates_first(models, gates)
        ]

    def ask(
        self, embeddings: Mapping[str, ClipEmbeddings], exams: Mapping[str, Sequence[str]], fingerprint: str
    ) -> dict[str, Answers]:
        """Answers of every model, by its digest.

        :param embeddings: by clip key.
        :param exams: clip keys of each exam that is here whole.
        """
        frames = {key: ReadableFrames(each) for key, each in embeddings.items()}
        given: dict[str, Answers] = {}
        made: dict[Hashable, _Made] = {}
        for asker in self._askers:
            if asker.recipe not in made:
                gate = None if asker.gate is None else (asker.gate, given[asker.gate.digest])
                made[asker.recipe] = _make(asker, frames, exams, gate)
            given[asker.model.digest] = _answers(asker.model, made[asker.recipe], fingerprint)
        return given

    def _gate(self, model: TaskModel) -> TaskModel | None:
        """The model that answers what a model requires."""
        gate, name = model.card.task.requires, model.card.task.name
        if gate is None:
            return None
        found = [other for other in self.models if other.card.task.name == gate.task]
        if len(found) != 1:
            raise UsageError(
                f"'{name}' is answered only where '{gate.task}' is '{gate.is_}', and {len(found)} of the models answer "
                f"'{gate.task}'. Add one with --model (train-task '{gate.task}' makes it, where a plugin has that task), train "
                "a task that requires no other ('lusfx tasks'), or ask without gates: --no-gates"
            )
        (other,) = found
        if other.card.orders_only:
            raise UsageError(
                f"'{name}' is answered only where '{gate.task}' is '{gate.is_}', and {other.name} only orders clips and says "
                "neither. Make a model of it that does (lusfx recalibrate), or ask without gates: --no-gates"
            )
        if other.card.task.unit != "clip" or gate.is_ not in other.card.task.classes or not other.card.task.exclusive:
            raise UsageError(f"'{name}' needs a task about clips with the class '{gate.is_}'; {other.name} is none")
        return other


def _gates_first(models: Sequence[TaskModel], gates: Mapping[str, TaskModel | None]) -> list[TaskModel]:
    """The models in an order in which each comes after its gate."""
    ordered: dict[str, TaskModel] = {}
    for model in models:
        chain: list[TaskModel] = []
        link: TaskModel | None = model
        while link is not None and link.digest not in ordered:
            if link in chain:
                raise UsageError(
                    f"the tasks {', '.join(m.card.task.name for m in chain)} require each other in a circle"
                )
            chain.append(link)
            link = gates[link.digest]
        ordered |= {member.digest: member for member in reversed(chain)}
    return list(ordered.values())


def _make(
    asker: _Asker,
    frames: Mapping[str, ReadableFrames],
    exams: Mapping[str, Sequence[str]],
    gate: tuple[TaskModel, Answers] | None,
) -> _Made:
    clips = {key: _closed(asker.model, gate, key) or asker.maker.of_frames(each) for key, each in frames.items()}
    if asker.model.card.task.unit == "exam":
        units = {exam: [clips[key] for key in keys] for exam, keys in exams.items()}
    else:
        units = {key: [clip] for key, clip in clips.items()}
    refused: dict[str, Sequence[Answer]] = {}
    whole: dict[str, Sequence[ClipFeatures]] = {}
    for name, parts in units.items():
        reasons = [part for part in parts if isinstance(part, NotAssessable)]
        if len(reasons) == len(parts):
            refused[name] = [Answer(reason=reasons[0])]
        else:
            whole[name] = parts
    return _Made(whole, asker.maker.of_units(list(whole.values())) if whole else None, refused)


def _closed(model: TaskModel, gate: tuple[TaskModel, Answers] | None, key: str) -> NotAssessable | None:
    """Why a clip gives nothing where the model's gate is closed to it; None where it is open."""
    wanted = model.card.task.requires
    if gate is None or wanted is None:
        return None
    (answer,) = gate[1][key]
    if answer.probabilities is None:
        why = "" if answer.reason is None else f": {answer.reason.detail}"
        return NotAssessable("gate", f"{wanted.task} is not assessable{why}")
    if answer.said == wanted.is_:
        return None
    return NotAssessable("gate", f"{wanted.task} is {answer.said}, not {wanted.is_}")


def _answers(model: TaskModel, made: _Made, fingerprint: str) -> Answers:
    """What a model says of all units."""
    answers: dict[str, Sequence[Answer]] = dict(made.refused)
    if made.features is None:
        return answers
    probabilities = model.score(made.features, fingerprint)
    said: Sequence[str | None] = [None] * len(probabilities) if model.card.orders_only else model.answers(probabilities)
    distances = model.distances(made.features)
    unfamiliar = model.unfamiliar(distances)
    if model.card.task.unit == "frame":
        frames = {name: clip for name, (clip,) in made.units.items() if isinstance(clip, FrameRows)}
        return answers | _by_clip(frames, probabilities, said, unfamiliar, distances)
    each_unit = zip(made.units, probabilities, said, unfamiliar, distances.tolist(), strict=True)
    for name, each, answer, reason, distance in each_unit:
        told = Answer(each, answer) if reason is None else Answer(reason=reason)
        answers[name] = [replace(told, distance=distance)]
    return answers


def _by_clip(
    clips: Mapping[str, FrameRows],
    probabilities: NDArray[np.float64],
    said: Sequence[str | None],
    unfamiliar: Sequence[NotAssessable | None],
    distances: NDArray[np.float64],
) -> dict[str, Sequence[Answer]]:
    """An answer a readable frame, clip by clip as the rows of the features are."""
    answers: dict[str, Sequence[Answer]] = {}
    start = 0
    for name, clip in clips.items():
        rows = slice(start, start + len(clip.source_frame))
        answers[name] = FrameAnswers(
            probabilities=probabilities[rows],
            said=said[rows],
            reasons=unfamiliar[rows],
            frame=clip.source_frame,
            time_s=clip.times_s,
            distances=distances[rows],
        )
        start = rows.stop
    return answers
