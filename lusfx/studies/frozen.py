"""Heads on frozen features: what each encoder gives to each question, and the runs that learn from it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lusfx.cache import Cache, Store
from lusfx.contracts import Encoder
from lusfx.engine.extraction.extract import ExtractResult, Progress, extract_with
from lusfx.engine.samples.features import FeatureMaker, features_of_clips
from lusfx.engine.samples.labels import LabelledUnits, LabelRow, labels_of, read_labels
from lusfx.engine.samples.pooling import resolve_pooling
from lusfx.engine.samples.samples import Samples, make_samples
from lusfx.engine.training.learner import Candidate
from lusfx.engine.training.train import head_settings
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.studies.config import LOCAL, TRAIN, HeadWay
from lusfx.studies.head_runs import HeadJob
from lusfx.studies.plan import Run
from lusfx.studies.questions import Question
from lusfx.studies.run_store import RunStore
from lusfx.studies.units import AskedUnits, asked_units, rows_of
from lusfx.tables import read_table
from lusfx.task_model import TaskCard, UnitFeatures

Tables = dict[str, Samples[UnitFeatures]]
"""Samples of each table of a question, by name."""
DECISIVE = {"unit", "kind", "pooling", "aggregate", "frames_per_clip", "abstain"}
"""Fields of a task's card that decide what a head is given."""


@dataclass(frozen=True, slots=True)
class HeadPlan:
    """A way of learning a question with a head on frozen features.

    :param card: the task as the head is given it.
    """

    question: Question
    way: HeadWay
    candidate: Candidate
    card: TaskCard

    @classmethod
    def of(cls, question: Question, way: HeadWay, registry: Registry) -> HeadPlan:
        """Settle how a question is learnt.

        :raises UsageError: if the task, the head, its settings and the pooling do not go together.
        """
        spec = registry.head(way.head)
        card = TaskCard.of(question.task, resolve_pooling(question.task, way.pooling, spec.takes, spec.name))
        return cls(question, way, Candidate(spec, head_settings(spec, way.settings)), card)

    @property
    def features(self) -> str:
        """Name of the features that the head takes: heads of one name share them."""
        return f"{self.card.name} {self.card.pooling}"

    @property
    def maker(self) -> FeatureMaker:
        return FeatureMaker(self.card, self.question.task)

    def facts(self, fingerprint: str) -> dict[str, Any]:
        """What decides the scores, beside the units.

        :param fingerprint: of the features.
        """
        return {
            "features": fingerprint,
            "card": self.card.model_dump(mode="json", include=DECISIVE),
            "head": self.candidate.head.name,
            "settings": self.candidate.settings.model_dump(mode="json"),
        }


@dataclass(slots=True)
class FrozenFeatures:
    """The features of the study's encoders. Those of one are in memory at a time.

    :param plans: of every question and way that takes features.
    :param trust_table: believe the tables' patients where the cache's ledgers say otherwise.
    """

    cache: Cache
    site_key: SiteKey
    plans: Sequence[HeadPlan]
    trust_table: bool = False
    _loaded: tuple[str, dict[tuple[str, str], Tables]] | None = field(default=None, init=False)

    @property
    def tables(self) -> list[Path]:
        """Every label table, once."""
        return list(dict.fromkeys(path for plan in self.plans for path in plan.question.tables.values()))

    def extract(
        self,
        encoder: Encoder,
        fps: float | None,
        registry: Registry,
        progress: Callable[[Progress], None] | None,
        stop: threading.Event,
    ) -> ExtractResult | None:
        """Encode what the cache lacks of the tables that name files; None if no table does."""
        places = [path for path in self.tables if "path" in read_table(path)[0]]
        if not places:
            return None
        return extract_with(
            encoder,
            places,
            self.cache,
            registry,
            self.site_key,
            fps=fps,
            other_site_key=self.trust_table,
            progress=progress,
            stop=stop,
        )

    def rows(self, table: Path, store: Store) -> list[LabelRow]:
        """A label table's rows with their clips and patients."""
        return read_labels(table, self.cache, store, self.site_key, trust_table=self.trust_table)

    def store(self, encoder: Encoder, fps: float | None) -> Store:
        """Where an encoder's features of so many frames a second are; None for all."""
        return self.cache.store(encoder.feature_spec.sampled(fps))

    def units(self, store: Store) -> Iterator[tuple[str, str, AskedUnits]]:
        """Question, table and the units that one encoder gives features of, for each way of pooling."""
        samples = self.samples(store)
        for plan in self.plans:
            for table, found in samples[plan.question.name, plan.features].items():
                yield plan.question.name, table, asked_units(found, plan.question.outcome)

    def job(
        self, plan: HeadPlan, store: Store, units: Mapping[str, AskedUnits], runs: Sequence[Run], kept: RunStore
    ) -> HeadJob:
        """The work of some runs that differ in their splits alone.

        :param units: of each of the question's tables.
        """
        found = self.samples(store)[plan.question.name, plan.features]
        samples = {table: of.take(rows_of(of, units[table])) for table, of in found.items()}
        return HeadJob(
            plan.candidate,
            plan.question.task.aggregate,
            plan.card.frames_per_clip,
            plan.question.outcome,
            samples,
            {LOCAL: units[TRAIN], **units},
            runs,
            kept,
        )

    def samples(self, store: Store) -> dict[tuple[str, str], Tables]:
        """One encoder's samples, by question and name of the features. Every clip is read once.

        :raises TrainingRefusedError, TableError: if labels make no sense, or none is of a cached clip.
        """
        if self._loaded is None or self._loaded[0] != store.fingerprint:
            self._loaded = None  # before the next ones are made: both need not fit in memory
            self._loaded = store.fingerprint, self._read(store)
        return self._loaded[1]

    def _read(self, store: Store) -> dict[tuple[str, str], Tables]:
        rows = {path: self.rows(path, store) for path in self.tables}
        labelled: dict[tuple[str, Path], LabelledUnits] = {}
        for plan in self.plans:
            for path in plan.question.tables.values():
                _label(labelled, plan, path, rows[path])
        makers = {plan.features: plan.maker for plan in self.plans}
        keys = {key for units in labelled.values() for clips in units.clips for key in clips}
        clips = features_of_clips(store, sorted(keys), makers)
        return {
            (plan.question.name, plan.features): {
                table: make_samples(labelled[plan.card.name, path], clips[plan.features], plan.maker)
                for table, path in plan.question.tables.items()
            }
            for plan in {(plan.question.name, plan.features): plan for plan in self.plans}.values()
        }


def _label(found: dict[tuple[str, Path], LabelledUnits], plan: HeadPlan, path: Path, rows: list[LabelRow]) -> None:
    if (plan.card.name, path) not in found:
        found[plan.card.name, path] = labels_of(plan.question.task, rows)
