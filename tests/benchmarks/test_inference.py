"""The benchmark of inference, on the least that it can be run on."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from benchmarks.__main__ import main
from benchmarks.inference import measurement
from benchmarks.inference.network import load_encoder, load_networks
from benchmarks.inference.plan import PLANS, Plan
from benchmarks.inference.question import HEADS, Questions, make_questions
from benchmarks.inference.serving import Serving, UnequalScoresError, modes
from benchmarks.inference.subject import Subject, open_subject
from benchmarks.page import page
from benchmarks.request import Request
from benchmarks.timing import Rounds
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.errors import UsageError
from lusfx.plugins import load_registry
from lusfx.task_model import UnitFeatures

pytestmark = pytest.mark.slow

pytest.importorskip("timm")
N_QUESTIONS = 3
TINY = Plan(
    (DEFAULT_ENCODER,),
    (1, 2),
    3,
    Rounds(1, 1, 0.0),
    1,
    3,
    2,
    Rounds(1, 1, 0.0),
    cached_tasks=1,
    frame_tasks=2,
    batch_size=2,
)


@pytest.fixture(scope="module")
def subject(tmp_path_factory: pytest.TempPathFactory) -> Subject:
    return open_subject(DEFAULT_ENCODER, tmp_path_factory.mktemp("subject"), load_registry())


@pytest.fixture(scope="module")
def images(subject: Subject) -> NDArray[np.uint8]:
    size = subject.card.preprocess.size
    return np.random.default_rng(0).integers(0, 256, (5, size, size), np.uint8)


@pytest.fixture(scope="module")
def questions(subject: Subject, images: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> Questions:
    embeddings = load_encoder(subject, "onnxruntime", "cpu", 1)(images)
    return make_questions(N_QUESTIONS, subject, embeddings, tmp_path_factory.mktemp("models"), load_registry())


@pytest.fixture(scope="module")
def serve(subject: Subject, questions: Questions, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Serving]:
    def make(runtime: str) -> Serving:
        folder = tmp_path_factory.mktemp("networks") / runtime
        networks = load_networks(subject, questions.linear, runtime, "cpu", 1, folder)
        return Serving(load_encoder(subject, runtime, "cpu", 1), networks, questions, subject.fingerprint)

    return make


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_one_encoder_and_networks_of_the_same_weights_give_the_same_scores(
    serve: Callable[[str], Serving], images: NDArray[np.uint8], runtime: str
) -> None:
    serving = serve(runtime)
    for mode in modes(2)[:2]:
        assert serving.check_same_scores(lambda: images, mode) <= 1e-4
        together = serving.together(lambda: images, mode, serving.questions.models["logistic"])
        assert together.shape == serving.separately(lambda: images, mode, N_QUESTIONS).shape == (5, N_QUESTIONS)
    assert len(np.unique(together.round(6))) > N_QUESTIONS  # not one score for all frames and questions


def test_networks_of_other_weights_stop_the_run(serve: Callable[[str], Serving], images: NDArray[np.uint8]) -> None:
    serving = serve("torch")
    swapped = replace(serving, networks=serving.networks[::-1])
    with pytest.raises(UnequalScoresError, match="apart"):
        swapped.check_same_scores(lambda: images, modes(2)[0])


def test_each_question_has_a_head_of_its_own_and_each_kind_answers(questions: Questions, subject: Subject) -> None:
    rows = np.random.default_rng(1).normal(size=(4, subject.card.identity.dim)).astype(np.float32)
    for kind in HEADS:
        models = questions.models[kind]
        assert len({model.digest for model in models}) == N_QUESTIONS
        scores = [model.score(UnitFeatures(rows, rows), subject.fingerprint) for model in models]
        assert len({score.tobytes() for score in scores}) == N_QUESTIONS


def test_a_timm_encoder_has_random_weights_and_needs_no_network(tmp_path: Path) -> None:
    names = ("timm/test_efficientnet",)
    subject = open_subject(names[0], tmp_path, load_registry())
    assert subject.random_weights
    size = subject.card.preprocess.size
    assert np.isfinite(load_encoder(subject, "onnxruntime", "cpu", 1)(np.zeros((1, size, size), np.uint8))).all()


def test_an_unknown_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        open_subject("no-such-encoder", tmp_path, load_registry())


def test_the_full_plan_is_what_the_page_promises() -> None:
    assert PLANS["full"].task_counts == (1, 2, 3, 5, 10)
    assert PLANS["full"].encoders[0] == DEFAULT_ENCODER
    assert {"timm/mobilenetv3_small_100", "timm/mobilenetv3_large_100"} <= set(PLANS["full"].encoders)


def test_a_whole_run_by_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement, "PLANS", {"small": TINY})
    kept = tmp_path / "inference.json"
    found = CliRunner().invoke(main, ["inference", "--threads", "1", "--out", str(kept.parent)], catch_exceptions=False)
    assert found.exit_code == 0, found.output
    result = json.loads(kept.read_text())
    (subject,) = result["subjects"]
    assert [(c["runtime"], c["mode"]) for c in subject["comparisons"]] == [
        (runtime, mode.name) for runtime in ("onnxruntime", "torch") for mode in modes(2)
    ]
    for comparison in subject["comparisons"]:
        assert comparison["largest_difference_of_scores"] <= result["scores_same_within"]
        assert (comparison["decode_s_a_frame"] is not None) == comparison["decodes"]
        assert [task["n_tasks"] for task in comparison["tasks"]] == [1, 2]
        for task in comparison["tasks"]:
            for head in task["heads"].values():
                assert head["saved_percent"] == pytest.approx(100 * (1 - head["ratio"]["median"]), abs=0.01, rel=1e-4)
                missing = task["floor_percent"] - head["saved_percent"]
                assert head["short_of_floor_points"] == pytest.approx(missing, abs=0.01)
    assert set(subject["cached"]["times_as_fast"]) == {"heads", "clips", "command"}
    assert subject["cached"]["frame_scores_a_second"]["median"] > 0
    assert "2 tasks that are asked of every frame" in found.output
    assert result["rival"] in found.output
    assert f"`{result['command']}`" in page([result])


def test_encoders_that_are_named_take_the_place_of_the_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Plan] = []
    monkeypatch.setattr(measurement, "run", lambda plan, request: asked.append(plan) or {})
    request = Request("full", "cpu", 0, ("efficientnet-lite0",), lambda text: None)
    measurement.measure(request)
    measurement.measure(replace(request, encoders=()))
    assert [plan.encoders for plan in asked] == [("efficientnet-lite0",), PLANS["full"].encoders]
