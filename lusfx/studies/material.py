"""What a study works on: its questions, encoders and ways, with what the cache and the frame stores hold for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.cache import Cache, Store
from lusfx.contracts import Device
from lusfx.engine.extraction.extract import ExtractResult, Progress
from lusfx.networks.decoded_frames import DecodingListener
from lusfx.networks.network_spec import require_timm
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.splits import check_trainable
from lusfx.studies.config import TRAIN, FineTuneWay, HeadWay, StudyConfig
from lusfx.studies.encoders import StudyEncoder
from lusfx.studies.frozen import FrozenFeatures, HeadPlan
from lusfx.studies.head_runs import HeadJob
from lusfx.studies.plan import Run, StudyPlan, runs_of, splits_of
from lusfx.studies.questions import Question, resolve_questions
from lusfx.studies.run_store import RunStore
from lusfx.studies.tuning_runs import FRAMES, Framed, TuningJob, TuningPlan
from lusfx.studies.units import AskedUnits, check_apart, require_units, shared_units

if TYPE_CHECKING:
    import torch


@dataclass(slots=True)
class Material:
    """A study's parts, opened. Nothing is encoded or decoded yet.

    :param encoders: by name.
    :param frozen: features; None where there is no cache yet and none may be made.
    :param stores: where the features of each encoder are, as far as they are known.
    """

    config: StudyConfig
    registry: Registry
    questions: Sequence[Question]
    encoders: Mapping[str, StudyEncoder]
    head_plans: Sequence[HeadPlan]
    tuning_plans: Sequence[TuningPlan]
    frozen: FrozenFeatures | None
    framed: Framed
    stores: dict[str, Store] = field(default_factory=dict)

    @classmethod
    def open(
        cls,
        config: StudyConfig,
        out: Path,
        cache: Cache | None,
        registry: Registry,
        site_key: SiteKey,
        device: Device,
        threads: int,
        progress: DecodingListener,
        stop: threading.Event,
    ) -> Material:
        """Settle everything that the config says.

        :raises UsageError: if tasks, encoders, heads and settings do not go together.
        :raises MissingExtraError: if networks are to be trained without the extra ``timm``.
        """
        questions = resolve_questions(config, registry)
        encoders = {e.name: StudyEncoder(e, out, registry, config.seed, device, threads) for e in config.encoders}
        heads = [HeadPlan.of(q, way, registry) for way in config.ways if isinstance(way, HeadWay) for q in questions]
        tuning = []
        tuned_ways = [way for way in config.ways if isinstance(way, FineTuneWay)]
        if tuned_ways:
            require_timm("a study's fine-tuning")
            initial_weights = {
                e.name: encoders[e.name].initial_weights() for way in tuned_ways for e in config.encoders_of(way)
            }
            tuning = [
                TuningPlan(question, way, entry.name, initial_weights[entry.name])
                for way in tuned_ways
                for entry in config.encoders_of(way)
                for question in questions
            ]
            for plan in tuning:
                plan.check()
        frozen = None if cache is None else FrozenFeatures(cache, site_key, heads, config.trust_table)
        framed = Framed(out / FRAMES, registry, site_key, progress, stop, config.trust_table)
        return cls(config, registry, questions, encoders, heads, tuning, frozen, framed)

    @property
    def frozen_encoders(self) -> list[StudyEncoder]:
        """Those whose features a head takes."""
        ways = [way for way in self.config.ways if isinstance(way, HeadWay)]
        names = {entry.name for way in ways for entry in self.config.encoders_of(way)}
        return [encoder for name, encoder in self.encoders.items() if name in names]

    def extract(self, progress: Callable[[Progress], None], stop: threading.Event) -> Iterator[ExtractResult]:
        """Encode what the cache lacks, encoder by encoder."""
        assert self.frozen is not None
        for encoder in self.frozen_encoders:
            opened, fps = encoder.open(), encoder.entry.fps
            result = self.frozen.extract(opened, fps, self.registry, progress, stop)
            self.stores[encoder.entry.name] = self.frozen.store(opened, fps)
            if result is not None:
                yield result

    def plan(self, with_frames: bool = True) -> StudyPlan:
        """Every run; the features of all encoders are in the cache.

        :param with_frames: False where frames are not to be decoded, and units without are not to be known.
        :raises TrainingRefusedError, TableError, LeakError: where no result could be trusted.
        """
        units = self._units(with_frames)
        runs: list[Run] = []
        for question in self.questions:
            splits = splits_of(question, units[question.name], self.config)
            for head in (plan for plan in self.head_plans if plan.question is question):
                for entry in self.config.encoders_of(head.way):
                    facts = head.facts(self.stores[entry.name].fingerprint)
                    runs += runs_of(splits, question, self.config, head.way, entry.name, facts)
            for tuning in (plan for plan in self.tuning_plans if plan.question is question):
                runs += runs_of(splits, question, self.config, tuning.way, tuning.encoder, tuning.facts())
        return StudyPlan(self.config, self.questions, units, runs)

    def head_jobs(self, plan: StudyPlan, missing: Sequence[Run], kept: RunStore) -> Iterator[HeadJob]:
        """The work of those of the runs that fit heads, encoder by encoder."""
        for encoder, store in self.stores.items():
            for head in self.head_plans:
                runs = _distinct(missing, encoder, head.way.name, head.question.name)
                if runs and self.frozen is not None:
                    yield self.frozen.job(head, store, plan.units[head.question.name], runs, kept)

    def tuning_jobs(
        self, plan: StudyPlan, missing: Sequence[Run], kept: RunStore, device: torch.device
    ) -> Iterator[TuningJob]:
        """The work of those of the runs that train networks."""
        for tuning in self.tuning_plans:
            runs = _distinct(missing, tuning.encoder, tuning.way.name, tuning.question.name)
            if runs:
                units = plan.units[tuning.question.name]
                yield TuningJob.of(tuning, self.framed.samples(tuning), units, runs, kept, device)

    def _units(self, with_frames: bool) -> dict[str, dict[str, AskedUnits]]:
        """Of each question and table, the units that every encoder and way can be asked of."""
        found: dict[tuple[str, str], list[AskedUnits]] = {}
        for store in self.stores.values():
            assert self.frozen is not None
            for question, table, units in self.frozen.units(store):
                found.setdefault((question, table), []).append(units)
        for plan in self.tuning_plans if with_frames else ():
            for table, units in self.framed.units(plan):
                found.setdefault((plan.question.name, table), []).append(units)
        return {q.name: self._checked(q, {t: shared_units(found[q.name, t]) for t in q.tables}) for q in self.questions}

    def _checked(self, question: Question, tables: dict[str, AskedUnits]) -> dict[str, AskedUnits]:
        training = tables[TRAIN]
        require_units(training, question.name)
        # What is not finite stands in no cache, and grey values are whole numbers.
        finite = training.targets >= 0
        n_folds = self.config.folds if question.cross_validated else 1
        check_trainable(training.targets, training.groups, training.keys, finite, n_folds, question.name)
        check_apart(training, {name: units for name, units in tables.items() if name != TRAIN}, question.name)
        return tables


def _distinct(missing: Sequence[Run], encoder: str, way: str, question: str) -> list[Run]:
    """Runs of one encoder, way and question, each once: of few patients, two fractions may be the same ones."""
    runs = (run for run in missing if (run.encoder, run.way, run.split.question) == (encoder, way, question))
    return list({run.digest: run for run in runs}.values())
