"""Runs that train an encoder and a linear layer together: a network a run, in this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lusfx.engine.beginning import NamedBeginning
from lusfx.engine.fine_tune_samples import SampleReader, require_pooled_task
from lusfx.engine.samples import Samples
from lusfx.engine.study.config import LOCAL, TRAIN, FineTuneWay
from lusfx.engine.study.plan import Run
from lusfx.engine.study.questions import Question
from lusfx.engine.study.run_store import RunStore, Scores
from lusfx.engine.study.units import AskedUnits, asked_units, rows_of
from lusfx.errors import RunInterruptedError, TrainingRefusedError, UsageError
from lusfx.fine_tuning.fit import DivergedError, LabelledFrames, fit
from lusfx.fine_tuning.frame_units import FrameUnits
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.splits import held_out_fold

if TYPE_CHECKING:
    import torch

FRAMES = "frames"
LIBRARIES = ("numpy", "torch", "timm")

Tables = dict[str, Samples[FrameUnits]]


@dataclass(frozen=True, slots=True)
class TuningPlan:
    """A way of learning a question with one encoder, trained for it alone."""

    question: Question
    way: FineTuneWay
    encoder: str
    beginning: NamedBeginning

    def settings(self, seed: int) -> FineTuningSettings:
        """Of the network with this seed.

        :raises UsageError: naming the first that makes no sense.
        """
        if "seed" in self.way.settings:
            raise UsageError(f"way '{self.way.name}', settings: the seed is the study's")
        return FineTuningSettings.complete({**self.way.settings, "seed": seed}, self.beginning.random)

    def check(self) -> None:
        """Refuse what cannot be trained, before anything is done.

        :raises UsageError: saying why.
        """
        require_pooled_task(self.question.task)
        self.settings(0)

    def facts(self) -> dict[str, Any]:
        """What decides the scores, beside the units and the seed."""
        network = self.beginning.network
        return {
            "beginning": {
                "architecture": network.architecture,
                "layer": network.layer,
                "weights_sha256": self.beginning.weights_sha256,
                "normalisation": network.normalisation,
                "preprocess": self.beginning.preprocess.model_dump(mode="json"),
            },
            "frames_per_clip": self.way.frames_per_clip,
            "hold_out_one_in": self.way.hold_out_one_in,
            "settings": self.settings(0).model_dump(mode="json", exclude={"seed"}),
        }


@dataclass(slots=True)
class Framed:
    """Frames of the study's labelled clips, decoded once for each size and kept in the study's directory.

    :param told: told how many clips are gone through, and of how many.
    """

    directory: Path
    registry: Registry
    site_key: SiteKey
    told: Callable[[int, int], None]
    stop: threading.Event
    _found: dict[tuple[str, str], Tables] = field(default_factory=dict, init=False)

    def samples(self, plan: TuningPlan) -> Tables:
        """Samples of each of the question's tables.

        :raises RunInterruptedError: if the run was stopped meanwhile.
        """
        preparation = f"{plan.beginning.preprocess.model_dump_json()} {plan.way.frames_per_clip}"
        place = plan.question.name, preparation
        if place not in self._found:
            self._found[place] = {name: self._read(plan, path) for name, path in plan.question.tables.items()}
        return self._found[place]

    def units(self, plan: TuningPlan) -> Iterator[tuple[str, AskedUnits]]:
        """Tables with the units that have frames."""
        for table, found in self.samples(plan).items():
            yield table, asked_units(found, plan.question.outcome)

    def _read(self, plan: TuningPlan, table: Path) -> Samples[FrameUnits]:
        reader = SampleReader(
            plan.question.task,
            table,
            self.directory,
            plan.beginning.preprocess,
            plan.way.frames_per_clip,
            self.registry,
            self.site_key,
            self.told,
            self.stop,
        )
        framed = reader.read()
        if framed is None:
            raise RunInterruptedError("stopped while clips were decoded: the same command goes on")
        return framed.samples


@dataclass(frozen=True, slots=True)
class TuningJob:
    """Runs that differ in their splits and seeds alone.

    :param samples: of each table, in the order of the question's units.
    :param units: of each test set, as the run's rows count them.
    """

    plan: TuningPlan
    samples: Mapping[str, Samples[FrameUnits]]
    units: Mapping[str, AskedUnits]
    runs: Sequence[Run]
    store: RunStore
    device: torch.device

    @classmethod
    def of(
        cls,
        plan: TuningPlan,
        found: Tables,
        units: Mapping[str, AskedUnits],
        runs: Sequence[Run],
        store: RunStore,
        device: torch.device,
    ) -> TuningJob:
        """The work of some runs.

        :param units: of each of the question's tables.
        """
        samples = {table: of.take(rows_of(of, units[table])) for table, of in found.items()}
        return cls(plan, samples, {LOCAL: units[TRAIN], **units}, runs, store, device)

    def do(self, run: Run, should_stop: Callable[[], bool]) -> Scores:
        """Train a network on the run's patients and score its test units.

        :raises RunInterruptedError: if ``should_stop`` says so meanwhile.
        """
        started = time.perf_counter()
        training = self.samples[TRAIN].take(run.split.train)
        of_test, refused = {}, None
        try:
            learn, held_out = self._sides(training, run.seed)
            settings = self.plan.settings(run.seed)
            network = fit(
                self.plan.beginning.network, learn, held_out, settings, device=self.device, should_stop=should_stop
            )
            for name, rows in run.split.tests.items():
                tested = self.samples.get(name, self.samples[TRAIN]).units.take(rows)
                of_test[name] = network.scores(tested)[:, 0]
        except (TrainingRefusedError, DivergedError) as error:
            of_test, refused = {}, str(error)
        return Scores(of_test, refused, time.perf_counter() - started)

    def _sides(self, training: Samples[FrameUnits], seed: int) -> tuple[LabelledFrames, LabelledFrames | None]:
        """What is learnt from, and what the epoch is chosen on if anything."""
        targets, one_in = training.targets[:, [self.plan.question.outcome]], self.plan.way.hold_out_one_in
        rarer = min(len(np.unique(training.groups[targets[:, 0] == answer])) for answer in (0, 1))
        if one_in < 2 or rarer < one_in:
            return LabelledFrames(training.units, targets), None
        fold = held_out_fold(targets, training.groups, one_in, seed)
        learn, held_out = (LabelledFrames(training.units.take(rows), targets[rows]) for rows in (fold.train, fold.test))
        return learn, held_out


def do_tuning(jobs: Iterable[TuningJob], stop: threading.Event, done: Callable[[int], None]) -> None:
    """Train all networks one by one; each run is durable before the next.

    :param stop: set it to end early: the network in hand is given up.
    :param done: called with how many more runs are done.
    """
    for job in jobs:
        versions = {name: metadata.version(name) for name in LIBRARIES}
        for run in job.runs:
            if stop.is_set():
                return
            try:
                scores = job.do(run, stop.is_set)
            except RunInterruptedError:
                return
            job.store.write(run, job.units, scores, versions)
            done(1)
