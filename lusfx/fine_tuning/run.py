"""Fine-tune an encoder on a task end to end, judge it on patients it has not seen, and save it with its encoder."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lusfx.arguments import optional_path
from lusfx.config import FeatureSpec
from lusfx.contracts import Pooling, Task, check_task
from lusfx.encoders.conversion import make_directory
from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import cross_validate_together
from lusfx.engine.training.judging import check_samples, figures_of_task, judged_outcome, novelty_of, save_model
from lusfx.engine.training.result import OutcomeResult, TrainingResult
from lusfx.errors import RunInterruptedError
from lusfx.fine_tuning.learner import FineTuned, FineTuningLearner, unit_features
from lusfx.fine_tuning.model_card import model_card, training_data
from lusfx.fine_tuning.progress import EpochProgress, FineTuningProgress
from lusfx.fine_tuning.reading import FramedSamples, SampleReader, require_pooled_task
from lusfx.fine_tuning.record import FineTuningRecord
from lusfx.fine_tuning.request import FineTuningRequest
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.decoded_frames import DecodingProgress
from lusfx.networks.files import held_alone, make_private_directory
from lusfx.networks.initial_weights import InitialWeights, choose_initial_weights
from lusfx.networks.kept_memory import kept_memory
from lusfx.networks.network_spec import require_timm
from lusfx.networks.processes import processes
from lusfx.networks.request import called_with
from lusfx.networks.threads import cpu_threads
from lusfx.outputs import prepare_place
from lusfx.plugins import Registry, load_registry
from lusfx.site_key import SiteKey
from lusfx.task_model import OWN_ENCODER, TaskCard, UnitFeatures, check_replaceable, encoder_sha256

if TYPE_CHECKING:
    import torch

HEAD = "logistic"
POOLING: Pooling = "mean"
LICENCE_NOT_STATED = "not stated"
FINAL = "all patients"


@called_with(FineTuningRequest)
def fine_tune(request: FineTuningRequest) -> TrainingResult:
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
    :param force: whether a task model that is there may be replaced, as :func:`lusfx.train_task` takes it.
    :param trust_table: believe the label table's patients where the files themselves say otherwise.
    :param threads: of the CPU; 0 for one or all, whichever a short trial finds faster.
    :param stop: set it to end the run early; then no task model is written.
    :param settings: see :class:`~lusfx.fine_tuning.settings.FineTuningSettings` for all others.
    :raises UsageError: if settings or the task make no sense here.
    :raises TrainingRefusedError: where no result could be trusted.
    :raises RunInterruptedError: if the run was stopped.
    :raises MissingExtraError: without the extra ``timm``.
    """
    run = _Run.of(request)
    with (
        _work_directory(optional_path(request.work), run.out) as directory,
        processes(request.device) as among,
        cpu_threads(request.threads),
        kept_memory(),
    ):
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
    """A request that was checked, with what it names opened.

    :param frames: that each network was trained on so far, by the network's name.
    """

    request: FineTuningRequest
    task: Task
    registry: Registry
    initial_weights: InitialWeights
    settings: FineTuningSettings
    site_key: SiteKey
    stop: threading.Event
    started: float = field(default_factory=time.monotonic)
    frames: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, request: FineTuningRequest) -> _Run:
        """Check a request; whatever can be refused without work is refused here."""
        request.check()
        registry = load_registry()
        task = registry.task(request.task) if isinstance(request.task, str) else request.task
        check_task(task)
        require_pooled_task(task)
        check_replaceable(Path(request.out), force=request.force)
        prepare_place("task model", Path(request.out))
        initial_weights = choose_initial_weights(
            request.encoder, request.architecture, request.weights, request.size, registry, layer=request.layer
        )
        settings = request.settings(initial_weights.random)
        require_timm("fine-tuning")
        initial_weights.network.backbone(settings.seed)  # refuses an unknown architecture, or weights that do not fit
        return cls(
            request=request,
            task=task,
            registry=registry,
            initial_weights=initial_weights,
            settings=settings,
            site_key=SiteKey.of(request.site_key),
            stop=request.stop or threading.Event(),
        )

    @property
    def out(self) -> Path:
        return Path(self.request.out)

    @property
    def card(self) -> TaskCard:
        return TaskCard.of(self.task, POOLING)

    @property
    def licence(self) -> str:
        return self.request.licence or self.initial_weights.licence or LICENCE_NOT_STATED

    @property
    def encoder_name(self) -> str:
        return f"{self.card.name}-{self.initial_weights.name}"

    def run(self, directory: Path, device: torch.device) -> TrainingResult:
        framed = self._reader(directory).read()
        if framed is None:
            raise RunInterruptedError("stopped while clips were decoded: no task model was written")
        samples = framed.samples
        warnings = [*check_samples(self.card, samples, self.request.n_folds), *framed.warnings, *samples.warnings()]
        if self.task.pooling != POOLING:
            warnings.append(f"the task pools frames by {self.task.pooling}; a fine-tuned network takes their mean")
        learner = self._learner(device)
        self.started = time.monotonic()
        outcomes = range(len(self.card.outcomes))
        validations = cross_validate_together(learner, samples, outcomes, self.request.n_folds, self.request.n_repeats)
        final = learner.fine_tune(samples, outcomes, FINAL)
        features = samples.with_units(unit_features(final.network, samples.units))
        judged = [
            judged_outcome(
                self.card.outcomes[n], n, final.outcomes[n].learnt, validations[n], features, self.settings.seed
            )
            for n in outcomes
        ]
        return self._save(directory, framed, features, learner, final, judged, warnings)

    def _save(
        self,
        directory: Path,
        framed: FramedSamples,
        features: Samples[UnitFeatures],
        learner: FineTuningLearner,
        final: FineTuned,
        judged: list[OutcomeResult],
        warnings: list[str],
    ) -> TrainingResult:
        seed = self.settings.seed
        with tempfile.TemporaryDirectory(dir=directory) as place:
            encoder = Path(place) / OWN_ENCODER
            fingerprint = self._write_encoder(encoder, framed, final)
            figures, confusion = figures_of_task(self.task, self.card, features, judged, seed)
            result = TrainingResult(
                task=self.task,
                card=self.card,
                out=self.out,
                digest="",  # known once the files are written
                encoder=self.encoder_name,
                fingerprint=fingerprint,
                samples=features,
                outcomes=judged,
                figures=figures,
                confusion=confusion,
                novelty=novelty_of(self.card, features, [final.fold]),
                n_not_known=framed.n_not_known,
                n_not_cached=framed.n_not_decoded,
                warnings=warnings,
                seed=seed,
                fine_tuning=self._record(encoder, learner, final, framed),
                fps=self.initial_weights.preprocess.fps,
                site_keys=[self.site_key.check],
            )
            return save_model(result, encoder)

    def _reader(self, directory: Path) -> SampleReader:
        return SampleReader(
            task=self.task,
            table=Path(self.request.labels),
            directory=directory,
            spec=self.initial_weights.preprocess,
            frames_per_clip=self.request.frames_per_clip,
            registry=self.registry,
            site_key=self.site_key,
            progress=self._report_decoding,
            stop=self.stop,
            trust_table=self.request.trust_table,
        )

    def _learner(self, device: torch.device) -> FineTuningLearner:
        return FineTuningLearner(
            network_spec=self.initial_weights.network,
            settings=self.settings,
            calibration=self.request.calibration,
            operating_points=self.task.operating_points,
            head=self.registry.head(HEAD),
            device=device,
            progress=self._report_training,
            should_stop=self.stop.is_set,
        )

    def _report_decoding(self, done: int, found: int) -> None:
        if self.request.progress is not None:
            self.request.progress(DecodingProgress(done, found))

    def _report_training(self, name: str, training: EpochProgress) -> None:
        """Report a step of the network of this name."""
        self.frames[name] = training.frames
        if self.request.progress is None:
            return
        number, n_networks = len(self.frames), self.request.n_folds * self.request.n_repeats + 1
        elapsed_s = max(time.monotonic() - self.started, 1e-9)
        share = (number - 1 + training.step / training.steps) / n_networks
        self.request.progress(
            FineTuningProgress(
                name=name,
                number=number,
                n_networks=n_networks,
                training=training,
                frames_per_s=sum(self.frames.values()) / elapsed_s,
                seconds_left=elapsed_s * (1 - share) / share,
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
            preparation={"size": self.initial_weights.preprocess.size, "frames_per_clip": self.request.frames_per_clip},
            settings=self.settings,
            fits=learner.fits,
            n_held_out_patients=len(np.unique(framed.samples.groups[final.fold.test])),
        )
