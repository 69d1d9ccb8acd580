"""The script that makes lusfx's own encoder: the answers it teaches, and a tiny run of it from the simulator to a directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs torch")
pytest.importorskip("timm", reason="training needs timm")
pytest.importorskip("onnx", reason="writing an encoder needs onnx")

from lusfx.encoders import BUNDLED, DEFAULT_ENCODER  # noqa: E402 - after the skip
from lusfx.encoders.card import WEIGHTS, read_card  # noqa: E402
from lusfx.encoders.directory import DirectoryEncoder  # noqa: E402
from lusfx.synth import SITES, Findings, FrameTruth  # noqa: E402
from lusfx.synth.archive import PlannedClip, plan_patient  # noqa: E402

pytestmark = pytest.mark.slow


def planned(severity: int | None, **findings: Any) -> PlannedClip:
    """A clip that shows these findings."""
    clip = next(plan_patient(SITES["varied-clear"], 1, 1, seed=0))
    return replace(clip, finding=replace(clip.finding, findings=Findings(**findings), severity=severity))


def truth_of(**facts: Any) -> FrameTruth:
    nothing = {"lung": True, "a_lines": False, "n_b_lines": 0, "effusion": False, "consolidation": False}
    return FrameTruth(**(nothing | facts))


def answers(tool: Any, clip: PlannedClip, truth: FrameTruth) -> dict[str, int]:
    found = tool.answers_of(clip, truth)
    assert len(found) == len(tool.QUESTIONS) == 13
    return dict(zip(tool.QUESTIONS, found, strict=True))


def test_answers_of_lung_are_what_was_drawn(tool: Any) -> None:
    clip = planned(2, b_lines=4, b_line_mm=2.0, irregularity=0.5)
    assert answers(tool, clip, truth_of(n_b_lines=4)) == {
        "pleural view": 0,
        "A-lines": 0,
        "at least two A-lines were drawn": 0,
        "B-lines": 1,
        "at least three B-lines": 1,
        "at least six B-lines": 0,
        "B-lines that run together": 0,
        "effusion": -1,
        "consolidation": 0,
        "irregular pleural line": 1,
        "severity of at least 1": 1,
        "severity of at least 2": 1,
        "severity of at least 3": 0,
    }
    clear = answers(tool, planned(0, a_lines=3), truth_of(a_lines=True))
    assert [name for name, answer in clear.items() if answer == 1] == ["A-lines", "at least two A-lines were drawn"]
    assert clear["B-lines that run together"] == -1  # there are none
    wide = answers(tool, planned(3, b_lines=8, b_line_mm=7.0), truth_of(n_b_lines=8))
    assert (wide["at least six B-lines"], wide["B-lines that run together"], wide["severity of at least 3"]) == (
        1,
        1,
        1,
    )


def test_a_frame_answers_for_itself_and_not_for_its_clip(tool: Any) -> None:
    clip = planned(2, b_lines=4)
    before, with_them = (answers(tool, clip, truth_of(n_b_lines=n)) for n in (0, 4))
    assert (before["B-lines"], with_them["B-lines"]) == (0, 1)
    assert before["severity of at least 2"] == with_them["severity of at least 2"] == 1


def test_questions_that_make_no_sense_have_no_answer(tool: Any) -> None:
    fluid = answers(tool, planned(None, view="pleural", effusion_mm=30), truth_of(lung=False, effusion=True))
    assert (fluid["pleural view"], fluid["effusion"], fluid["consolidation"]) == (1, 1, 0)
    unknown = {name for name, answer in fluid.items() if answer == tool.UNKNOWN}
    assert unknown == set(tool.QUESTIONS) - {"pleural view", "effusion", "consolidation"}


@pytest.fixture(scope="module")
def simulated(tool: Any) -> tuple[np.ndarray, np.ndarray]:
    return tool.simulated(2, seed=1)


def test_frames_are_as_an_encoder_is_given_them(tool: Any, simulated: tuple[np.ndarray, np.ndarray]) -> None:
    frames, targets = simulated
    card = read_card(BUNDLED / DEFAULT_ENCODER)
    n = 2 * tool.CLIPS * tool.FRAMES
    assert frames.shape == (n, card.preprocess.size, card.preprocess.size)
    assert frames.dtype == np.uint8
    assert (frames.std(axis=(1, 2)) > 4).all()
    assert targets.shape == (n, len(tool.QUESTIONS))
    assert set(np.unique(targets)) <= {-1, 0, 1}


def test_a_seed_gives_the_same_frames(tool: Any, simulated: tuple[np.ndarray, np.ndarray]) -> None:
    again, other = tool.simulated(1, seed=1), tool.simulated(1, seed=2)
    n = len(again[0])
    for one, same, another in zip(simulated, again, other, strict=True):
        assert np.array_equal(one[:n], same)
        assert not np.array_equal(one[:n], another)


@pytest.fixture(scope="module")
def made(tool: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the script writes for two patients and two epochs: in the first step the new layer moves alone."""
    out = tmp_path_factory.mktemp("made") / "lung"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["make_lung_encoder", str(out), "--patients", "2", "--epochs", "2"])
        tool.main()
        yield out
        with pytest.raises(SystemExit, match="is taken"):
            tool.main()


def test_a_tiny_run_writes_an_encoder_of_the_bundled_ones_form(tool: Any, made: Path) -> None:
    card, bundled = read_card(made), read_card(BUNDLED / DEFAULT_ENCODER)
    assert card.name == bundled.name == tool.NAME
    assert card.preprocess == bundled.preprocess
    its_own = {"weights_sha256", "graph_sha256"}  # the bundled one is older than the second
    assert card.identity.model_dump(exclude=its_own) == bundled.identity.model_dump(exclude=its_own)
    assert card.identity.graph_sha256 == card.files["encoder.onnx"]
    assert card.identity.weights_sha256 != bundled.identity.weights_sha256
    assert card.source == bundled.source == "tools/make_lung_encoder.py"
    assert card.training_data == "ImageNet-1k, then 48 simulated frames"
    text = " ".join((made / "MODEL_CARD.md").read_text().split())
    for said in (
        "2 simulated patients, 48 frames, 2 passes",
        "Seed 1.",
        "site `varied-clear`",
        "320 values",
        *tool.QUESTIONS,
    ):
        assert said in text, said
    frames = np.random.default_rng(0).integers(0, 256, (3, 96, 96), dtype=np.uint8)
    embeddings = DirectoryEncoder(made, "cpu").encode(frames)
    assert embeddings.shape == (3, 320)
    assert np.isfinite(embeddings).all()


def test_the_weights_moved_away_from_imagenets(made: Path) -> None:
    from safetensors.numpy import load_file

    before, after = load_file(BUNDLED / "efficientnet-lite0" / WEIGHTS), load_file(made / WEIGHTS)
    assert after.keys() < before.keys()
    moved = [name for name in after if name.endswith("weight") and not np.array_equal(before[name], after[name])]
    assert len(moved) == sum(name.endswith("weight") for name in after)
