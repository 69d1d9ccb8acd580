"""Ask task models about clips: gates first, then what can be assessed, from features that are read once for all models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.engine.features import ClipFeatures, FeatureMaker
from lusfx.errors import UsageError
from lusfx.task_model import TaskModel, UnitFeatures
from lusfx.types import ClipEmbeddings, NotAssessable


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model says of one unit.

    :param probabilities: ``(n_outcomes,)``; None where it says nothing.
    :param reason: why it says nothing; None where it does.
    :param frame: position of the frame in its source, where the unit is a frame.
    :param time_s: seconds after the clip's first frame, where the unit is a frame; NaN where unknown.
    """

    probabilities: NDArray[np.float64] | None = None
    reason: NotAssessable | None = None
    frame: int | None = None
    time_s: float | None = None


Answers = Mapping[str, Sequence[Answer]]
"""By clip key, or exam key of an exam task; several answers of a clip whose frames are the units, else one."""


@dataclass(frozen=True, slots=True)
class _Asker:
    """A model with what makes its features, and the model that it is gated by."""

    model: TaskModel
    maker: FeatureMaker
    gate: TaskModel | None


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
        self, clips: Mapping[str, ClipEmbeddings], exams: Mapping[str, Sequence[str]], fingerprint: str
    ) -> dict[str, Answers]:
        """Answers of every model, by its digest.

        :param clips: by clip key.
        :param exams: clip keys of each exam that is here whole.
        """
        given: dict[str, Answers] = {}
        for asker in self._askers:
            gate = None if asker.gate is None else (asker.gate, given[asker.gate.digest])
            features = {
                key: _closed(asker.model, gate, key) or asker.maker.of_clip(clip) for key, clip in clips.items()
            }
            if asker.model.card.task.unit == "exam":
                units = {exam: [features[key] for key in keys] for exam, keys in exams.items()}
            else:
                units = {key: [clip] for key, clip in features.items()}
            given[asker.model.digest] = _answers(asker, units, fingerprint)
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
                f"'{gate.task}'. Add one with --model, or ask without gates: --no-gates"
            )
        (other,) = found
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


def _closed(model: TaskModel, gate: tuple[TaskModel, Answers] | None, key: str) -> ClipFeatures | None:
    """What a clip gives where the model's gate is closed to it; None where it is open."""
    wanted = model.card.task.requires
    if gate is None or wanted is None:
        return None
    asked, answers = gate
    (answer,) = answers[key]
    if answer.probabilities is None:
        why = "" if answer.reason is None else f": {answer.reason.detail}"
        return ClipFeatures(reason=NotAssessable("gate", f"{wanted.task} is not assessable{why}"))
    found = asked.answer(answer.probabilities)
    if found == wanted.is_:
        return None
    return ClipFeatures(reason=NotAssessable("gate", f"{wanted.task} is {found}, not {wanted.is_}"))


def _answers(asker: _Asker, units: Mapping[str, Sequence[ClipFeatures]], fingerprint: str) -> Answers:
    answers: dict[str, Sequence[Answer]] = {}
    whole: dict[str, Sequence[ClipFeatures]] = {}
    for name, clips in units.items():
        reasons = [clip.reason for clip in clips if clip.reason is not None]
        if len(reasons) == len(clips):
            answers[name] = [Answer(reason=reasons[0])]
        else:
            whole[name] = clips
    if not whole:
        return answers
    features = asker.maker.of_units(list(whole.values()))
    if asker.model.card.task.unit == "frame":
        return answers | _frame_answers(asker.model, whole, features, fingerprint)
    probabilities, unfamiliar = _ask(asker.model, features, fingerprint)
    for row, name in enumerate(whole):
        answers[name] = [Answer(reason=unfamiliar[row]) if unfamiliar[row] else Answer(probabilities[row])]
    return answers


def _frame_answers(
    model: TaskModel, clips: Mapping[str, Sequence[ClipFeatures]], features: UnitFeatures, fingerprint: str
) -> dict[str, Sequence[Answer]]:
    """An answer a readable frame, clip by clip as the rows of the features are."""
    probabilities, unfamiliar = _ask(model, features, fingerprint)
    answers: dict[str, Sequence[Answer]] = {}
    row = 0
    for name, (clip,) in clips.items():
        if clip.source_frame is None or clip.times_s is None:
            raise TypeError("these clip features were made for another form of task")
        said = []
        for frame, time_s in zip(clip.source_frame.tolist(), clip.times_s.tolist(), strict=True):
            reason = unfamiliar[row]
            said.append(Answer(None if reason else probabilities[row], reason, frame, time_s))
            row += 1
        answers[name] = said
    return answers


def _ask(
    model: TaskModel, features: UnitFeatures, fingerprint: str
) -> tuple[NDArray[np.float64], Sequence[NotAssessable | None]]:
    return model.score(features, fingerprint), model.unfamiliar(features)
