"""Runs of heads on frozen features: fit one, score, keep the scores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import metadata

import numpy as np

from lusfx.contracts import Aggregation
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.learner import Candidate, fit_head
from lusfx.errors import TrainingRefusedError
from lusfx.heads.one_thread import one_thread
from lusfx.studies.config import TRAIN
from lusfx.studies.merit import merit
from lusfx.studies.plan import Run
from lusfx.studies.run_store import RunStore, Scores
from lusfx.studies.units import AskedUnits
from lusfx.task_model import UnitFeatures, raw_scores

PARTS_A_WORKER = 4
LIBRARIES = ("numpy", "scikit-learn", "lightgbm", "scipy")


@cache
def versions() -> dict[str, str]:
    """Of the libraries that heads are fitted with: provenance of a run's scores."""
    return {name: metadata.version(name) for name in LIBRARIES}


@dataclass(frozen=True, slots=True)
class HeadJob:
    """Runs that differ in their splits alone.

    :param samples: of each table, in the order of the question's units.
    :param outcome: position among the task's outcomes.
    :param units: of each test set, as the run's rows count them.
    """

    candidate: Candidate
    aggregation: Aggregation | None
    frames_per_unit: int
    outcome: int
    samples: Mapping[str, Samples[UnitFeatures]]
    units: Mapping[str, AskedUnits]
    runs: Sequence[Run]
    store: RunStore

    def do(self, run: Run) -> Scores:
        """Train on the run's patients and score its test units; find its merit among the patients that it trains on."""
        started = time.perf_counter()
        training = self.samples[TRAIN].take(run.split.train)
        targets = training.targets[:, self.outcome]
        learnt = training, targets, self.aggregation, self.frames_per_unit
        of_test, refused, found = {}, None, None
        try:
            head = fit_head(self.candidate, *learnt, run.seed)
            for name, rows in run.split.tests.items():
                tested = self.samples.get(name, self.samples[TRAIN]).units.take(rows)
                of_test[name] = raw_scores(head, tested, self.aggregation)
        except TrainingRefusedError as error:
            of_test, refused = {}, str(error)
        if run.merit_folds and refused is None:
            found = merit(self.candidate, *learnt, run.merit_folds, run.seed)
        return Scores(of_test, refused, time.perf_counter() - started, found)

    def do_all(self, should_stop: Callable[[], bool]) -> int:
        """Do the runs one by one, each durable before the next; returns how many were done."""
        with one_thread():
            for number, run in enumerate(self.runs):
                if should_stop():
                    return number
                self.store.write(run, self.units, self.do(run), versions())
        return len(self.runs)

    def parts(self, n_workers: int) -> Iterator[HeadJob]:
        """The same work in parts that so many workers can share."""
        n_parts = len(self.runs) if n_workers == 1 else PARTS_A_WORKER * n_workers
        for rows in np.array_split(np.arange(len(self.runs)), min(len(self.runs), n_parts)):
            yield replace(self, runs=[self.runs[row] for row in rows.tolist()])
