"""Evaluation refuses leaks: twelve are planted, and each is refused or shown to be impossible."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache
from lusfx.contracts import Task, Youden
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training import cross_validation
from lusfx.engine.training.cross_validation import CrossValidation, cross_validate
from lusfx.engine.training.learner import Candidate, Learner
from lusfx.engine.training.train import train_task
from lusfx.errors import LeakError, LusfxError, TableError, TaskModelError, TrainingRefusedError
from lusfx.heads import lusfx_register_heads
from lusfx.metrics import patient_bootstrap, roc_auc
from lusfx.metrics.interval import N_RESAMPLES
from lusfx.splits import Fold
from lusfx.task_model import UnitFeatures
from lusfx.testing.small_cache import SmallCache, make_small_cache
from lusfx.types import ClipEmbeddings

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_resamples")]
ROW = "evaluation refuses leaks"
N_LEAKS = 12
Rows = list[dict[str, str]]


class Lines(Task):
    """Lines, one answer a clip."""

    name = "lines"
    label_columns = ("lines",)


class OfExam(Lines):
    """Lines, one answer an exam."""

    name, unit = "of-exam", "exam"


class OfFrame(Lines):
    """Lines, one answer a frame."""

    name, unit = "of-frame", "frame"


@dataclass(frozen=True)
class Trained:
    """A model, what it was trained on, and other patients whose clips lie in the same cache."""

    model: Path
    seen: SmallCache
    others: Rows

    def table(self, rows: Rows) -> Path:
        """A label table beside the others, with these rows."""
        path = self.seen.labels.with_name("changed.csv")
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        return path

    @property
    def seen_rows(self) -> Rows:
        return read(self.seen.labels)

    def evaluate(self, rows: Rows, **more: Path) -> None:
        model = more.get("model", self.model)
        evaluate(model, self.table(rows), self.seen.cache, task=Lines(), site_key=self.seen.site_key)

    def train(self, rows: Rows, task: Task | None = None, out: str = "again") -> Path:
        place = self.model.with_name(out)
        train_task(
            [task or Lines()],
            self.table(rows),
            self.seen.cache,
            place,
            n_folds=2,
            n_repeats=1,
            force=True,
            site_key=self.seen.site_key,
        )
        return place


def read(table: Path) -> Rows:
    with table.open(newline="") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> Trained:
    root = tmp_path_factory.mktemp("leaks")
    seen = make_small_cache(root / "seen", Lines(), n_patients=8, clips_per_patient=2)
    others = make_small_cache(root / "others", Lines(), n_patients=6, clips_per_patient=2, first_patient=100)
    store = Cache.open(seen.cache).store(seen.store.spec)
    for key, clip in others.clips().items():
        store.write(key, clip)
    train_task([Lines()], seen.labels, seen.cache, root / "model", n_folds=2, n_repeats=1, site_key=seen.site_key)
    return Trained(root / "model", seen, read(others.labels))


def changed(rows: Rows, number: int, **cells: str) -> Rows:
    """The rows with other cells in one of them."""
    return [row | cells if place == number else row for place, row in enumerate(rows)]


def test_other_patients_are_judged(trained: Trained) -> None:
    """The tables that the leaks are planted in are sound without them."""
    trained.evaluate(trained.others)
    trained.train(trained.seen_rows)


REFUSALS: dict[str, tuple[type[LusfxError], Callable[[Trained], object]]] = {
    "1 a training patient, with other clips": (
        LeakError,
        lambda t: t.evaluate(changed(t.others, 3, patient_id=t.seen_rows[0]["patient_id"], exam_id="x")),
    ),
    "2 a training clip, under another patient": (
        LeakError,
        lambda t: t.evaluate(changed(t.others, 3, clip=t.seen_rows[0]["clip"])),
    ),
    "3 a training patient in capitals": (
        LeakError,
        lambda t: t.evaluate(changed(t.others, 3, patient_id=t.seen_rows[0]["patient_id"].upper())),
    ),
    "4 a training patient with a space": (
        LeakError,
        lambda t: t.evaluate(changed(t.others, 3, patient_id=t.seen_rows[0]["patient_id"].replace("made", "ma de"))),
    ),
    "5 a patient spelt in two ways": (
        TableError,
        lambda t: t.train(changed(t.seen_rows, 0, patient_id=t.seen_rows[0]["patient_id"].title())),
    ),
    "6 one content under two patients": (
        TrainingRefusedError,
        lambda t: t.train([*t.seen_rows, t.seen_rows[0] | {"patient_id": "somebody-else"}]),
    ),
    "7 an exam of two patients": (
        TrainingRefusedError,
        lambda t: t.train(changed(t.seen_rows, 0, patient_id="somebody-else"), OfExam()),
    ),
    "8 frames of one clip under two patients": (
        TrainingRefusedError,
        lambda t: t.train(
            [
                row | {"frame": str(frame), "patient_id": row["patient_id"] if frame or number else "somebody-else"}
                for number, row in enumerate(t.seen_rows)
                for frame in (0, 1)
            ],
            OfFrame(),
        ),
    ),
    "9 evidence without its patients": (TaskModelError, lambda t: t.evaluate(t.seen_rows, model=without_patients(t))),
}  # fmt: skip
"""What is planted, and how it is refused; the others are impossible, see below."""


def without_patients(trained: Trained) -> Path:
    """A copy of the model whose evidence names nobody."""
    model = trained.model.with_name("forgetful")
    shutil.rmtree(model, ignore_errors=True)
    shutil.copytree(trained.model, model)
    evidence = json.loads((model / "evidence.json").read_text())
    (model / "evidence.json").write_text(json.dumps(evidence | {"patients": [], "clips": []}))
    return model


@pytest.mark.parametrize("leak", REFUSALS)
def test_a_planted_leak_is_refused(trained: Trained, leak: str) -> None:
    error, plant = REFUSALS[leak]
    with pytest.raises(error) as caught:
        plant(trained)
    assert "made-up" not in str(caught.value)
    assert "somebody" not in str(caught.value)


# ---- near-duplicates ------------------------------------------------------------------------------------------------


def test_a_copy_that_was_trimmed_and_encoded_again_is_warned_of(trained: Trained) -> None:
    """The second half of a training clip, each value a little off, under another patient and another content's key."""
    cache = Cache.open(trained.seen.cache)
    (store,) = cache.stores()
    seen = max(trained.seen_rows, key=lambda row: store.read(row["clip"]).n_frames)["clip"]
    clip = store.read(seen)
    part = clip.embeddings[clip.n_frames // 2 :].astype(np.float32)
    part += np.random.default_rng(0).normal(scale=0.1, size=part.shape).astype(np.float32)
    n_frames, key = len(part), "77" * 32
    times_s, status = np.arange(n_frames) / 25, np.zeros(n_frames, np.uint8)
    store.write(key, ClipEmbeddings(part, times_s, np.arange(n_frames), status, clip.provenance))
    evaluated = [
        evaluate(trained.model, trained.table(rows), trained.seen.cache, task=Lines(), site_key=trained.seen.site_key)
        for rows in (trained.others, changed(trained.others, 3, clip=key))
    ]
    said = [[text for text in result.warnings if "like clips of this model's training" in text] for result in evaluated]
    assert said[0] == []
    assert len(said[1]) == 1
    assert f"{key[:12]} like {seen[:12]}" in said[1][0]


# ---- impossible by construction -------------------------------------------------------------------------------------

N_PATIENTS, N_FEATURES = 24, 6
TESTED = np.arange(2 * N_PATIENTS) < 16
"""Two clips a patient; those of the first eight are the test side of the only fold that is looked at."""


def samples_with(targets: np.ndarray, features: np.ndarray) -> Samples[UnitFeatures]:
    n = len(targets)
    units = UnitFeatures(features, features)
    names = np.array([f"clip-{number}" for number in range(n)])
    groups = np.array([f"p-{number // 2}" for number in range(n)])
    ones = np.ones(n)
    return Samples(names, groups, targets[:, None], targets, ones, units, names.tolist(), {})


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[np.ndarray, np.ndarray], CrossValidation]:
    """Cross-validates a search among several heads with calibration and thresholds, in one fold that is always the same."""
    fold = Fold(np.flatnonzero(~TESTED), np.flatnonzero(TESTED))
    rest = Fold(fold.test, fold.train)
    monkeypatch.setattr(cross_validation, "patient_folds", lambda *_: [fold, rest])
    logistic, lightgbm = ({s.name: s for s in lusfx_register_heads()}[name] for name in ("logistic", "lightgbm"))
    candidates = [
        Candidate(logistic, logistic.settings()),
        Candidate(logistic, logistic.settings.model_validate({"logit_variance": 0.01})),
        Candidate(lightgbm, lightgbm.settings.model_validate({"rounds": 3, "min_data_in_leaf": 2})),
    ]

    def judge(targets: np.ndarray, features: np.ndarray) -> CrossValidation:
        learner = Learner(candidates, None, 1, "platt", {"balanced": Youden()}, 0, lambda text: None)
        return cross_validate(learner, samples_with(targets, features), 0, 2, 1)

    return judge


@pytest.fixture
def material() -> tuple[np.ndarray, np.ndarray]:
    """Targets, and features that tell them a little."""
    generator = np.random.default_rng(1)
    targets = (np.arange(2 * N_PATIENTS) // 2) % 2
    features = generator.normal(size=(2 * N_PATIENTS, N_FEATURES)) + 0.7 * targets[:, None]
    return targets, features.astype(np.float32)


def test_10_scaling_never_sees_the_test_side(
    judged: Callable[..., CrossValidation], material: tuple[np.ndarray, np.ndarray]
) -> None:
    """One test patient's features grow a thousandfold: the others of the test side are answered as before."""
    targets, features = material
    before = judged(targets, features).probabilities[0]
    stretched = features.copy()
    stretched[:2] *= 1000
    after = judged(targets, stretched).probabilities[0]
    assert np.array_equal(before[2:16], after[2:16])
    assert not np.array_equal(before[16:], after[16:])  # where these patients are on the training side, all is another


def test_11_calibration_thresholds_and_search_never_see_the_labels_of_the_test_side(
    judged: Callable[..., CrossValidation], material: tuple[np.ndarray, np.ndarray]
) -> None:
    """All labels of the test side are turned over: probabilities, answers and the chosen head stay as they were."""
    targets, features = material
    before, after = judged(targets, features), judged(np.where(TESTED, 1 - targets, targets), features)
    assert np.array_equal(before.probabilities[0][TESTED], after.probabilities[0][TESTED])
    assert np.array_equal(before.answers["balanced"][0][TESTED], after.answers["balanced"][0][TESTED])
    assert before.chosen[0][0] == after.chosen[0][0]
    assert not np.array_equal(before.probabilities[0][~TESTED], after.probabilities[0][~TESTED])


def test_12_no_column_of_a_label_table_is_a_feature(trained: Trained) -> None:
    """A column that gives the answer away makes the same head, to the bit."""
    plain = trained.train(trained.seen_rows, out="plain")
    told = trained.train(
        [row | {"answer": row["lines"], "zone": row["lines"]} for row in trained.seen_rows], out="told"
    )
    heads = [hashlib.sha256((place / "1-head.safetensors").read_bytes()).hexdigest() for place in (plain, told)]
    assert heads[0] == heads[1]


def test_twelve_leaks_were_planted(measured: Callable[..., None]) -> None:
    impossible = [name for name in globals() if name.startswith(("test_10_", "test_11_", "test_12_"))]
    assert len(REFUSALS) + len(impossible) == N_LEAKS
    measured(ROW, {"planted": N_LEAKS, "refused": len(REFUSALS), "impossible": len(impossible)})


# ---- label shuffles -------------------------------------------------------------------------------------------------


def null_auc(run: int) -> tuple[float, float]:
    """The interval of an AUC where nothing is to be found: scores and labels both hang on the patient, not on each other."""
    generator = np.random.default_rng((77, run))
    patients = np.arange(160) // 4
    scores = generator.normal(size=40)[patients] + generator.normal(size=160)
    targets = (generator.normal(size=40)[patients] + generator.normal(size=160) > 0).astype(np.int64)
    probabilities = 1 / (1 + np.exp(-scores))
    groups = np.array([f"p-{patient}" for patient in patients])
    interval = patient_bootstrap(roc_auc, targets, probabilities, groups, seed=run, n_resamples=N_RESAMPLES)
    return interval.low, interval.high


def test_intervals_of_shuffled_labels_cover_one_half(
    trials: Callable[[int, int], int], measured: Callable[..., None]
) -> None:
    n_runs = trials(8, 500)
    covered = sum(low <= 0.5 <= high for low, high in map(null_auc, range(n_runs)))
    share = covered / n_runs
    measured("intervals of shuffled labels", {"runs": n_runs, "cover 0.5": covered, "share": round(share, 3)})
    assert 0.93 <= share <= 0.97 if n_runs >= 500 else covered >= n_runs - 3
