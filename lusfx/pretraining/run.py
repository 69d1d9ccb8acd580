"""Pretrain an encoder on unlabelled clips: decode once, train, watch, and save what extraction can use."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lusfx.arguments import paths
from lusfx.backbone import FAMILY
from lusfx.encoders.conversion import make_directory
from lusfx.engine.extraction.sources import check_places
from lusfx.errors import EncoderError, RunInterruptedError, UsageError
from lusfx.messages import counted
from lusfx.networks.decoded_frames import DecodingProgress, FrameBounds, fill_store
from lusfx.networks.errors import NetworkError
from lusfx.networks.files import held_alone, make_private_directory, write_whole
from lusfx.networks.frame_store import FrameStore
from lusfx.networks.initial_weights import InitialWeights, choose_initial_weights
from lusfx.networks.network_spec import require_timm
from lusfx.networks.processes import Processes, processes
from lusfx.networks.request import called_with
from lusfx.networks.threads import cpu_threads
from lusfx.patience import replace
from lusfx.plugins import Registry, load_registry
from lusfx.pretraining.pairs import ClipFrames
from lusfx.pretraining.probe import LabelledProbe, open_probe
from lusfx.pretraining.report import model_card, pretraining_page, training_data
from lusfx.pretraining.request import PretrainingRequest
from lusfx.pretraining.result import PretrainResult
from lusfx.pretraining.settings import PretrainingSettings
from lusfx.report import write_page
from lusfx.site_key import SiteKey

if TYPE_CHECKING:
    from lusfx.networks.network import PretrainingNetwork
    from lusfx.pretraining.trainer import Trainer

RUN_FILE = "run.json"
FORMAT = "lusfx-pretraining/1"
FRAMES, PROBE_FRAMES, CHECKPOINTS, ENCODER, REPORT = "frames", "probe", "checkpoints", "encoder", "report.html"
LICENCE_NOT_STATED = "not stated"
DEFAULT_ARCHITECTURE: str = PretrainingSettings.model_fields["architecture"].default
CHECKPOINT_S = 300.0


@called_with(PretrainingRequest)
def pretrain(request: PretrainingRequest) -> PretrainResult:
    """Pretrain an encoder, or go on with a run that was stopped.

    :param sources: folders, files and manifests, in any mixture; not looked at again once they are decoded.
    :param out: directory of the run: absent, empty, or a run that was begun with the same settings.
    :param encoder: encoder to begin with, a name or a directory; its weights, layer, normalisation and preprocessing are taken.
    :param architecture: timm's name of the backbone to begin with, in place of an encoder; MobileNetV3-Small if neither is
        given.
    :param layer: of the architecture, the layer that gives the embedding; None for the whole network.
    :param weights: safetensors file of the architecture's weights; None for random ones.
    :param size: side of the frames in pixels; None for the encoder's own, or 128.
    :param probe: label table that is asked ``probe_task`` after each epoch; its labels train nothing.
    :param licence: of the new encoder; by default that of the encoder that it began as.
    :param threads: of the CPU; 0 for one or all, whichever a short trial finds faster.
    :param memory: of the CPU: ``less``, or ``more`` for less time.
    :param minutes: stop after so long, decoding included.
    :param stop: set it to end the run early; what was trained is on disk.
    :param settings: see :class:`~lusfx.pretraining.settings.PretrainingSettings` for all others.
    :raises UsageError: if settings make no sense or are not those that the run began with.
    :raises EncoderError: if the encoder or the weights are not what was written, or do not fit.
    :raises DivergedError: if the loss is no finite number any more.
    :raises RunInterruptedError: if the run was stopped before training began; what was decoded is kept.
    :raises MissingExtraError: without the extra ``timm``.
    """
    run = _Run.of(request)
    with processes(request.device) as among, cpu_threads(request.threads):
        return run.run(among)


@dataclass(slots=True)
class _Run:
    """A request that was checked, with what it names opened."""

    request: PretrainingRequest
    settings: PretrainingSettings
    initial_weights: InitialWeights
    probe: tuple[Path, str] | None
    registry: Registry
    stop: threading.Event
    deadline: float | None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, request: PretrainingRequest) -> _Run:
        """Check a request; whatever can be refused without work is refused here."""
        require_timm("pretraining")
        registry = load_registry()
        architecture = request.architecture
        if request.encoder is None and architecture is None:
            architecture = DEFAULT_ARCHITECTURE
        initial_weights = choose_initial_weights(
            request.encoder, architecture, request.weights, request.size, registry, layer=request.layer
        )
        return cls(
            request=request,
            settings=request.settings(initial_weights),
            initial_weights=initial_weights,
            probe=request.labelled_probe,
            registry=registry,
            stop=request.stop or threading.Event(),
            deadline=None if request.minutes is None else time.monotonic() + 60 * request.minutes,
        )

    @property
    def out(self) -> Path:
        return Path(self.request.out)

    @property
    def name(self) -> str:
        return self.request.name or f"{self.initial_weights.name}-{self.settings.method}"

    @property
    def licence(self) -> str:
        return self.request.licence or self.initial_weights.licence or LICENCE_NOT_STATED

    def run(self, among: Processes) -> PretrainResult:
        from lusfx.pretraining.losses import LOSSES

        settings = self.settings
        # Before anything is decoded: an unknown architecture or weights that do not fit are told at once.
        network = self.initial_weights.network.with_projector(LOSSES[settings.method].projector, settings.seed)
        if not among.is_first:
            return self._train(among, network)
        self._claim()
        with held_alone(self.out):
            return self._train(among, network)

    def _train(self, among: Processes, network: PretrainingNetwork) -> PretrainResult:
        from lusfx.pretraining.trainer import Trainer

        settings = self.settings
        store, probe = self._decode_sources() if among.is_first else (None, None)
        if among.any(among.is_first and store is None):
            raise RunInterruptedError(
                "stopped before training began; what was decoded is kept, and the same command goes on"
            )
        if store is None:
            store = FrameStore(self.out / FRAMES, self._store_spec(), settings.size, check=False)
        clips = [ClipFrames(clip.first, np.array(clip.times_s)) for clip in store.clips]
        trainer = Trainer(
            network,
            settings,
            store.frames(),
            clips,
            among,
            self.out / CHECKPOINTS,
            probe=probe,
            checkpoint_s=CHECKPOINT_S,
            memory=self.request.memory,
        )
        finished = trainer.finished or trainer.run(self._should_stop, self.request.progress)
        result = self._sum_up(trainer, store, finished)
        if among.is_first:
            self._write(result, network, probe)
        among.barrier()
        return result

    def _claim(self) -> None:
        """Take the directory for this run, or find that it is this run's."""
        path = self.out / RUN_FILE
        if path.exists():
            try:
                stated = json.loads(path.read_bytes())
                if stated["format"] != FORMAT:
                    raise ValueError
                begun = dict(stated["settings"])
            except (OSError, ValueError, KeyError, TypeError):
                raise NetworkError(f"--out has a {RUN_FILE} that cannot be read. Take another --out") from None
            self.settings.check_same(begun)
            return
        if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UsageError("--out holds something that is no pretraining run. Take another, or an empty one")
        check_places(paths("sources", self.request.sources))
        make_private_directory(self.out)
        content = {"format": FORMAT, "settings": self.settings.model_dump(mode="json")}
        write_whole(path, (json.dumps(content, indent=2) + "\n").encode())

    def _store_spec(self) -> dict[str, Any]:
        settings = self.settings
        return {
            "preprocess": self.initial_weights.preprocess.model_dump(mode="json"),
            "frames_per_clip": settings.frames_per_clip,
            "max_frames": settings.max_frames,
            "seed": settings.seed,
        }

    def _decode_sources(self) -> tuple[FrameStore | None, LabelledProbe | None]:
        """Decode the frames of the sources and of the probe; nothing comes back if the run was stopped meanwhile."""
        site_key, stop = SiteKey.of(self.request.site_key), _Stop(self._should_stop)
        # A probe's task that no plugin has is refused before anything is decoded.
        task = None if self.probe is None else self.registry.task(self.probe[1])
        store = FrameStore(self.out / FRAMES, self._store_spec(), self.settings.size)
        if store.n_dropped:
            self.warnings.append(
                f"damaged, and made again: {counted(store.n_dropped, 'entry', 'entries')} of the frame store"
            )
        complete = fill_store(
            store,
            paths("sources", self.request.sources),
            self.initial_weights.preprocess,
            FrameBounds(self.settings.frames_per_clip, self.settings.max_frames),
            self.registry,
            site_key,
            seed=self.settings.seed,
            progress=self._report_decoding,
            stop=stop,
        )
        if not complete:
            return None, None
        if self.probe is None or task is None:
            return store, None
        opened = open_probe(
            self.probe[0],
            task,
            self.out / PROBE_FRAMES,
            self.initial_weights.preprocess,
            self.registry,
            site_key,
            progress=self._report_decoding,
            stop=stop,
        )
        return (None, None) if opened is None else (store, opened)

    def _should_stop(self) -> bool:
        return self.stop.is_set() or (self.deadline is not None and time.monotonic() >= self.deadline)

    def _report_decoding(self, done: int, found: int) -> None:
        if self.request.progress is not None:
            self.request.progress(DecodingProgress(done, found))

    def _sum_up(self, trainer: Trainer, store: FrameStore, finished: bool) -> PretrainResult:
        state = trainer.state
        if trainer.n_damaged_checkpoints:
            self.warnings.append(
                f"damaged: {counted(trainer.n_damaged_checkpoints, 'checkpoint')}; the run went on from the one before them"
            )
        if trainer.batch_size < self.settings.batch_size:
            self.warnings.append(
                f"the clips give {trainer.batch_size} pairs an epoch, which is less than a batch was to have"
            )
        result = PretrainResult(
            out=self.out,
            settings=self.settings,
            beginning=self.initial_weights.origin,
            data=dict(store.report or {}),
            history=list(state.history),
            finished=finished,
            interrupted=not finished and self.stop.is_set(),
            has_encoder=False,
            images=state.images,
            seconds=state.seconds,
            warnings=self.warnings,
        )
        if result.collapsed:
            self.warnings.append(
                "the run has collapsed: the encoder says almost the same of every frame. Lower --lr, lengthen "
                "--warmup-epochs, or try another --method, in another --out"
            )
        return result

    def _write(self, result: PretrainResult, network: PretrainingNetwork, probe: LabelledProbe | None) -> None:
        """Write the encoder, unless somebody is waiting for the program to end, and the report."""
        facts = probe.facts | {"task": self.probe[1]} if probe is not None and self.probe is not None else {}
        if not result.interrupted and result.epochs_done:
            self._write_encoder(result, network, facts)
        result.has_encoder = (self.out / ENCODER).is_dir()
        write_page(pretraining_page(result, self.name, facts), self.out / REPORT)

    def _write_encoder(self, result: PretrainResult, network: PretrainingNetwork, probe: dict[str, Any]) -> None:
        weights = network.backbone_weights()
        if not all(np.isfinite(value).all() for value in weights.values()):
            raise EncoderError(
                "the network has weights that are not finite: training has diverged. Lower --lr, in another --out"
            )
        target, old = self.out / ENCODER, self.out / f".{ENCODER}-before"
        shutil.rmtree(old, ignore_errors=True)
        if target.exists():
            replace(target, old)
        try:
            make_directory(
                target,
                name=self.name,
                architecture=f"{FAMILY}{self.settings.architecture}",
                layer=self.settings.layer,
                weights=weights,
                mean=network.mean,
                std=network.std,
                preprocess=self.initial_weights.preprocess,
                licence=self.licence,
                training_data=training_data(result),
                source=f"lusfx pretrain, {self.settings.method}, epoch {result.epochs_done} of {self.settings.epochs}, "
                f"begun with {self.initial_weights.origin}",
                model_card=model_card(result, self.name, self.licence, probe),
            )
        finally:
            if old.exists() and not target.exists():
                replace(old, target)
            shutil.rmtree(old, ignore_errors=True)


class _Stop(threading.Event):
    """An event that is also set when something else says so."""

    def __init__(self, says_so: Callable[[], bool]) -> None:
        super().__init__()
        self._says_so = says_so

    def is_set(self) -> bool:
        return self._says_so()
