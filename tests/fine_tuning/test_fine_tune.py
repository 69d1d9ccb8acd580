"""A fine-tuning as a whole: from a label table to a task model that needs no encoder but its own."""

from __future__ import annotations

import csv
import json
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="fine-tuning needs torch")
pytest.importorskip("timm", reason="fine-tuning needs timm")

from lusfx.cache import Cache  # noqa: E402 - after the skip
from lusfx.contracts import Abstention, EncoderRequest, Mean, Task  # noqa: E402
from lusfx.encoders import open_directory  # noqa: E402
from lusfx.encoders.card import read_card  # noqa: E402
from lusfx.engine.evaluation.evaluate import evaluate  # noqa: E402
from lusfx.engine.extraction.extract import extract  # noqa: E402
from lusfx.engine.scoring.score import score  # noqa: E402
from lusfx.engine.training.result import TrainingResult  # noqa: E402
from lusfx.errors import (  # noqa: E402
    CacheError,
    LeakError,
    LusfxError,
    MissingExtraError,
    RunInterruptedError,
    TableError,
    TaskModelError,
    TrainingRefusedError,
    UsageError,
)
from lusfx.fine_tuning.progress import FineTuningProgress  # noqa: E402
from lusfx.fine_tuning.run import fine_tune  # noqa: E402
from lusfx.heads import lusfx_register_heads  # noqa: E402
from lusfx.networks.decoded_frames import DecodingProgress  # noqa: E402
from lusfx.networks.frame_store import FRAMES_FILE  # noqa: E402
from lusfx.site_key import SECRET_BYTES, SiteKey  # noqa: E402
from lusfx.synth import write_video  # noqa: E402
from lusfx.task_model import TaskModel, UnitFeatures, load_task_model, verify_task_model  # noqa: E402
from tests.conftest import write_bare_encoder  # noqa: E402

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("few_resamples")]

KEY = SiteKey(bytes(range(SECRET_BYTES)))
HEADS = {spec.name: spec for spec in lusfx_register_heads()}
TINY: dict[str, Any] = {
    "architecture": "test_efficientnet",
    "size": 64,
    "epochs": 6,
    "batch_size": 8,
    "frames_per_step": 2,
    "lr": 3e-3,
    "augmentation": "none",
    "n_folds": 2,
    "threads": 1,
}
ONCE: dict[str, Any] = TINY | {"epochs": 1}


class Stripes(Task):
    """Does the clip show stripes?"""

    name = "stripes"
    label_columns = ("stripes",)


class Lines(Task):
    """Which stripes does the clip show?"""

    name, kind = "lines", "multi-label"
    classes = ("upright", "lying")
    label_columns = ("stripes", "lying")
    abstain = Abstention(familiar=0.9, min_frames=2)


class OfFrame(Stripes):
    """Does the frame show stripes?"""

    name, unit = "of-frame", "frame"


class Aggregated(Stripes):
    """Do the frames show stripes?"""

    name, aggregate = "aggregated", Mean()


def write_clips(folder: Path, n_patients: int, first: int = 0) -> Path:
    """Two clips a patient, noise on black with upright or lying bright stripes, or both, or neither; and their label table."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for patient in range(first, first + n_patients):
        for number in range(2):
            generator = np.random.default_rng((patient, number))
            upright, lying = patient % 2, (patient // 2) % 2
            frames = generator.integers(20, 90, (3, 96, 96)).astype(np.uint8)
            for column in generator.choice(90, 5 * upright, replace=False):
                frames[:, 5:, column : column + 4] = 235
            for row in generator.choice(90, 5 * lying, replace=False):
                frames[:, row : row + 4, 5:] = 235
            name = f"jane-doe-{patient:04}-{number}.mp4"
            write_video(folder / name, np.pad(frames, ((0, 0), (8, 8), (8, 8))), 20)
            rows.append(
                {"path": name, "patient_id": f"jane-{patient:04}", "stripes": str(upright), "lying": str(lying)}
            )
    return write_table(folder / "labels.csv", rows)


def write_table(place: Path, rows: Sequence[Mapping[str, str]]) -> Path:
    with place.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return place


def rows_of(labels: Path) -> list[dict[str, str]]:
    with labels.open(newline="") as stream:
        return list(csv.DictReader(stream))


def load(directory: Path) -> TaskModel:
    return load_task_model(directory, HEADS)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Where other tests use the same cores, threads wait for each other at every layer."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Label table of sixteen patients. Not to be changed."""
    return write_clips(tmp_path_factory.mktemp("clips"), 16)


@pytest.fixture(scope="module")
def tuned(clips: Path, tmp_path_factory: pytest.TempPathFactory, few_resamples: None) -> TrainingResult:
    """One run of one outcome, whose frames were kept. Not to be changed."""
    place = tmp_path_factory.mktemp("tuned")
    return fine_tune(Stripes(), clips, place / "model", work=place / "work", site_key=KEY, **TINY)


@pytest.fixture
def model(tuned: TrainingResult, tmp_path: Path) -> Path:
    """A copy of its model, for the test to change."""
    return Path(shutil.copytree(tuned.out, tmp_path / "model"))


def test_a_finding_is_learnt_and_judged_on_patients_never_seen(tuned: TrainingResult) -> None:
    assert tuned.outcomes[0].metrics["roc_auc"].value > 0.85
    assert tuned.summary().startswith("stripes: cross-validated AUC ")
    assert "from 32 clips of 16 patients (16 'yes', 0 not known)" in tuned.summary()
    assert verify_task_model(tuned.out, HEADS) == []


def test_the_model_says_what_it_is(tuned: TrainingResult) -> None:
    card = load(tuned.out).card
    encoder = read_card(tuned.out / "encoder")
    assert card.features.encoder == encoder.name == "stripes-test_efficientnet"
    assert (card.task.pooling, card.outcomes[0].head.name, dict(card.outcomes[0].head.settings)) == (
        "mean",
        "logistic",
        {},
    )
    assert (card.training.n_units, card.training.n_clips, card.training.n_patients) == (32, 32, 16)
    assert encoder.training_data == "96 frames of 32 clips of 16 patients, with the labels of task stripes"
    assert encoder.licence == "not stated"
    text = (tuned.out / "encoder" / "MODEL_CARD.md").read_text()
    for said in ("random weights", "fine-tuned end to end", "| epochs | 6 |", "## Limits"):
        assert said in text, said


def test_the_report_and_the_evidence_have_every_network(tuned: TrainingResult) -> None:
    page = (tuned.out / "report.html").read_text()
    assert page.count("<h3>Loss by epoch</h3>") == 3
    kept = json.loads((tuned.out / "evidence.json").read_text())["fine_tuning"]
    assert [fit["name"] for fit in kept["fits"]] == [
        "repeat 1 of 1, fold 1 of 2",
        "repeat 1 of 1, fold 2 of 2",
        "all patients",
    ]
    assert all(len(fit["training_loss"]) == len(fit["validation_loss"]) == 6 for fit in kept["fits"])
    assert kept["settings"]["size"] == 64
    assert json.loads(json.dumps(tuned.as_dict(), allow_nan=False))["fine_tuning"] == kept


def test_head_and_encoder_give_what_the_network_gave(tuned: TrainingResult) -> None:
    """The result's features are the trained network's; the saved encoder's and head's are the same to 1e-4."""
    frames_file = next((tuned.out.parent / "work").glob(f"frames-*/{FRAMES_FILE}"))
    frames = np.fromfile(frames_file, np.uint8).reshape(-1, 64, 64)
    index = [
        json.loads(line.partition(" ")[2]) for line in (frames_file.parent / "clips.jsonl").read_text().splitlines()
    ]
    first = {entry["key"]: entry["first"] for entry in index if "key" in entry}
    encoder = open_directory(tuned.out / "encoder", EncoderRequest("", device="cpu", threads=1))
    embeddings = encoder.encode(frames)
    means = np.stack([embeddings[first[key] : first[key] + 3].mean(axis=0) for key in tuned.samples.keys.tolist()])
    of_network = tuned.samples.units.centres
    np.testing.assert_allclose(means, of_network, atol=1e-4)
    served = load(tuned.out).score(UnitFeatures(means, means), tuned.fingerprint)[:, 0]
    learnt = tuned.outcomes[0].learnt.probabilities(tuned.samples.units)
    np.testing.assert_allclose(served, learnt, atol=1e-4)


def test_scoring_needs_no_other_encoder(tuned: TrainingResult, clips: Path, tmp_path: Path) -> None:
    result = score([clips], [tuned.out], tmp_path / "cache", tmp_path / "scores.csv", threads=1, site_key=KEY)
    assert result.rows == {"scored": 32}
    assert Cache.open(tmp_path / "cache").stores()[0].fingerprint == tuned.fingerprint
    probability = {row["clip"]: float(row["probability"]) for row in rows_of(tmp_path / "scores.csv")}
    expected = tuned.outcomes[0].learnt.probabilities(tuned.samples.units)
    # The cache keeps half precision.
    np.testing.assert_allclose([probability[key] for key in tuned.samples.keys.tolist()], expected, atol=5e-3)
    again = score([], [tuned.out], tmp_path / "cache", tmp_path / "again.csv", site_key=KEY)
    assert again.rows == {"scored": 32}


def test_it_is_evaluated_on_other_patients_and_refused_on_its_own(
    tuned: TrainingResult, clips: Path, tmp_path: Path
) -> None:
    others = write_clips(tmp_path / "others", 8, first=100)
    extract([others], tmp_path / "cache", encoder=str(tuned.out / "encoder"), threads=1, site_key=KEY)
    result = evaluate(tuned.out, others, tmp_path / "cache", task=Stripes(), site_key=KEY)
    assert result.outcomes[0].metrics["roc_auc"].value > 0.85
    extract([clips], tmp_path / "cache", encoder=str(tuned.out / "encoder"), threads=1, site_key=KEY)
    with pytest.raises(LeakError, match="16 patients of the label table were in this model's training"):
        evaluate(tuned.out, clips, tmp_path / "cache", task=Stripes(), site_key=KEY)


def test_a_cache_without_its_features_is_told_of_with_the_way_to_make_them(
    tuned: TrainingResult, clips: Path, tmp_path: Path
) -> None:
    Cache.open(tmp_path / "cache", create=True)
    for ask in (
        lambda: evaluate(tuned.out, clips, tmp_path / "cache", task=Stripes(), site_key=KEY),
        lambda: score([], [tuned.out], tmp_path / "cache", tmp_path / "scores.csv", site_key=KEY),
    ):
        with pytest.raises(CacheError, match=r"no features that stripes@.* takes .*--encoder MODEL/encoder"):
            ask()


def test_damage_to_the_encoder_stops_scoring(model: Path, clips: Path, tmp_path: Path) -> None:
    weights = model / "encoder" / "weights.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(TaskModelError, match=r"encoder/weights\.safetensors does not have the content"):
        score([clips], [model], tmp_path / "cache", tmp_path / "scores.csv", site_key=KEY)
    assert not (tmp_path / "cache").exists()


def test_nothing_names_a_patient_or_a_file(tuned: TrainingResult) -> None:
    files = [path for path in tuned.out.parent.rglob("*") if path.is_file()]
    assert len(files) > 9
    for path in files:
        assert b"jane" not in path.read_bytes(), path.name


def test_kept_frames_are_found_again_and_the_same_seed_gives_the_same_weights(
    tuned: TrainingResult, clips: Path, tmp_path: Path
) -> None:
    told: list[Any] = []
    work = shutil.copytree(tuned.out.parent / "work", tmp_path / "work")
    again = fine_tune(Stripes(), clips, tmp_path / "model", work=Path(work), site_key=KEY, progress=told.append, **TINY)
    assert not any(isinstance(entry, DecodingProgress) for entry in told)
    assert len(list((tmp_path / "work").iterdir())) == 2  # the frames and the lock
    assert again.fingerprint == tuned.fingerprint
    one, same = (run.outcomes[0].validation.probabilities.tolist() for run in (tuned, again))
    assert one == same
    last = [entry for entry in told if isinstance(entry, FineTuningProgress)][-1]
    assert (last.name, last.number, last.n_networks) == ("all patients", 3, 3)
    assert last.seconds_left == 0


def test_several_outcomes_share_a_network_and_begin_with_an_encoder(
    tuned: TrainingResult, clips: Path, tmp_path: Path
) -> None:
    """Unknown labels, a bad file, and clips that are too short are left out and counted."""
    folder = Path(shutil.copytree(clips.parent, tmp_path / "clips"))
    rows = rows_of(folder / "labels.csv")
    rows[0]["lying"] = ""
    rows[2]["stripes"] = rows[2]["lying"] = ""
    (folder / rows[4]["path"]).write_bytes(b"no video")
    write_video(folder / rows[6]["path"], np.full((1, 96, 96), 90, np.uint8), 20)
    result = fine_tune(
        Lines(), write_table(folder / "labels.csv", rows), tmp_path / "model", site_key=KEY,
        encoder=str(tuned.out / "encoder"), **{name: value for name, value in ONCE.items() if name != "architecture"},
    )  # fmt: skip
    assert [outcome.n_units for outcome in result.outcomes] == [29, 28]
    assert (result.n_not_known, result.n_not_cached) == (1, 2)
    assert dict(result.samples.reasons) == {"too-few-frames": 1}
    assert any("1 labelled clips could not be decoded: 1 failed: " in warning for warning in result.warnings)
    assert result.fine_tuning is not None
    assert "stripes-test_efficientnet" in result.fine_tuning.beginning
    assert result.fine_tuning.settings.backbone_lr == pytest.approx(3e-4)
    loaded = load(tmp_path / "model")
    assert loaded.card.novelty is not None
    assert len(loaded.heads) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "model"]  # no frames stay behind


def test_a_network_that_begins_with_an_encoder_keeps_its_layer_and_normalisation(
    cut_encoder: Path, clips: Path, tmp_path: Path
) -> None:
    own = {name: value for name, value in ONCE.items() if name not in {"architecture", "size", "augmentation"}}
    result = fine_tune(
        Stripes(), clips, tmp_path / "model", encoder=str(cut_encoder), augmentation="degraded", site_key=KEY, **own
    )
    before, after = read_card(cut_encoder), read_card(result.out / "encoder")
    for name in ("architecture", "layer", "dim", "mean", "std"):
        assert getattr(after.identity, name) == getattr(before.identity, name), name
    assert after.identity.weights_sha256 != before.identity.weights_sha256
    assert after.preprocess == before.preprocess
    assert "after lusfx's own degradation" in (result.out / "encoder" / "MODEL_CARD.md").read_text()
    load(result.out)


def test_an_architecture_may_end_at_a_layer(clips: Path, tmp_path: Path) -> None:
    changed = {"architecture": "test_efficientnet", "layer": "blocks.2", "size": 48}
    result = fine_tune(Stripes(), clips, tmp_path / "model", site_key=KEY, **(ONCE | changed))
    identity = read_card(result.out / "encoder").identity
    assert (identity.architecture, identity.layer) == ("timm/test_efficientnet", "blocks.2")


def test_a_run_that_is_stopped_leaves_no_model(clips: Path, tmp_path: Path) -> None:
    stop = threading.Event()

    def told(progress: Any) -> None:
        if isinstance(progress, FineTuningProgress) and progress.training.step == 2:
            stop.set()

    with pytest.raises(RunInterruptedError, match="no task model was written"):
        fine_tune(Stripes(), clips, tmp_path / "model", site_key=KEY, stop=stop, progress=told, **TINY)
    with pytest.raises(RunInterruptedError, match="while clips were decoded"):
        fine_tune(Stripes(), clips, tmp_path / "model", site_key=KEY, stop=stop, **TINY)
    assert list(tmp_path.iterdir()) == []


# ---- refusals -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "changed", "message"),
    [
        (OfFrame(), {}, "asked of single frames, and fine-tuning is of clips and exams"),
        (Aggregated(), {}, "aggregates the probabilities of frames"),
        (Stripes(), {"encoder": "efficientnet-lite0"}, "not both"),
        (Stripes(), {"architecture": None, "weights": Path("w.safetensors")}, "--weights goes with --architecture"),
        (Stripes(), {"weights": Path("w.safetensors")}, "the weights file cannot be read"),
        (Stripes(), {"architecture": "no-such"}, "timm knows no model 'no-such'"),
        (Stripes(), {"epochs": 0}, "epochs: "),
        (Stripes(), {"n_folds": 1}, "at least 2 folds"),
        (Stripes(), {"frames_per_clip": 0}, "frames-per-clip"),
        (Stripes(), {"n_folds": 9}, "fewer than the 9 folds"),
    ],
)
def test_what_makes_no_sense_is_refused(
    task: Task, changed: dict[str, Any], message: str, clips: Path, tmp_path: Path
) -> None:
    with pytest.raises((UsageError, TrainingRefusedError), match=message):
        fine_tune(task, clips, tmp_path / "model", site_key=KEY, **(TINY | changed))
    assert list(tmp_path.iterdir()) == []


def test_a_graph_without_weights_cannot_be_trained(clips: Path, tmp_path: Path) -> None:
    write_bare_encoder(tmp_path / "bare", 4)
    with pytest.raises(UsageError, match=r"bare cannot be trained: it is no timm architecture with its weights"):
        fine_tune(Stripes(), clips, tmp_path / "model", encoder=str(tmp_path / "bare"), site_key=KEY)


def test_tables_that_cannot_be_learnt_from_are_refused(clips: Path, tmp_path: Path) -> None:
    rows = rows_of(clips)
    named_otherwise = [{("clip" if name == "path" else name): cell for name, cell in row.items()} for row in rows]
    without = [{name: cell for name, cell in row.items() if name != "stripes"} for row in rows]
    blank = [row | {"stripes": ""} for row in rows]
    elsewhere = [row | {"path": f"gone/{row['path']}"} for row in rows]
    cases: list[tuple[list[dict[str, str]], type[LusfxError], str]] = [
        (named_otherwise, TableError, "no column 'path'"),
        (without, TableError, "reads the column 'stripes'"),
        (blank, TrainingRefusedError, "no row of the label table has a label"),
        (elsewhere, TrainingRefusedError, "none of the 32 labelled clips could be used: 32 failed: "),
    ]
    for changed, kind, message in cases:
        with pytest.raises(kind, match=message) as error:
            fine_tune(
                Stripes(), write_table(tmp_path / "labels.csv", changed), tmp_path / "model", site_key=KEY, **TINY
            )
        assert "jane" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.csv"]


def test_what_is_in_the_way_is_left_as_it_is(clips: Path, tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "thesis.txt").write_text("years of work")
    with pytest.raises(TaskModelError, match="left as it is"):
        fine_tune(Stripes(), clips, tmp_path / "model", site_key=KEY, **TINY)


def test_without_timm_the_extra_is_named(clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'lusfx\[timm\]'"):
        fine_tune(Stripes(), clips, tmp_path / "model", site_key=KEY, **TINY)


def test_frames_are_taken_as_the_encoder_will_see_them(tuned: TrainingResult, clips: Path, tmp_path: Path) -> None:
    """The store holds what extraction prepares: the embeddings that it caches are those of the same frames."""
    extract([clips], tmp_path / "cache", encoder=str(tuned.out / "encoder"), threads=1, site_key=KEY)
    store = Cache.open(tmp_path / "cache").find(tuned.fingerprint)
    for row, key in enumerate(tuned.samples.keys.tolist()[:4]):
        mean = store.read(key).embeddings.astype(np.float32).mean(axis=0)
        np.testing.assert_allclose(mean, tuned.samples.units.centres[row], atol=5e-3)
