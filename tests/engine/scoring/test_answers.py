"""Models are asked together: gates first, and each answer from its own clip or exam alone."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Abstention, Bags, Features, Gate, Head, LongestRun, Mean, Task
from lusfx.engine.scoring.answers import Answer, Panel
from lusfx.errors import FingerprintMismatchError, UsageError
from lusfx.novelty import fit_novelty
from lusfx.task_model import (
    FeaturesCard,
    HeadCard,
    NoveltyCard,
    OperatingPointCard,
    OutcomeCard,
    RuleCard,
    TaskCard,
    TaskModel,
    TaskModelFacts,
    TrainingCard,
)
from lusfx.task_model.card import make_card
from lusfx.types import ClipEmbeddings, FrameStatus

FINGERPRINT = "ab" * 32
DIM = 4


class Column(Head):
    """The probability is one of the features; of a bag, their mean."""

    def __init__(self, column: int) -> None:
        self.column = column

    def predict_proba(self, features: Features) -> np.ndarray:
        if isinstance(features, Bags):
            means = [features[bag][:, self.column].mean() for bag in range(len(features))]
            yes = np.array(means, np.float64)
        else:
            yes = features[:, self.column].astype(np.float64)
        return np.stack([1 - yes, yes], axis=1)

    def files(self) -> Mapping[str, bytes]:
        return {"column": str(self.column).encode()}


def make_task(name: str = "sign", **attributes: Any) -> Task:
    """A binary task about clips that is called so, with other attributes."""
    always = {"__doc__": "Is it?", "name": name, "label_columns": ("sign",), "pooling": "mean"}
    task: Task = type("Sign", (Task,), always | attributes)()
    return task


def make_model(task: Task, first_column: int = 0, novelty: Any = None, limit: float = 1.0) -> TaskModel:
    """A model whose outcomes are answered by the columns of an embedding from the first named on."""
    card = TaskCard.of(task)
    point = OperatingPointCard(rule=RuleCard(kind="youden"), threshold=0.5)
    outcomes = tuple(
        OutcomeCard(
            name=name,
            head=HeadCard(name="column", settings={}),
            calibration=None,
            operating_points={"balanced": point},
            decides="balanced",
            n_units=2,
            n_events=1,
        )
        for name in card.outcomes
    )
    facts = TaskModelFacts(
        task=card,
        features=FeaturesCard(fingerprint=FINGERPRINT, encoder="made-up", dim=DIM, n_features=DIM),
        outcomes=outcomes,
        novelty=None if novelty is None else NoveltyCard(limit=limit),
        training=TrainingCard(
            n_units=2, n_clips=2, n_patients=2, weak_labels=False, seed=0, lusfx_version="0", created=datetime.now(UTC)
        ),
    )
    names = ["evidence.json", "report.html", *(f"{number + 1}-column" for number in range(len(outcomes)))]
    files = dict.fromkeys(names if novelty is None else [*names, "novelty.safetensors"], b"")
    return TaskModel(
        card=make_card(facts, files),
        heads=[Column(first_column + number) for number in range(len(outcomes))],
        calibrations=[None] * len(outcomes),
        aggregation=task.aggregate,
        novelty=novelty,
        task=None,
        evidence={},
        digest=hashlib.sha256(f"{card.name} {card.classes} {first_column}".encode()).hexdigest(),
    )


def make_clip(*frames: Sequence[float], unreadable: Sequence[int] = (), **stated: Any) -> ClipEmbeddings:
    """A clip of frames of which the first few columns are given, 0.1 s each."""
    embeddings = np.zeros((len(frames), DIM), np.float32)
    for row, values in zip(embeddings, frames, strict=True):
        row[: len(values)] = values
    status = np.full(len(frames), FrameStatus.OK, np.uint8)
    status[list(unreadable)] = FrameStatus.UNREADABLE
    embeddings[status != FrameStatus.OK] = np.nan
    times_s = stated.pop("times_s", np.arange(len(frames)) * 0.1)
    return ClipEmbeddings(embeddings, times_s, 2 * np.arange(len(frames)), status, {"beam_confidence": 1.0} | stated)


def ask(
    models: Sequence[TaskModel],
    clips: Mapping[str, ClipEmbeddings],
    exams: Mapping[str, Sequence[str]] | None = None,
    with_gates: bool = True,
) -> dict[str, Mapping[str, Sequence[Answer]]]:
    """Answers by task name."""
    given = Panel(models, with_gates).ask(clips, exams or {}, FINGERPRINT)
    return {model.card.task.name: given[model.digest] for model in models}


def only(answers: Sequence[Answer]) -> Answer:
    (answer,) = answers
    return answer


VIEW = make_task("view", classes=("parenchymal", "pleural"))
EFFUSION = make_task("effusion", requires=Gate(task="view", is_="pleural"))


# ---- gates --------------------------------------------------------------------------------------------------------


def test_a_task_is_answered_only_where_its_gate_is_open() -> None:
    clips = {"pleural": make_clip([0.9, 0.3]), "parenchymal": make_clip([0.2, 0.8])}
    answers = ask([make_model(EFFUSION, 1), make_model(VIEW)], clips)
    assert only(answers["effusion"]["pleural"]).probabilities == pytest.approx([0.3])
    closed = only(answers["effusion"]["parenchymal"])
    assert closed.probabilities is None
    assert closed.reason is not None
    assert (closed.reason.code, closed.reason.detail) == ("gate", "view is parenchymal, not pleural")
    assert only(answers["view"]["parenchymal"]).probabilities == pytest.approx([0.2])


def test_a_task_is_not_assessable_where_its_gate_is_not() -> None:
    view = make_task("view", classes=("parenchymal", "pleural"), abstain=Abstention(min_frames=2))
    answers = ask([make_model(view), make_model(EFFUSION, 1)], {"still": make_clip([0.9, 0.3])})
    reason = only(answers["effusion"]["still"]).reason
    assert reason is not None
    assert (reason.code, reason.detail) == ("gate", "view is not assessable: 1 readable frame, fewer than 2")


def test_gates_follow_each_other_whatever_the_order_of_the_models() -> None:
    second = make_task("second", requires=Gate(task="first", is_="yes"))
    third = make_task("third", requires=Gate(task="second", is_="yes"))
    models = [make_model(third, 2), make_model(second, 1), make_model(make_task("first"), 0)]
    clips = {
        "all": make_clip([0.9, 0.9, 0.7]),
        "one": make_clip([0.9, 0.1, 0.7]),
        "none": make_clip([0.1, 0.9, 0.7]),
    }
    for ordered in (models, models[::-1], [models[1], models[2], models[0]]):
        answers = ask(ordered, clips)["third"]
        assert only(answers["all"]).probabilities == pytest.approx([0.7])
        reasons = {key: only(answers[key]).reason for key in ("one", "none")}
        assert {key: reason.detail for key, reason in reasons.items() if reason} == {
            "one": "second is no, not yes",
            "none": "second is not assessable: first is no, not yes",
        }


def test_without_gates_a_task_is_answered_everywhere() -> None:
    answers = ask([make_model(EFFUSION, 1)], {"any": make_clip([0.2, 0.8])}, with_gates=False)
    assert only(answers["effusion"]["any"]).probabilities == pytest.approx([0.8])


def test_a_gate_without_a_model_or_with_two_is_refused() -> None:
    message = "'effusion' is answered only where 'view' is 'pleural', and {} of the models answer 'view'"
    with pytest.raises(UsageError, match=message.format(0)) as error:
        Panel([make_model(EFFUSION)])
    assert "Add one with --model (train-task 'view' makes it" in str(error.value)
    with pytest.raises(UsageError, match=message.format(2)):
        Panel([make_model(EFFUSION), make_model(VIEW, 0), make_model(VIEW, 1)])
    Panel([make_model(EFFUSION)], with_gates=False)


@pytest.mark.parametrize(
    "view",
    [
        make_task("view", classes=("parenchymal", "pleural"), unit="exam"),
        make_task("view", classes=("parenchymal", "pleural"), unit="frame"),
        make_task("view", classes=("parenchymal", "basal")),
        make_task("view", kind="multi-label", classes=("parenchymal", "pleural"), label_columns=("a", "b")),
    ],
)
def test_a_gate_must_be_a_task_about_clips_with_that_class(view: Task) -> None:
    with pytest.raises(UsageError, match=r"a task about clips with the class 'pleural'; view@\w+ is none"):
        Panel([make_model(EFFUSION), make_model(view)])


def test_gates_in_a_circle_are_refused() -> None:
    one = make_model(make_task("one", requires=Gate(task="two", is_="yes")))
    two = make_model(make_task("two", requires=Gate(task="one", is_="yes")))
    itself = make_model(make_task("itself", requires=Gate(task="itself", is_="yes")))
    with pytest.raises(UsageError, match="the tasks one, two require each other in a circle"):
        Panel([one, two])
    with pytest.raises(UsageError, match="the tasks itself require each other in a circle"):
        Panel([itself])


def test_a_frame_task_is_gated_by_its_clip() -> None:
    frames = make_task("frames", unit="frame", requires=Gate(task="view", is_="pleural"))
    clips = {"open": make_clip([0.9, 0.1], [0.9, 0.2]), "closed": make_clip([0.2, 0.1], [0.2, 0.2])}
    answers = ask([make_model(frames, 1), make_model(VIEW)], clips)["frames"]
    assert len(answers["open"]) == 2
    assert only(answers["closed"]).reason is not None


# ---- abstention ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "clip", "code", "detail"),
    [
        (
            {"abstain": Abstention(min_frames=3)},
            make_clip([0.1], [0.1], [0.1], unreadable=[1]),
            "too-few-frames",
            "2 readable frames, fewer than 3",
        ),
        ({}, make_clip([0.1], unreadable=[0]), "too-few-frames", "0 readable frames, fewer than 1"),
        (
            {"abstain": Abstention(min_beam_confidence=0.7)},
            make_clip([0.1], beam_confidence=0.63),
            "low-beam-confidence",
            "beam confidence 0.63, below 0.70",
        ),
        ({}, make_clip([0.1], beam_confidence=0.43), "low-beam-confidence", "beam confidence 0.43, below 0.50"),
        (
            {"aggregate": LongestRun()},
            make_clip([0.1], [0.1], times_s=np.full(2, np.nan)),
            "frame-times-unknown",
            "frame times are not known, and the task aggregates in seconds",
        ),
        (
            {"aggregate": LongestRun()},
            make_clip([0.1], [0.1], times_s=np.zeros(2)),
            "frame-times-unknown",
            "frame times are not known, and the task aggregates in seconds",
        ),
    ],
)
def test_what_cannot_be_assessed_says_why(
    attributes: dict[str, Any], clip: ClipEmbeddings, code: str, detail: str
) -> None:
    good = make_clip([0.7], [0.7], [0.7], beam_confidence=0.9)
    answers = ask([make_model(make_task(**attributes))], {"good": good, "bad": clip})
    answer = only(answers["sign"]["bad"])
    assert answer.probabilities is None
    assert answer.reason is not None
    assert (answer.reason.code, answer.reason.detail) == (code, detail)
    assert only(answers["sign"]["good"]).reason is None


def test_what_is_enough_is_answered() -> None:
    abstain = Abstention(min_frames=2, min_beam_confidence=0.5)
    clips = {
        "just enough": make_clip([0.6], [0.8], beam_confidence=0.5),
        "no word of a beam": make_clip([0.6], [0.8]),
    }
    answers = ask([make_model(make_task(abstain=abstain))], clips)["sign"]
    assert {key: only(said).probabilities for key, said in answers.items()} == {
        key: pytest.approx([0.7]) for key in clips
    }


def test_frame_times_matter_only_to_what_asks_for_seconds() -> None:
    """A mean is then one over frames, and a still needs no times at all."""
    clips = {
        "no times": make_clip([0.2], [0.4], times_s=np.full(2, np.nan)),
        "still": make_clip([0.9], times_s=np.full(1, np.nan)),
    }
    mean, run = make_task("mean", aggregate=Mean()), make_task("run", aggregate=LongestRun(above=0.5, seconds=0.1))
    answers = ask([make_model(mean), make_model(run)], clips)
    assert only(answers["mean"]["no times"]).probabilities == pytest.approx([0.3])
    assert only(answers["mean"]["still"]).probabilities == pytest.approx([0.9])
    assert only(answers["run"]["still"]).probabilities == pytest.approx([1.0])
    assert only(answers["run"]["no times"]).reason is not None


def test_what_is_unlike_the_training_set_is_not_answered() -> None:
    generator = np.random.default_rng(0)
    novelty = fit_novelty(generator.normal(0.5, 0.1, (40, DIM)), np.array([str(row) for row in range(40)]))
    model = make_model(make_task(abstain=Abstention(familiar=0.9)), novelty=novelty, limit=3.0)
    clips = {"familiar": make_clip([0.5] * DIM), "strange": make_clip([0.5, 0.5, 0.5, 30.0])}
    answers = ask([model], clips)["sign"]
    assert only(answers["familiar"]).probabilities == pytest.approx([0.5])
    reason = only(answers["strange"]).reason
    assert reason is not None
    assert reason.code == "unfamiliar"
    assert "far from the training set: distance" in reason.detail


# ---- frames -------------------------------------------------------------------------------------------------------


def test_each_readable_frame_is_answered_with_its_place_and_time() -> None:
    clips = {
        "clip": make_clip([0.1], [0.2], [0.3], [0.4], unreadable=[1]),
        "no times": make_clip([0.9], [0.8], times_s=np.full(2, np.nan)),
        "blank": make_clip([0.1], unreadable=[0]),
    }
    answers = ask([make_model(make_task(unit="frame"))], clips)["sign"]
    said = answers["clip"]
    assert [answer.frame for answer in said] == [0, 4, 6]  # every second frame of the source was encoded
    assert [answer.time_s for answer in said] == pytest.approx([0.0, 0.2, 0.3])
    np.testing.assert_allclose([answer.probabilities for answer in said], [[0.1], [0.3], [0.4]], rtol=1e-6)
    np.testing.assert_array_equal([answer.time_s for answer in answers["no times"]], [np.nan, np.nan])
    blank = only(answers["blank"])
    assert (blank.frame, blank.reason is None) == (None, False)


def test_a_frame_unlike_the_training_set_does_not_silence_the_others() -> None:
    generator = np.random.default_rng(0)
    novelty = fit_novelty(generator.normal(0.5, 0.1, (40, DIM)), np.array([str(row) for row in range(40)]))
    task = make_task(unit="frame", abstain=Abstention(familiar=0.9))
    clip = make_clip([0.5] * DIM, [0.5, 0.5, 0.5, 30.0], [0.5] * DIM)
    said = ask([make_model(task, novelty=novelty, limit=3.0)], {"clip": clip})["sign"]["clip"]
    assert [answer.reason is None for answer in said] == [True, False, True]
    assert [answer.probabilities is None for answer in said] == [False, True, False]
    assert [answer.frame for answer in said] == [0, 2, 4]


# ---- exams --------------------------------------------------------------------------------------------------------


def test_an_exam_is_answered_from_its_clips_that_can_be_assessed() -> None:
    task = make_task(unit="exam", abstain=Abstention(min_frames=2))
    clips = {"a": make_clip([0.2], [0.4]), "b": make_clip([0.9], [0.9]), "still": make_clip([0.0])}
    exams = {"both": ["a", "b"], "one": ["a", "still"], "none": ["still"]}
    answers = ask([make_model(task)], clips, exams)["sign"]
    assert only(answers["both"]).probabilities == pytest.approx([0.6])
    assert only(answers["one"]).probabilities == pytest.approx([0.3])
    none = only(answers["none"])
    assert none.probabilities is None
    assert none.reason is not None
    assert none.reason.code == "too-few-frames"
    assert set(answers) == set(exams)


def test_an_exam_task_is_gated_clip_by_clip() -> None:
    task = make_task("sign", unit="exam", requires=Gate(task="view", is_="pleural"))
    clips = {"pleural": make_clip([0.9, 0.8]), "parenchymal": make_clip([0.2, 0.1])}
    exams = {"mixed": ["pleural", "parenchymal"], "closed": ["parenchymal"]}
    answers = ask([make_model(task, 1), make_model(VIEW)], clips, exams)["sign"]
    assert only(answers["mixed"]).probabilities == pytest.approx([0.8])
    reason = only(answers["closed"]).reason
    assert reason is not None
    assert reason.detail == "view is parenchymal, not pleural"


# ---- all of it ----------------------------------------------------------------------------------------------------


def test_an_outcome_has_a_probability_each() -> None:
    task = make_task(kind="ordinal", classes=("0", "1", "2"))
    answers = ask([make_model(task, 1)], {"clip": make_clip([0.0, 0.9, 0.4])})["sign"]
    assert only(answers["clip"]).probabilities == pytest.approx([0.9, 0.4])


@pytest.mark.parametrize(
    "attributes",
    [{}, {"pooling": "max"}, {"pooling": "attention"}, {"aggregate": LongestRun(seconds=0.3)}, {"unit": "frame"}],
)
def test_answers_do_not_depend_on_the_order_or_the_company(attributes: dict[str, Any]) -> None:
    generator = np.random.default_rng(0)
    clips = {str(number): make_clip(*generator.random((number % 5 + 1, DIM))) for number in range(12)}
    panel = Panel([make_model(make_task(**attributes))])

    def said(given: Mapping[str, ClipEmbeddings]) -> dict[str, np.ndarray]:
        (answers,) = panel.ask(given, {}, FINGERPRINT).values()
        return {key: np.array([answer.probabilities for answer in each]) for key, each in answers.items()}

    together, backwards = said(clips), said(dict(reversed(clips.items())))
    alone = {key: said({key: clip})[key] for key, clip in clips.items()}
    for key, expected in together.items():
        np.testing.assert_allclose(backwards[key], expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(alone[key], expected, rtol=0, atol=1e-12)


def test_nobody_is_asked_about_nothing() -> None:
    assert ask([make_model(VIEW), make_model(EFFUSION)], {}) == {"view": {}, "effusion": {}}


def test_features_of_another_fingerprint_are_refused() -> None:
    with pytest.raises(FingerprintMismatchError):
        Panel([make_model(VIEW)]).ask({"clip": make_clip([0.1])}, {}, "cd" * 32)
