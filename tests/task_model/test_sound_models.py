"""A sound task model is loaded as it was saved, and scores what it was made for."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.calibration import IsotonicCalibration, PlattCalibration
from lusfx.contracts import (
    Abstention,
    Aggregation,
    Bags,
    BestWindow,
    Gate,
    Head,
    LongestRun,
    Mean,
    NoisyOr,
    Task,
    ZoneSummary,
)
from lusfx.errors import FingerprintMismatchError, TaskModelError
from lusfx.novelty import fit_novelty
from lusfx.task_model import NOVELTY_FILE, NoveltyCard, TaskModelFacts, UnitFeatures, calibration_card

REPOSITORY = Path(__file__).resolve().parents[2]
OTHER_FINGERPRINT = "3f2a" * 16


class Signs(Task):
    """Which signs?"""

    name, kind = "signs", "multi-label"
    classes = tuple(f"sign {number}" for number in range(12))
    label_columns = tuple(f"sign_{number}" for number in range(12))


class Severity(Task):
    """How severe?"""

    name, kind = "severity", "ordinal"
    classes = ("0", "1", "2", "3")
    label_columns = ("severity",)
    exam_summary = ZoneSummary(("L1", "R1"))
    requires = Gate(task="view", is_="parenchymal")


def make_task(**attributes: Any) -> Task:
    """A binary clip task with other attributes."""
    plain = {"__doc__": "Is it there?", "name": "sign", "label_columns": ("sign",)}
    task: Task = type("Sign", (Task,), plain | attributes)()
    return task


def bags_of(*bags: list[float], n_features: int) -> UnitFeatures:
    """Units of frames that differ in their first feature; each frame lasts 0.1 s."""
    rows = [np.zeros((len(bag), n_features), np.float32) for bag in bags]
    for frames, values in zip(rows, bags, strict=True):
        frames[:, 0] = values
    centres = np.stack([frames.mean(axis=0) for frames in rows])
    return UnitFeatures(Bags.of(rows), centres, [np.full(len(bag), 0.1) for bag in bags])


# ---- loading ------------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_saved_one(
    saved: Path, kind: str, heads: dict[str, Head], models: Any, head_file_name: str
) -> None:
    model, units = models.load(saved), models.units_of(kind)
    expected = heads[kind].predict_proba(units.features)[:, 1:]
    np.testing.assert_allclose(model.score(units, models.fingerprint), expected, rtol=0, atol=1e-12)
    assert model.evidence == models.make_evidence(["yes"])
    facts = models.make_facts(kind)
    assert {name: getattr(model.card, name) for name in TaskModelFacts.model_fields} == dict(facts)
    assert sorted(model.card.files) == sorted(["evidence.json", "report.html", head_file_name])
    assert (saved / "report.html").read_bytes() == models.report.encode()
    assert models.verify(saved) == []
    assert (model.aggregation, model.novelty, model.task) == (None, None, None)


def test_a_fresh_process_without_torch_gives_the_same_scores(
    heads: dict[str, Head], models: Any, tmp_path: Path
) -> None:
    expected = {}
    for kind, head in heads.items():
        models.save(tmp_path / kind, models.make_facts(kind), models.files_of(head))
        units = models.units_of(kind)
        rows = units.features.rows if isinstance(units.features, Bags) else units.features
        starts = units.features.starts if isinstance(units.features, Bags) else np.zeros(0, np.int64)
        np.savez(tmp_path / f"{kind}.npz", rows=rows, starts=starts, centres=units.centres)
        expected[kind] = head.predict_proba(units.features)[:, 1]
    code = f"""
import sys
from importlib.abc import MetaPathFinder
class NoTorch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError("No module named 'torch'", name="torch")
sys.meta_path.insert(0, NoTorch())
from pathlib import Path
import numpy as np
from lusfx.contracts import Bags
from lusfx.heads import lusfx_register_heads
from lusfx.task_model import UnitFeatures, load_task_model
for spec in lusfx_register_heads():
    model = load_task_model(Path(spec.name), {{spec.name: spec}})
    made = np.load(spec.name + ".npz")
    features = Bags(made["rows"], made["starts"]) if len(made["starts"]) else made["rows"]
    np.save(spec.name + ".npy", model.score(UnitFeatures(features, made["centres"]), "{models.fingerprint}"))
print("torch" in sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, "False"), done.stderr
    for kind, scores in expected.items():
        np.testing.assert_allclose(np.load(tmp_path / f"{kind}.npy")[:, 0], scores, rtol=0, atol=1e-6)


def test_the_digest_names_the_model(saved: Path, kind: str, heads: dict[str, Head], models: Any) -> None:
    model, files = models.load(saved), models.files_of(heads[kind])
    digest = models.save(saved, models.make_facts(kind), files)
    assert digest == model.digest
    assert model.name == f"b-lines@{digest[:12]}"
    other = models.make_evidence(["yes"]) | {"clips": []}
    assert models.save(saved, models.make_facts(kind), files, other) != digest


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes")
def test_only_the_owner_can_read_it(saved: Path) -> None:
    assert stat.S_IMODE(saved.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in saved.iterdir()} == {0o600}


def test_moving_the_directory_changes_nothing(logistic: Path, models: Any, tmp_path: Path) -> None:
    digest = models.load(logistic).digest
    moved = shutil.move(logistic, tmp_path / "elsewhere")
    assert models.load(Path(moved)).digest == digest


def test_each_outcome_has_a_head_of_its_own(models: Any, tmp_path: Path) -> None:
    """Twelve of them: the files of the first are not those of the tenth, the eleventh and the twelfth."""
    heads = [models.plain_head(column) for column in range(12)]
    models.save(tmp_path / "signs", models.make_facts(task=Signs()), models.files_of(*heads))
    model = models.load(tmp_path / "signs")
    assert {name for name in model.card.files if name.startswith("1")} == {
        f"{number}-head.safetensors" for number in (1, 10, 11, 12)
    }
    units = models.units_of("logistic")
    np.testing.assert_allclose(model.score(units, models.fingerprint), 1 / (1 + np.exp(-units.features)), rtol=1e-6)


def test_what_the_task_says_of_itself_is_kept(models: Any, tmp_path: Path) -> None:
    models.save(tmp_path / "m", models.make_facts(task=Severity()), models.files_of(*[models.plain_head()] * 3))
    card = models.load(tmp_path / "m").card.task
    assert (card.name, card.kind, card.classes) == ("severity", "ordinal", ("0", "1", "2", "3"))
    assert card.outcomes == ("at least 1", "at least 2", "at least 3")
    assert (card.requires.task, card.requires.is_) == ("view", "parenchymal")
    assert card.exam_summary.zones == ("L1", "R1")
    assert card.question == "How severe?"
    assert not card.needs_plugin


# ---- scores -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "calibration", [PlattCalibration(0.5, -0.25), IsotonicCalibration((0.1, 0.5, 0.8), (0.05, 0.3, 0.9))]
)
def test_scores_are_calibrated(calibration: Any, models: Any, tmp_path: Path) -> None:
    facts = models.make_facts(outcome={"calibration": calibration_card(calibration)})
    models.save(tmp_path / "m", facts, models.files_of(models.plain_head()))
    model, units = models.load(tmp_path / "m"), models.units_of("logistic")
    raw = models.plain_head().predict_proba(units.features)[:, 1]
    np.testing.assert_allclose(model.score(units, models.fingerprint)[:, 0], calibration(raw), rtol=0, atol=1e-12)
    assert model.calibrations == [calibration]
    assert calibration_card(None) is None


@pytest.mark.parametrize(
    "aggregation", [Mean(), LongestRun(above=0.6, seconds=0.25), BestWindow(seconds=0.2), NoisyOr(seconds=0.3)]
)
def test_an_aggregation_makes_a_clips_score_of_its_frames(
    aggregation: Aggregation, models: Any, tmp_path: Path
) -> None:
    task = make_task(aggregate=aggregation)
    models.save(tmp_path / "m", models.make_facts(task=task), models.files_of(models.plain_head()))
    model = models.load(tmp_path / "m")
    assert model.aggregation == aggregation
    frames = [[-1.0, 2.0, 3.0, -2.0], [0.5], [4.0, 4.0]]
    units = bags_of(*frames, n_features=models.n_features)
    expected = [aggregation(1 / (1 + np.exp(-np.array(bag))), np.full(len(bag), 0.1)) for bag in frames]
    np.testing.assert_allclose(model.score(units, models.fingerprint)[:, 0], expected, rtol=0, atol=1e-7)


def test_a_unit_scores_the_same_alone_and_in_any_order(kind: str, saved: Path, models: Any) -> None:
    model, units = models.load(saved), models.units_of(kind)
    together = model.score(units, models.fingerprint)
    alone = [model.score(units.take(np.array([unit])), models.fingerprint) for unit in range(len(units))]
    np.testing.assert_allclose(np.concatenate(alone), together, rtol=0, atol=1e-12)
    backwards = model.score(units.take(np.arange(len(units))[::-1]), models.fingerprint)
    np.testing.assert_allclose(backwards[::-1], together, rtol=0, atol=1e-12)


def test_features_of_another_fingerprint_are_refused_by_name(logistic: Path, models: Any) -> None:
    model = models.load(logistic)
    with pytest.raises(FingerprintMismatchError) as error:
        model.score(models.units_of("logistic"), OTHER_FINGERPRINT, "efficientnet-lite0")
    assert str(error.value) == (
        f"the features were made by efficientnet-lite0@3f2a3f2a3f2a; {model.name} needs those of "
        "mobilenetv3-small@91cc91cc91cc. Run: lusfx extract SOURCES... --encoder mobilenetv3-small"
    )
    with pytest.raises(FingerprintMismatchError, match=r"made by @3f2a3f2a3f2a;"):
        model.require_fingerprint(OTHER_FINGERPRINT)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_refused(saved: Path, kind: str, models: Any, value: float) -> None:
    units = models.units_of(kind)
    if isinstance(units.features, Bags):  # the last row of the fourth bag, and the first of the eighth
        units.features.rows[units.features.starts[[4, 7]] - [1, 0], 2] = value
    else:
        units.features[[3, 7], 2] = value
    with pytest.raises(TaskModelError, match="not finite in 2 of 80 units, first in 3"):
        models.load(saved).score(units, models.fingerprint)


def test_features_of_another_form_are_refused(saved: Path, kind: str, models: Any) -> None:
    model, units = models.load(saved), models.units_of(kind)
    vectors = units.centres
    for wrong in (vectors[:, 1:], np.concatenate([vectors, vectors], axis=1)):
        with pytest.raises(TaskModelError, match=f"takes features of length 12, not {wrong.shape[1]}"):
            model.score(UnitFeatures(wrong, vectors), models.fingerprint)
    other = vectors if isinstance(units.features, Bags) else Bags(vectors, np.arange(len(vectors) + 1))
    with pytest.raises(TaskModelError, match="the head takes"):
        model.score(UnitFeatures(other, vectors), models.fingerprint)
    assert model.score(UnitFeatures(vectors[:0], vectors[:0]), models.fingerprint).shape == (0, 1)


# ---- far from the training set ------------------------------------------------------------------------------------


def test_units_far_from_the_training_set_are_told_apart(models: Any, tmp_path: Path) -> None:
    units = models.units_of("logistic")
    novelty = fit_novelty(units.centres, np.array([f"p-{row // 4}" for row in range(80)]))
    task = make_task(abstain=Abstention(familiar=0.95))
    facts = models.make_facts(task=task, novelty=NoveltyCard(limit=1.5))
    models.save(tmp_path / "m", facts, models.files_of(models.plain_head()) | {NOVELTY_FILE: novelty.to_bytes()})
    model = models.load(tmp_path / "m")
    far = UnitFeatures(units.features[:3], units.centres[:3] + np.array([[0], [100], [0]], np.float32))
    distances = novelty.distance(far.centres)
    assert [reason is None for reason in model.unfamiliar(model.distances(far))] == [True, False, True]
    reason = model.unfamiliar(model.distances(far))[1]
    assert reason.code == "unfamiliar"
    assert reason.detail == f"far from the training set: distance {distances[1]:.2f}, limit 1.50"
    assert model.unfamiliar(model.distances(far.take(np.zeros(0, np.intp)))) == []
    nowhere = UnitFeatures(units.features[:1], np.full_like(units.centres[:1], np.nan))
    assert [reason is None for reason in model.unfamiliar(model.distances(nowhere))] == [False]


def test_a_model_without_a_limit_answers_everything(logistic: Path, models: Any) -> None:
    units = models.units_of("logistic")
    far = UnitFeatures(units.features, units.centres + 1e6)
    assert models.load(logistic).unfamiliar(models.load(logistic).distances(far)) == [None] * 80
