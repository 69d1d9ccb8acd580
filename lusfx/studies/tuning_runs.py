"""Runs that train an encoder and a linear layer together: a network a run."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lusfx.engine.samples.samples import Samples
from lusfx.errors import RunInterruptedError, TrainingRefusedError, UsageError
from lusfx.fine_tuning.fit import fit
from lusfx.fine_tuning.frame_units import FrameUnits, LabelledFrames
from lusfx.fine_tuning.reading import SampleReader, require_pooled_task
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.decoded_frames import DecodingListener
from lusfx.networks.errors import DivergedError
from lusfx.networks.initial_weights import InitialWeights
from lusfx.networks.kept_memory import kept_memory
from lusfx.networks.threads import cpu_threads
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.studies.config import LOCAL, TRAIN, FineTuneWay
from lusfx.studies.plan import Run
from lusfx.studies.questions import Question
from lusfx.studies.run_store import RunStore, Scores
from lusfx.studies.units import AskedUnits, asked_units, rows_of

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
    initial_weights: InitialWeights

    def check(self) -> None:
        """Refuse what cannot be trained, before anything is done.

        :raises UsageError: saying why.
        """
        require_pooled_task(self.question.task)
        settings_of(self.way, self.initial_weights, 0)

    def facts(self) -> dict[str, Any]:
        """What decides the scores, beside the units and the seed."""
        network = self.initial_weights.network
        return {
            "beginning": {
                "architecture": network.architecture,
                "layer": network.layer,
                "weights_sha256": self.initial_weights.weights_sha256,
                "normalisation": network.normalisation,
                "preprocess": self.initial_weights.preprocess.model_dump(mode="json"),
            },
            "frames_per_clip": self.way.frames_per_clip,
            "settings": settings_of(self.way, self.initial_weights, 0).model_dump(mode="json", exclude={"seed"}),
        }


def settings_of(way: FineTuneWay, initial_weights: InitialWeights, seed: int) -> FineTuningSettings:
    """Settings of a network with this seed.

    :raises UsageError: naming the first that makes no sense.
    """
    if "seed" in way.settings:
        raise UsageError(f"way '{way.name}', settings: the seed is the study's")
    return FineTuningSettings.complete({**way.settings, "seed": seed}, initial_weights.random)


@dataclass(slots=True)
class Framed:
    """Frames of the study's labelled clips, decoded once for each size and kept in the study's directory.

    :param progress: told how many clips are gone through, and of how many.
    """

    directory: Path
    registry: Registry
    site_key: SiteKey
    progress: DecodingListener
    stop: threading.Event
    trust_table: bool = False
    _found: dict[tuple[str, str], Tables] = field(default_factory=dict, init=False)

    def samples(self, plan: TuningPlan) -> Tables:
        """Samples of each of the question's tables.

        :raises RunInterruptedError: if the run was stopped meanwhile.
        """
        preparation = f"{plan.initial_weights.preprocess.model_dump_json()} {plan.way.frames_per_clip}"
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
            task=plan.question.task,
            table=table,
            directory=self.directory,
            spec=plan.initial_weights.preprocess,
            frames_per_clip=plan.way.frames_per_clip,
            registry=self.registry,
            site_key=self.site_key,
            progress=self.progress,
            stop=self.stop,
            trust_table=self.trust_table,
        )
        framed = reader.read()
        if framed is None:
            raise RunInterruptedError("stopped while clips were decoded: the same command goes on")
        return framed.samples


@dataclass(frozen=True, slots=True)
class TuningJob:
    """Runs that differ in their splits and seeds alone.

    :param samples: of each table, in the order of the question's units.
    :param outcome: position among the task's outcomes.
    :param units: of each test set, as the run's rows count them.
    """

    initial_weights: InitialWeights
    way: FineTuneWay
    samples: Mapping[str, Samples[FrameUnits]]
    outcome: int
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
        of_test = {LOCAL: units[TRAIN], **units}
        return cls(
            initial_weights=plan.initial_weights,
            way=plan.way,
            samples=samples,
            outcome=plan.question.outcome,
            units=of_test,
            runs=runs,
            store=store,
            device=device,
        )

    def do(self, run: Run, should_stop: Callable[[], bool]) -> Scores:
        """Train a network on the run's patients and score its test units.

        :raises RunInterruptedError: if ``should_stop`` says so meanwhile.
        """
        started = time.perf_counter()
        training = self.samples[TRAIN].take(run.split.train)
        of_test, refused = {}, None
        try:
            learn = LabelledFrames(training.units, training.targets[:, [self.outcome]])
            settings = settings_of(self.way, self.initial_weights, run.seed)
            network = fit(
                self.initial_weights.network, learn, None, settings, device=self.device, should_stop=should_stop
            )
            for name, rows in run.split.tests.items():
                tested = self.samples.get(name, self.samples[TRAIN]).units.take(rows)
                of_test[name] = network.scores(tested)[:, 0]
        except (TrainingRefusedError, DivergedError) as error:
            of_test, refused = {}, str(error)
        return Scores(of_test, refused, time.perf_counter() - started)

    def do_all(self, should_stop: Callable[[], bool]) -> int:
        """Train the networks one by one, each durable before the next; the one in hand is given up when it is to stop.

        :returns: how many were trained.
        """
        versions = {name: metadata.version(name) for name in LIBRARIES}
        # Several processes share the cores by having one thread each.
        with cpu_threads(1) if multiprocessing.parent_process() else nullcontext(), kept_memory():
            for number, run in enumerate(self.runs):
                if should_stop():
                    return number
                try:
                    scores = self.do(run, should_stop)
                except RunInterruptedError:
                    return number
                self.store.write(run, self.units, scores, versions)
        return len(self.runs)

    def parts(self, n_workers: int) -> Iterator[TuningJob]:
        """The same work, a network each."""
        return (replace(self, runs=[run]) for run in self.runs)
