"""Runs the command line, in a process of its own as a user does or in the tests' own. And exams of stripes, from which anything
learns."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.cli import main
from lusfx.site_key import SiteKey

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
def lusfx_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lusfx:
    """Runs ``lusfx`` with arguments in this process, which spares seconds of imports."""
    from threadpoolctl import threadpool_limits

    def run(*arguments: object) -> Run:
        monkeypatch.setattr(sys, "argv", ["lusfx", *map(str, arguments)])
        monkeypatch.chdir(tmp_path)
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err), threadpool_limits(1), pytest.raises(SystemExit) as ended:
            main()
        return Run(ended.value.code or 0, out.getvalue(), err.getvalue())

    return run


@pytest.fixture
def lusfx(tmp_path: Path) -> Lusfx:
    """Runs ``lusfx`` with arguments in a process of its own; warnings are errors in there, too."""

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
def made_exams(make_archive: Callable[..., Any]) -> Any:
    """Sixteen patients' exams, written and extracted once for all tests. Not to be changed."""
    return make_archive(lambda folder: write_exams(folder, 16), n_clips=32)


@pytest.fixture
def exams(made_exams: Any, own_copy: Callable[[Any], Any]) -> Any:
    """A copy of these exams and their cache that the test may change."""
    return own_copy(made_exams)


@pytest.fixture(scope="session")
def made_model(made_exams: Any, tmp_path_factory: pytest.TempPathFactory, site_key: SiteKey) -> Path:
    """A task model of B-lines, trained once on these exams. Not to be changed."""
    from lusfx.engine.training.train import train_task

    out = tmp_path_factory.mktemp("striped") / "model"
    train_task(["b-lines"], made_exams.labels, made_exams.cache, out, n_folds=2, n_repeats=1, site_key=site_key)
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
def train(lusfx_here: Lusfx, exams: Any) -> Callable[..., Run]:
    """Runs ``lusfx train-task`` on the exams: tasks, then options."""

    def run(*arguments: object, out: str = "model", by: Lusfx = lusfx_here) -> Run:
        return by(
            "train-task", *arguments, "--labels", exams.labels, "--cache", exams.cache, "--out", out, "--json",
            *([] if "--folds" in arguments else ["--folds", 3]), *([] if "--repeats" in arguments else ["--repeats", 1]),
        )  # fmt: skip

    return run


@pytest.fixture
def rewrite(exams: Any) -> Callable[[Callable[[list[dict[str, str]]], None]], None]:
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
