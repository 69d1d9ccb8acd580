"""Fine-tune an encoder on a task end to end, judge it on patients it has not seen, and save it with its encoder."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lusfx.calibration import CalibrationMethod
from lusfx.config import FeatureSpec
from lusfx.contracts import Device, Pooling, Task, check_task
from lusfx.encoders.conversion import make_directory
from lusfx.engine.training.cross_validation import cross_validate_together
from lusfx.engine.training.judging import check_samples, figures_of_task, judged_outcome, novelty_of, save_model
from lusfx.engine.training.result import TrainingResult
from lusfx.errors import RunInterruptedError, UsageError
from lusfx.fine_tuning.history import EpochProgress
from lusfx.fine_tuning.learner import FineTuned, FineTuningLearner, unit_features
from lusfx.fine_tuning.model_card import model_card, training_data
from lusfx.fine_tuning.reading import FramedSamples, SampleReader, require_pooled_task
from lusfx.fine_tuning.record import FineTuningRecord
from lusfx.fine_tuning.settings import Augmentation, FineTuningSettings
from lusfx.networks.decoded_frames import DecodingProgress
from lusfx.networks.files import held_alone, make_private_directory
from lusfx.networks.initial_weights import InitialWeights, choose_initial_weights
from lusfx.networks.network import require_timm
from lusfx.networks.processes import processes
from lusfx.networks.threads import cpu_threads
from lusfx.plugins import Registry, load_registry
from lusfx.site_key import SiteKey
from lusfx.task_model import OWN_ENCODER, TaskCard, check_replaceable, encoder_sha256

if TYPE_CHECKING:
    import torch

HEAD = "logistic"
POOLING: Pooling = "mean"
LICENCE_NOT_STATED = "not stated"
FINAL = "all patients"


@dataclass(frozen=True, slots=True)
class FineTuningProgress:
    """How far a run is.

    :param name: which network is trained: ``repeat 1 of 1, fold 2 of 5``.
    :param number: of the network, from 1; ``n_networks`` are there in all.
    :param training: of this network.
    :param frames_per_s: trained on a second, since the first step of the run.
    :param seconds_left: of the whole run.
    """

    name: str
    number: int
    n_networks: int
    training: EpochProgress
    frames_per_s: float
    seconds_left: float


Told = Callable[[DecodingProgress | FineTuningProgress], None]


def fine_tune(
    task: str | Task,
    labels: Path | str,
    out: Path | str,
    *,
    encoder: str | None = None,
    architecture: str | None = None,
    layer: str | None = None,
    weights: Path | None = None,
    size: int | None = None,
    epochs: int = 20,
    batch_size: int = 16,
    frames_per_step: int = 4,
    frames_per_clip: int = 32,
    lr: float = 1e-3,
    backbone_lr: float | None = None,
    weight_decay: float = 0.01,
    augmentation: Augmentation = "ultrasound",
    calibration: CalibrationMethod = "platt",
    n_folds: int = 5,
    n_repeats: int = 1,
    seed: int = 0,
    licence: str | None = None,
    work: Path | None = None,
    device: Device = "auto",
    threads: int = 0,
    site_key: SiteKey | None = None,
    progress: Told | None = None,
    stop: threading.Event | None = None,
) -> TrainingResult:
    """Train an encoder and a linear layer on it, end to end, on the clips of a label table; no cache is needed.

    :param task: task, or the name of one that a plugin provides; about clips or exams, and not aggregated from frames.
    :param labels: label table that names files, relative to itself.
    :param out: directory of the task model, with its encoder in ``encoder`` below it.
    :param encoder: encoder to begin with, a name or a directory; lusfx's own if neither this nor ``architecture`` is given.
    :param architecture: timm's name of the backbone to begin with, in place of an encoder.
    :param layer: of the architecture, the layer that gives the embedding; None for the whole network.
    :param weights: safetensors file of its weights; None for random ones.
    :param size: side of the frames in pixels; None for the encoder's own, or 128.
    :param frames_per_clip: frames that are decoded of a clip, evenly spaced.
    :param calibration: how scores become probabilities; fitted on patients that the network was not trained on.
    :param n_folds: of the cross-validation, by patient; a network is trained for each, and a last one on all patients.
    :param n_repeats: times that the cross-validation is done, each with other folds.
    :param licence: of the new encoder; by default that of the encoder that it began as.
    :param work: directory for the decoded frames, which stay there for the next run; by default a temporary one beside
        ``out``, which is removed.
    :param threads: of the CPU; 0 for one or all, whichever a short trial finds faster.
    :param stop: set it to end the run early; then no task model is written.
    :param settings: see :class:`~lusfx.fine_tuning.settings.FineTuningSettings` for all others.
    :raises UsageError: if settings or the task make no sense here.
    :raises TrainingRefusedError: where no result could be trusted.
    :raises RunInterruptedError: if the run was stopped.
    :raises MissingExtraError: without the extra ``timm``.
    """
    if n_folds < 2 or n_repeats < 1:
        raise UsageError("a cross-validation has at least 2 folds and 1 repeat")
    if frames_per_clip < 1:
        raise UsageError("frames-per-clip: at least one frame of a clip is needed")
    registry = load_registry()
    asked = registry.task(task) if isinstance(task, str) else task
    check_task(asked)
    require_pooled_task(asked)
    check_replaceable(Path(out))
    initial_weights = choose_initial_weights(encoder, architecture, weights, size, registry, layer=layer)
    settings = FineTuningSettings.complete(
        {
            "epochs": epochs,
            "batch_size": batch_size,
            "frames_per_step": frames_per_step,
            "lr": lr,
            "backbone_lr": backbone_lr,
            "weight_decay": weight_decay,
            "augmentation": augmentation,
            "seed": seed,
        },
        initial_weights.random,
    )
    require_timm("fine-tuning")
    initial_weights.network.backbone(
        seed
    )  # an unknown architecture or weights that do not fit are told before any work
    run = _Run(
        asked,
        TaskCard.of(asked, POOLING),
        Path(labels),
        Path(out),
        initial_weights,
        settings,
        frames_per_clip,
        calibration,
        n_folds,
        n_repeats,
        licence or initial_weights.licence or LICENCE_NOT_STATED,
        registry,
        site_key or SiteKey.load(),
        progress or (lambda told: None),
        stop or threading.Event(),
    )
    with _work_directory(work, Path(out)) as directory, processes(device) as among, cpu_threads(threads):
        return run.run(directory, among.device)


@contextmanager
def _work_directory(named: Path | None, out: Path) -> Iterator[Path]:
    """The directory for frames: the named one, held against other runs, or one beside the model that is removed."""
    if named is not None:
        make_private_directory(named)
        with held_alone(named, "--work"):
            yield named
        return
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name[:80]}.work-", dir=out.absolute().parent) as directory:
        yield Path(directory)


@dataclass(slots=True)
class _Run:
    """A call of :func:`fine_tune` with its parameters checked."""

    task: Task
    card: TaskCard
    labels: Path
    out: Path
    initial_weights: InitialWeights
    settings: FineTuningSettings
    frames_per_clip: int
    calibration: CalibrationMethod
    n_folds: int
    n_repeats: int
    licence: str
    registry: Registry
    site_key: SiteKey
    progress: Told
    stop: threading.Event
    started: float = field(default_factory=time.monotonic)
    frames: dict[int, int] = field(default_factory=dict)

    @property
    def encoder_name(self) -> str:
        return f"{self.card.name}-{self.initial_weights.name}"

    def run(self, directory: Path, device: torch.device) -> TrainingResult:
        framed = self._reader(directory).read()
        if framed is None:
            raise RunInterruptedError("stopped while clips were decoded: no task model was written")
        samples, seed = framed.samples, self.settings.seed
        warnings = [*check_samples(self.card, samples, self.n_folds), *framed.warnings, *samples.warnings()]
        if self.task.pooling != POOLING:
            warnings.append(f"the task pools frames by {self.task.pooling}; a fine-tuned network takes their mean")
        learner = self._learner(device)
        self.started = time.monotonic()
        outcomes = range(len(self.card.outcomes))
        validations = cross_validate_together(
            learner, samples, outcomes, self.n_folds, self.n_repeats, learner.go_on_as
        )
        learner.go_on_as(FINAL)
        final = learner.fine_tune(samples, outcomes)
        judged = [
            judged_outcome(self.card.outcomes[n], n, final.outcomes[n].learnt, validations[n], samples, seed)
            for n in outcomes
        ]
        with tempfile.TemporaryDirectory(dir=directory) as place:
            encoder = Path(place) / OWN_ENCODER
            fingerprint = self._write_encoder(encoder, framed, final)
            features = samples.with_units(unit_features(final.network, samples.units))
            result = TrainingResult(
                task=self.task,
                card=self.card,
                out=self.out,
                digest="",  # known once the files are written
                encoder=self.encoder_name,
                fingerprint=fingerprint,
                samples=features,
                outcomes=judged,
                figures=figures_of_task(self.task, self.card, samples, judged, seed),
                novelty=novelty_of(self.card, features, [final.fold]),
                n_not_known=framed.n_not_known,
                n_not_cached=framed.n_not_decoded,
                warnings=warnings,
                seed=seed,
                fine_tuning=self._record(encoder, learner, final, framed),
            )
            return save_model(result, encoder)

    def _reader(self, directory: Path) -> SampleReader:
        return SampleReader(
            self.task,
            self.labels,
            directory,
            self.initial_weights.preprocess,
            self.frames_per_clip,
            self.registry,
            self.site_key,
            lambda done, found: self.progress(DecodingProgress(done, found)),
            self.stop,
        )

    def _learner(self, device: torch.device) -> FineTuningLearner:
        learner = FineTuningLearner(
            self.initial_weights.network,
            self.settings,
            self.calibration,
            self.task.operating_points,
            self.registry.head(HEAD),
            device,
            lambda told: self._told(learner, told),
            self.stop.is_set,
        )
        return learner

    def _told(self, learner: FineTuningLearner, training: EpochProgress) -> None:
        number, n_networks = len(learner.fits) + 1, self.n_folds * self.n_repeats + 1
        self.frames[number] = training.frames
        elapsed_s = max(time.monotonic() - self.started, 1e-9)
        share = (number - 1 + training.step / training.steps) / n_networks
        self.progress(
            FineTuningProgress(
                learner.name,
                number,
                n_networks,
                training,
                sum(self.frames.values()) / elapsed_s,
                elapsed_s * (1 - share) / share,
            )
        )

    def _write_encoder(self, place: Path, framed: FramedSamples, final: FineTuned) -> str:
        """Write the encoder directory; returns the fingerprint of its features."""
        network = final.network.backbone
        card = make_directory(
            place,
            name=self.encoder_name,
            architecture=f"timm/{self.initial_weights.network.architecture}",
            weights=network.backbone_weights(),
            mean=network.mean,
            std=network.std,
            preprocess=self.initial_weights.preprocess,
            layer=self.initial_weights.network.layer,
            licence=self.licence,
            training_data=training_data(self.card, framed.samples),
            source=f"lusfx fine-tune, {self.card.name}, begun with {self.initial_weights.origin}",
            model_card=model_card(
                self.encoder_name, self.licence, self.card, framed.samples, self.initial_weights, self.settings
            ),
        )
        return FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint

    def _record(
        self, encoder: Path, learner: FineTuningLearner, final: FineTuned, framed: FramedSamples
    ) -> FineTuningRecord:
        return FineTuningRecord(
            own_encoder=encoder_sha256(encoder),
            architecture=self.initial_weights.network.architecture,
            beginning=self.initial_weights.origin,
            preparation={"size": self.initial_weights.preprocess.size, "frames_per_clip": self.frames_per_clip},
            settings=self.settings,
            fits=learner.fits,
            n_held_out_patients=len(np.unique(framed.samples.groups[final.fold.test])),
        )
