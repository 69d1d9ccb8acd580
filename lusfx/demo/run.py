"""The whole path on synthetic patients: draw, encode, train, evaluate, score, measure, and one page about it."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache
from lusfx.contracts import EncoderRequest, Task
from lusfx.demo.cines import choose_clips, make_browser, prepared_images
from lusfx.demo.folder import DemoFolder
from lusfx.demo.hospital import LABELS, PatientSet, patient_sets, simulate_set
from lusfx.demo.page import demo_page
from lusfx.demo.result import DemoResult, Stage, TaskResult
from lusfx.demo.saving import Saving, measure_saving
from lusfx.demo.tasks import demo_tasks
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.evaluation.evaluate import evaluate
from lusfx.engine.evaluation.result import EvaluationResult
from lusfx.engine.extraction.extract import ExtractResult, Progress, extract
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.scoring.result import ScoreResult
from lusfx.engine.scoring.score import score
from lusfx.engine.training.report import stated
from lusfx.engine.training.result import TrainingResult
from lusfx.engine.training.train import train_task
from lusfx.errors import RunInterruptedError, TrainingRefusedError, UsageError
from lusfx.plugins import Registry, load_registry
from lusfx.report import write_page
from lusfx.task_model import TaskModel, load_task_model

FEWEST_PATIENTS = 24
"""With fewer, an effusion is too rare to be learnt and judged."""
PAGE = "demo.html"
FOLDS, FOLDS_OF_FEW = 5, 3
MANY = 64
"""Patients from which on there are five folds: each fold needs a patient with an effusion."""
N_REPEATS = 1
SAVING_FRAMES = 128
DRAW, ENCODE = "draw", "encode"


@dataclass(slots=True)
class _Demo:
    """A run of the demo with what its stages share."""

    folder: DemoFolder
    on_stage: Callable[[Stage], None]
    progress: Callable[[str], None]
    stop: threading.Event
    registry: Registry = field(default_factory=load_registry)
    stages: list[Stage] = field(default_factory=list)

    def check(self) -> None:
        """End here if asked to."""
        if self.stop.is_set():
            raise RunInterruptedError("stopped. Run the same command again to go on from here")

    def done(self, name: str, started: float, said: str, first_s: float | None = None) -> None:
        """Put a stage on record."""
        stage = Stage(name, said, time.monotonic() - started, first_s)
        self.stages.append(stage)
        self.on_stage(stage)
        self.check()

    def report(self, text: str) -> None:
        """Say what is being done, and end here if asked to."""
        self.check()
        self.progress(text)

    def draw(self, sets: tuple[PatientSet, ...]) -> int:
        """Draw the patients that are not there yet; returns how many."""
        started, counted = time.monotonic(), 0
        n_all = sum(patients.n_patients for patients in sets)

        def on_patient() -> None:
            nonlocal counted
            counted += 1
            self.report(f"drawing synthetic patient {counted} of at most {n_all}")

        try:
            n_drawn = sum(simulate_set(self.folder.patients(p.name), p, self.folder.seed, on_patient) for p in sets)
        finally:
            if counted:
                self.folder.add_work(DRAW, time.monotonic() - started)
        n_clips = sum(patients.n_clips for patients in sets)
        found = f", {n_all - n_drawn} of them found" if n_drawn < n_all else ""
        said = f"{n_clips} synthetic clips of {n_all} synthetic patients{found}"
        self.done(DRAW, started, said, None if n_drawn else self.folder.work_s.get(DRAW))
        return n_drawn

    def encode(self, sets: tuple[PatientSet, ...]) -> ExtractResult:
        """Encode what the demo's cache lacks."""
        started = time.monotonic()

        def on_clip(progress: Progress) -> None:
            self.progress(f"encoding: {progress.settled} of {progress.found} clips, {progress.frames} frames")

        extraction = extract(
            [self.folder.patients(patients.name) / LABELS for patients in sets],
            self.folder.cache,
            site_key=self.folder.site_key(),
            progress=on_clip,
            stop=self.stop,
        )
        if extraction.frames:
            self.folder.add_work(ENCODE, time.monotonic() - started)
        self.check()
        first_s = None if extraction.frames else self.folder.work_s.get(ENCODE)
        self.done(ENCODE, started, extraction.summary(), first_s)
        return extraction

    def train_and_judge(self, task: Task) -> TaskResult:
        """Train on the training set, judge on the two others."""
        folder, key = self.folder, self.folder.site_key()
        started = time.monotonic()
        shutil.rmtree(folder.model(task.name), ignore_errors=True)  # an earlier run's, of the same patients
        try:
            (trained,) = train_task(
                [task],
                folder.patients("training") / LABELS,
                folder.cache,
                folder.model(task.name),
                n_folds=FOLDS if folder.n_patients >= MANY else FOLDS_OF_FEW,
                n_repeats=N_REPEATS,
                seed=folder.seed,
                site_key=key,
                force=True,
                progress=self.report,
            )
        except TrainingRefusedError as error:
            raise UsageError(
                f"by chance these synthetic patients are too few of a kind to train on: {error}. Take another --seed or more "
                "--patients, and another OUT"
            ) from None
        said = f"AUC {_auc(trained)}, cross-validated on {len(trained.samples)} clips of {trained.samples.n_patients} patients"
        self.done(f"train {task.name}", started, said)
        started = time.monotonic()
        judged = []
        for name in ("local", "external"):
            report = folder.evaluation(task.name, name)
            report.parent.mkdir(mode=0o700, exist_ok=True)
            self.report(f"{task.name}: judging it on the {name} test set")
            labels = folder.patients(name) / LABELS
            judged.append(
                evaluate(
                    folder.model(task.name),
                    labels,
                    folder.cache,
                    task=task,
                    seed=folder.seed,
                    report=report,
                    force=True,
                    site_key=key,
                )
            )
        local, external = judged
        self.done(f"evaluate {task.name}", started, f"AUC local {_auc(local)}, external {_auc(external)}")
        return TaskResult(trained, local, external)

    def score(self, tasks: list[Task]) -> ScoreResult:
        """Ask all models about both test sets in one pass, as of an archive that nobody has labelled."""
        started = time.monotonic()
        scored = score(
            [self.folder.patients(name) / LABELS for name in ("local", "external")],
            [self.folder.model(task.name) for task in tasks],
            self.folder.cache,
            self.folder.directory / "scores.csv",
            report=self.folder.directory / "scores.html",
            force=True,
            site_key=self.folder.site_key(),
            stop=self.stop,
        )
        self.done("score", started, scored.summary())
        return scored

    def measure(self, models: list[TaskModel], images: NDArray[np.uint8]) -> Saving:
        """What one encoder for all questions saves."""
        started = time.monotonic()
        self.report("measuring one encoder against one for each question")
        # One thread each: whether a second one is free differs from moment to moment where others use the same cores.
        encoders = [open_encoder(EncoderRequest(DEFAULT_ENCODER, threads=1), self.registry) for _ in models]
        saving = measure_saving(encoders, models, images, models[0].card.features.fingerprint)
        self.done(
            "measure",
            started,
            f"one encoder for {saving.n_tasks} tasks takes {saving.ratio:.2f} of the time of {saving.n_tasks} encoders "
            f"(least possible: {1 - saving.most:.2f})",
        )
        return saving


def _auc(result: TrainingResult | EvaluationResult) -> str:
    """The AUC, or the mean over several outcomes."""
    return stated(result.figures.get("mean_roc_auc", result.outcomes[0].metrics["roc_auc"]))


def run_demo(
    out: Path | str,
    *,
    n_patients: int = 32,
    seed: int = 0,
    on_stage: Callable[[Stage], None] | None = None,
    progress: Callable[[str], None] | None = None,
    stop: threading.Event | None = None,
) -> DemoResult:
    """Do lusfx's main job on synthetic patients, start to finish, and write ``demo.html`` about it.

    Needs no data, no network and no plugin. What an earlier run in the same directory has drawn and encoded is found again.

    :param out: a directory that is missing or empty, or holds a demo with the same patients and seed.
    :param n_patients: to train on; half as many are in each of the two test sets.
    :param on_stage: called after each stage; ``progress`` with a sentence now and then.
    :param stop: set it to end the run early.
    :raises RunInterruptedError: if it was stopped; the same call goes on from there.
    :raises UsageError: if the directory holds something else.
    """
    if n_patients < FEWEST_PATIENTS:
        raise UsageError(f"the demo needs at least {FEWEST_PATIENTS} patients to learn from")
    if seed < 0:
        raise UsageError("the seed is at least 0")
    folder = DemoFolder.open(Path(out), n_patients, seed)
    demo = _Demo(folder, on_stage or (lambda stage: None), progress or (lambda text: None), stop or threading.Event())
    sets, tasks = patient_sets(n_patients), demo_tasks()
    n_drawn = demo.draw(sets)
    extraction = demo.encode(sets)
    results = [demo.train_and_judge(task) for task in tasks]
    scored = demo.score(tasks)
    heads = demo.registry.heads.as_mapping()
    models = [load_task_model(folder.model(task.name), heads) for task in tasks]
    store = Cache.open(folder.cache).find(extraction.fingerprint)
    clips = choose_clips(folder, sets[1:], extraction)
    images = prepared_images(clips, demo.registry, folder.site_key(), store.spec.preprocess, SAVING_FRAMES)
    saving = demo.measure(models, images)
    started = time.monotonic()
    demo.report("drawing the page")
    browser = make_browser(clips, models, store, demo.registry, folder.site_key())
    page = folder.directory / PAGE
    result = DemoResult(page, n_patients, seed, sets, n_drawn, extraction, results, scored, saving, list(demo.stages))
    write_page(demo_page(result, browser), page)
    demo.done("page", started, f"{page.stat().st_size / 1e6:.1f} MB")
    return replace(result, stages=list(demo.stages))
