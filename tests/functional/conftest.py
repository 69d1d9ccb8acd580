"""Runs the command line as a user does: in a process of its own. And exams of stripes, from which anything learns."""

from __future__ import annotations

import csv
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.site_key import SECRET_BYTES, SiteKey

ZONES = ("L1", "L2", "R1")
N_FRAMES = 3


@dataclass(frozen=True)
class Run:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Lusfx = Callable[..., Run]


@pytest.fixture
def lusfx(tmp_path: Path) -> Lusfx:
    """Runs ``lusfx`` with arguments; warnings are errors in there, too."""

    def run(*arguments: object, timeout_s: float = 120) -> Run:
        # One thread: on problems as small as these, several wait for each other, longest where tests run side by side.
        environment = os.environ | {"PYTHONWARNINGS": "error", "PYTHONIOENCODING": "utf-8", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(
            [sys.executable, "-m", "lusfx", *map(str, arguments)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Run(done.returncode, done.stdout, done.stderr)

    return run


@dataclass(frozen=True)
class Exams:
    """Clips with their label table, and a cache that holds all of them."""

    folder: Path
    labels: Path
    cache: Path


def write_exams(folder: Path, n_patients: int, first_patient: int = 1) -> Path:
    """Write two clips a patient and their label table.

    The frames are noise with as many bright upright stripes as the severity says, lying ones where it is low, and a bright
    lower half in a pleural view: what differs could not be plainer, so that tests of training need few clips. Severities
    take turns from patient to patient.
    """
    from lusfx.synth import write_video

    rows = []
    for patient in range(first_patient, first_patient + n_patients):
        for number in range(2):
            generator = np.random.default_rng((patient, number))
            severity, pleural = patient % 4, (patient // 4 + number) % 2
            frames = generator.integers(20, 90, (N_FRAMES, 96, 96)).astype(np.uint8)
            if severity < 2:
                frames[:, 20:90:16] = 220
            for stripe in range(2 * severity):
                frames[:, 10:, 12 * stripe + 6 : 12 * stripe + 10] = 235
            if pleural:
                frames[:, 60:] = np.maximum(frames[:, 60:], 150)
            name = f"exam-{patient:04}-{number + 1}.mp4"
            folder.mkdir(parents=True, exist_ok=True)
            write_video(folder / name, frames, 20)
            rows.append(
                {
                    "path": name,
                    "patient_id": f"patient-{patient:04}",
                    "exam_id": f"exam-{patient:04}",
                    "zone": ZONES[number],
                    "view": ("parenchymal", "pleural")[pleural],
                    "a_lines": int(severity < 2),
                    "b_lines": int(severity > 0),
                    "severity": severity,
                }
            )
    labels = folder / "labels.csv"
    with labels.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return labels


@pytest.fixture(scope="session")
def made_exams(tmp_path_factory: pytest.TempPathFactory) -> Exams:
    """Sixteen patients' exams, written and extracted once for all tests. Not to be changed."""
    from lusfx.engine.extract import extract

    folder = tmp_path_factory.mktemp("striped")
    labels = write_exams(folder / "exams", 16)
    result = extract([labels], folder / "cache", site_key=SiteKey(bytes(range(SECRET_BYTES))))
    assert result.counts == {"encoded": 32}
    return Exams(folder / "exams", labels, folder / "cache")


@pytest.fixture
def exams(made_exams: Exams, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Exams:
    """A copy of these exams and their cache that the test may change; the site key is the one they were made with."""
    shutil.copytree(made_exams.folder, tmp_path / "exams")
    shutil.copytree(made_exams.cache, tmp_path / "cache")
    key_file = tmp_path / "site.key"
    key_file.write_text(bytes(range(SECRET_BYTES)).hex())
    key_file.chmod(0o600)
    monkeypatch.setenv("LUSFX_SITE_KEY", str(key_file))
    return Exams(tmp_path / "exams", tmp_path / "exams" / "labels.csv", tmp_path / "cache")


@pytest.fixture(scope="session")
def made_model(made_exams: Exams, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task model of B-lines, trained once on these exams. Not to be changed."""
    from lusfx.engine.train import train_task

    out, key = tmp_path_factory.mktemp("striped") / "model", SiteKey(bytes(range(SECRET_BYTES)))
    train_task(["b-lines"], made_exams.labels, made_exams.cache, out, n_folds=2, n_repeats=1, site_key=key)
    return out


@pytest.fixture
def model(made_model: Path, tmp_path: Path) -> Path:
    """A copy of this model, called ``model`` where ``lusfx`` is run."""
    return Path(shutil.copytree(made_model, tmp_path / "model"))


@pytest.fixture
def other_exams(tmp_path: Path) -> Path:
    """Label table of four more patients' exams, one of each severity, of which no cache knows yet."""
    return write_exams(tmp_path / "other", 4, first_patient=101)


@pytest.fixture
def train(lusfx: Lusfx, exams: Exams) -> Callable[..., Run]:
    """Runs ``lusfx train-task`` on the exams: tasks, then options."""

    def run(*arguments: object, out: str = "model") -> Run:
        return lusfx(
            "train-task", *arguments, "--labels", exams.labels, "--cache", exams.cache, "--out", out, "--folds", 3,
            "--json", *([] if "--repeats" in arguments else ["--repeats", 1]),
        )  # fmt: skip

    return run


@pytest.fixture
def rewrite(exams: Exams) -> Callable[[Callable[[list[dict[str, str]]], None]], None]:
    """Changes the rows of the label table."""

    def change_rows(change: Callable[[list[dict[str, str]]], None]) -> None:
        with exams.labels.open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        change(rows)
        with exams.labels.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    return change_rows
