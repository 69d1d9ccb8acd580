"""A study that trains networks: from clips, an architecture with random weights, frozen and fine-tuned."""

from __future__ import annotations

import csv
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="fine-tuning needs torch")
pytest.importorskip("timm", reason="fine-tuning needs timm")

from lusfx.contracts import Task
from lusfx.errors import RunInterruptedError, UsageError
from lusfx.plugins import build_registry
from lusfx.site_key import SiteKey
from lusfx.studies import RunsDone, forecast_study, study
from lusfx.synth import write_video

pytestmark = pytest.mark.slow

KEY = SiteKey(bytes(range(32)))


class Bright(Task):
    """The frame is bright, one answer a clip."""

    name, version, label_columns = "bright", 1, ("bright",)


class Frame(Task):
    """The frame is bright, one answer a frame."""

    name, version, unit, label_columns = "bright-frame", 1, "frame", ("bright",)


@pytest.fixture(autouse=True)
def tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    registry = build_registry([])
    catalogue: Any = registry.tasks
    for task in (Bright(), Frame()):
        catalogue.add(task.name, task, "a test")
    for module in ("run", "forecast"):
        monkeypatch.setattr(f"lusfx.studies.{module}.load_registry", lambda: registry)


@pytest.fixture
def config(tmp_path: Path) -> dict[str, Any]:
    """Bright and dark clips on black: of eight patients to train on, of four to test on."""
    tables = {}
    for name, patients in (("train", range(8)), ("external", range(20, 24))):
        rows = []
        for patient in patients:
            generator = np.random.default_rng(patient)
            frames = generator.integers(0, 60, (2, 64, 64)).astype(np.uint8) + np.uint8(150 * (patient % 2))
            (tmp_path / name).mkdir(exist_ok=True)
            write_video(tmp_path / name / f"{patient}.mp4", np.pad(frames, ((0, 0), (8, 8), (8, 8))), 20)
            rows.append({"path": f"{name}/{patient}.mp4", "patient_id": f"patient-{patient}", "bright": patient % 2})
        tables[name] = str(tmp_path / f"{name}.csv")
        with (tmp_path / f"{name}.csv").open("w", newline="") as stream:
            writer = csv.DictWriter(stream, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    tuned = {"epochs": 8, "batch_size": 4, "frames_per_step": 2, "lr": 0.01, "augmentation": "none"}
    return {
        "train": tables["train"],
        "tests": {"external": tables["external"]},
        "tasks": [{"task": "bright"}],
        "encoders": [{"name": "random", "architecture": "test_efficientnet", "size": 32}],
        "ways": [
            {"name": "linear", "kind": "head"},
            {"name": "tuned", "kind": "fine-tune", "settings": tuned, "frames_per_clip": 2, "repeats": 1},
        ],
        "baseline": {"encoder": "random", "way": "linear"},
        "fractions": [1.0],
        "folds": 2,
        "repeats": 2,
        "resamples": 20,
    }


def test_frozen_and_fine_tuned_are_compared_and_it_goes_on_where_it_was_stopped(
    tmp_path: Path, config: dict[str, Any]
) -> None:
    stop = threading.Event()

    def stop_after_a_network(told: Any) -> None:
        if isinstance(told, RunsDone) and told.done == 6:  # five heads, one network
            stop.set()

    with pytest.raises(RunInterruptedError, match="the scores of 6 of 8 runs are kept"):
        study(config, tmp_path / "out", site_key=KEY, threads=1, device="cpu", progress=stop_after_a_network, stop=stop)
    expected = forecast_study(config, tmp_path / "out", site_key=KEY, device="cpu", threads=1)
    assert [(runs.n_runs, runs.n_done) for runs in expected.runs] == [(5, 5), (3, 1)]
    result = study(config, tmp_path / "out", site_key=KEY, threads=1, device="cpu")
    assert (result.n_runs, result.n_new) == (8, 2)
    rows = {(row.way, row.test_set): row for row in result.rows}
    assert rows["tuned", "external"].auc.value > 0.9
    assert rows["tuned", "local"].n_draws == 1
    assert rows["linear", "local"].n_draws == 2
    assert rows["tuned", "local"].difference is not None
    assert all(row.training_patients == ((8, 8) if row.test_set == "external" else (4, 4)) for row in result.rows)


def test_what_cannot_be_fine_tuned_is_refused_before_anything_is_done(tmp_path: Path, config: dict[str, Any]) -> None:
    for change, message in (
        ({"tasks": [{"task": "bright-frame"}]}, "asked of single frames"),
        ({"ways": [*config["ways"][:1], {**config["ways"][1], "settings": {"epoch": 3}}]}, "epoch"),
        ({"ways": [*config["ways"][:1], {**config["ways"][1], "settings": {"seed": 3}}]}, "the seed is the study's"),
        ({"encoders": [{"name": "random", "architecture": "no-such-network"}]}, "no-such-network"),
    ):
        with pytest.raises(UsageError, match=message):
            study({**config, **change}, tmp_path / "out", site_key=KEY, device="cpu")
    assert not list((tmp_path / "out").glob("runs/*"))


def test_several_processes_train_what_one_does(tmp_path: Path, config: dict[str, Any]) -> None:
    config["ways"] = config["ways"][1:]
    config["baseline"]["way"] = "tuned"
    options: dict[str, Any] = {"site_key": KEY, "threads": 1, "device": "cpu"}
    one, several = (study(config, tmp_path / str(workers), workers=workers, **options) for workers in (1, 2))
    assert several.n_new == one.n_new == 3
    assert [row.auc for row in several.rows] == [row.auc for row in one.rows]
    runs = [sorted(path.name for path in (tmp_path / workers / "runs").iterdir()) for workers in ("1", "2")]
    assert runs[0] == runs[1]
