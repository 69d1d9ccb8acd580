"""Make lung-lite0, the encoder that lusfx uses by default: EfficientNet-Lite0 trained to tell what a simulator drew.

Every simulated patient has another machine, transducer, wall and disease; frames are degraded and changed at random, and the
network learns thirteen yes-or-no questions whose answers the simulator knows. No picture of a patient is used. Weights begin as
ImageNet's, those of the other bundled encoder. Needs lusfx[timm], no network and no data:

    python tools/make_lung_encoder.py lusfx/encoders/bundled/lung-lite0

One CPU thread trains, so that the same versions of torch and numpy on the same kind of processor give the same weights;
``--workers`` draw side by side, and change nothing but the time. ``--patients`` and ``--epochs`` make a smaller one, to try
changes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lusfx.backbone import make_backbone
from lusfx.config import PreprocessSpec
from lusfx.encoders import BUNDLED
from lusfx.encoders.card import WEIGHTS, read_card
from lusfx.encoders.conversion import make_directory
from lusfx.fine_tuning.fit import fit
from lusfx.fine_tuning.frame_units import FrameUnits, LabelledFrames
from lusfx.fine_tuning.network import renew_statistics
from lusfx.fine_tuning.progress import EpochProgress
from lusfx.fine_tuning.settings import FineTuningSettings
from lusfx.networks.augmentations import AUGMENTATIONS
from lusfx.networks.kept_memory import kept_memory
from lusfx.networks.network import PretrainingNetwork, grey
from lusfx.networks.network_spec import NetworkSpec
from lusfx.networks.threads import cpu_threads
from lusfx.preprocess import FrameTransform, find_beam
from lusfx.synth import SITES, FrameTruth, simulate
from lusfx.synth.archive import PlannedClip, plan_patient

NAME = "lung-lite0"
ARCHITECTURE, LAYER, SIZE = "tf_efficientnet_lite0", "blocks.6", 96
SITE = "varied-clear"
CLIPS, FRAMES, FRAME_RATE_HZ = 6, 4, 3
"""Of a patient, of a clip, and a second: frames far enough apart that each shows something else."""
AUGMENTATION = "degraded"
UNKNOWN = -1
SeenFrame = tuple[NDArray[np.uint8], list[int]]
"""A prepared frame ``(size, size)``, and the answers to :data:`QUESTIONS`."""
STATISTICS_BATCHES, STATISTICS_BATCH = 32, 64
QUESTIONS = (
    "pleural view",
    "A-lines",
    "at least two A-lines were drawn",
    "B-lines",
    "at least three B-lines",
    "at least six B-lines",
    "B-lines that run together",
    "effusion",
    "consolidation",
    "irregular pleural line",
    "severity of at least 1",
    "severity of at least 2",
    "severity of at least 3",
)
MODEL_CARD = """\
# lung-lite0

The encoder that lusfx uses by default.

* **Architecture**: EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946), timm's `{architecture}` up to `{layer}`, its last
  block; mean over the feature map, {dim} values.
* **Input**: grey, {size} x {size}, the beam cut out, repeated to three channels, (value - 127) / 128.
* **Training**: begins with ImageNet weights (those of the bundled efficientnet-lite0, Apache License 2.0). Then supervised, on
  simulated frames only: {n_patients} simulated patients, {n_frames} frames, {epochs} passes, batches of {batch_size}, AdamW,
  rate {lr} with warm-up and cosine, frames degraded (`{augmentation}`); loss: binary cross-entropy of {n_questions} questions
  whose answers the simulator knows ({questions}). Seed {seed}. Last mean training loss {loss:.3f}.
* **Data**: `lusfx.synth`, site `{site}`. No picture of a patient, and no label that a person gave.
* **Made by** `tools/make_lung_encoder.py`.
* **Licence**: Apache-2.0.
* **Results and limits**: `docs/encoder.md`. The architecture's layer and the input's size were chosen by what heads reach on
  public clips. It has been judged on two public data sets of adults, most of them with convex probes; elsewhere nobody knows.
  It is a component of research software and no medical device.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--patients", type=int, default=1500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes that draw the simulated patients")
    asked = parser.parse_args()
    if asked.out.exists():
        sys.exit("the place for the encoder is taken")
    settings = FineTuningSettings.complete(
        {
            "epochs": asked.epochs,
            "batch_size": 64,
            "frames_per_step": 1,
            "lr": 3e-4,
            "backbone_lr": 3e-4,
            "augmentation": AUGMENTATION,
            "seed": asked.seed,
        },
        random_weights=False,
    )
    with cpu_threads(1), kept_memory():
        frames, targets = simulated(asked.patients, asked.seed, asked.workers)
        write(asked.out, *trained(frames, targets, settings), settings, asked.patients, len(frames))


def simulated(n_patients: int, seed: int, n_workers: int = 1) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Prepared frames ``(n, size, size)`` of simulated patients, and the answers ``(n, n_questions)``."""
    frames, targets = [], []
    started = time.monotonic()
    for patient, seen in enumerate(patients_seen(n_patients, seed, n_workers), start=1):
        for image, answers in seen:
            frames.append(image)
            targets.append(answers)
        tell(f"simulating: patient {patient} of {n_patients}, {time.monotonic() - started:.0f} s", patient % 50 == 0)
    return np.stack(frames), np.array(targets, np.int64)


def patients_seen(n_patients: int, seed: int, n_workers: int) -> Iterator[list[SeenFrame]]:
    """The frames of each patient, in their order, whoever draws them."""
    draw, patients = partial(patient_seen, seed), range(1, n_patients + 1)
    if n_workers == 1:
        yield from map(draw, patients)
        return
    with ProcessPoolExecutor(n_workers, get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(draw, patients)


def patient_seen(seed: int, patient: int) -> list[SeenFrame]:
    """The frames of a patient's clips."""
    return [frame for planned in plan_patient(SITES[SITE], patient, CLIPS, seed) for frame in drawn(planned)]


def drawn(planned: PlannedClip) -> Iterator[SeenFrame]:
    """A clip's frames as an encoder is given them, with what each shows."""
    look = replace(planned.look, device=replace(planned.look.device, frame_rate_hz=FRAME_RATE_HZ))
    clip = simulate(look, planned.finding.findings, seed=planned.seed, n_frames=FRAMES)
    spec = PreprocessSpec(size=SIZE)
    transform = FrameTransform(find_beam(list(clip.frames), None, spec.beam_min_confidence), spec)
    for pixels, truth in zip(clip.frames, clip.truth, strict=True):
        yield transform(pixels), answers_of(planned, truth)


def answers_of(planned: PlannedClip, truth: FrameTruth) -> list[int]:
    """The answers to :data:`QUESTIONS`: 1 or 0, and -1 where the question makes no sense of this frame."""
    findings, severity = planned.finding.findings, planned.finding.severity
    pleural, lung, scored = findings.view == "pleural", truth.lung, severity is not None

    def if_asked(asked: bool, answer: bool) -> int:
        return int(answer) if asked else UNKNOWN

    return [
        int(pleural),
        if_asked(lung, truth.a_lines),
        if_asked(lung, findings.a_lines >= 2),
        *(if_asked(lung, truth.n_b_lines >= least) for least in (1, 3, 6)),
        if_asked(lung and truth.n_b_lines > 0, findings.b_line_mm > 4),
        if_asked(pleural, truth.effusion),
        int(truth.consolidation),
        if_asked(lung, findings.irregularity > 0.4),
        *(if_asked(scored, (severity or 0) >= least) for least in (1, 2, 3)),
    ]


def trained(
    frames: NDArray[np.uint8], targets: NDArray[np.int64], settings: FineTuningSettings
) -> tuple[PretrainingNetwork, float]:
    """The network that was trained, each frame a unit of its own; and its last epoch's mean loss."""
    imagenet = BUNDLED / "efficientnet-lite0"
    identity = read_card(imagenet).identity
    network_spec = NetworkSpec(ARCHITECTURE, SIZE, imagenet / WEIGHTS, (identity.mean, identity.std))
    units = FrameUnits(frames, [[np.array([row])] for row in range(len(frames))])
    started = time.monotonic()

    def report(progress: EpochProgress) -> None:
        rate = progress.frames / (time.monotonic() - started)
        text = f"epoch {progress.epoch} of {progress.epochs}, step {progress.step} of {progress.steps}"
        tell(f"training: {text}, loss {progress.loss:.3f}, {rate:.0f} frames/s", progress.step % 100 == 0)

    network = fit(network_spec, LabelledFrames(units, targets), None, settings, progress=report)
    # Statistics of clear simulated frames would not be those of patients' frames; those of degraded ones are nearer.
    renew_statistics(network.backbone, degraded_batches(frames, settings.seed))
    return network.backbone, network.history[-1].training_loss


def degraded_batches(frames: NDArray[np.uint8], seed: int) -> Iterator[NDArray[np.uint8]]:
    """Batches as the network was trained on."""
    augment, generator = AUGMENTATIONS[AUGMENTATION]()[0], torch.Generator().manual_seed(seed)
    order = np.random.default_rng(seed).permutation(len(frames))
    for rows in np.array_split(order[: STATISTICS_BATCHES * STATISTICS_BATCH], STATISTICS_BATCHES):
        views = augment(grey(frames[rows], torch.device("cpu")), generator)
        yield (views[:, 0] * 255).round().to(torch.uint8).numpy()


def write(
    out: Path,
    network: PretrainingNetwork,
    loss: float,
    settings: FineTuningSettings,
    n_patients: int,
    n_frames: int,
) -> None:
    """Write the encoder: the network up to the layer that is used, without what lies behind it."""
    kept = make_backbone(ARCHITECTURE, LAYER).state_dict().keys()
    weights = {name: value for name, value in network.backbone_weights().items() if name in kept}
    facts = {
        "architecture": ARCHITECTURE,
        "layer": LAYER,
        "dim": 320,
        "size": SIZE,
        "n_patients": n_patients,
        "n_frames": n_frames,
        "n_questions": len(QUESTIONS),
        "questions": ", ".join(QUESTIONS),
        "site": SITE,
        "loss": loss,
    }
    card = make_directory(
        out,
        name=NAME,
        architecture=f"timm/{ARCHITECTURE}",
        layer=LAYER,
        weights=weights,
        mean=network.mean,
        std=network.std,
        preprocess=PreprocessSpec(size=SIZE),
        licence="Apache-2.0",
        training_data=f"ImageNet-1k, then {n_frames} simulated frames",
        source="tools/make_lung_encoder.py",
        model_card=MODEL_CARD.format_map(facts | settings.model_dump()),
    )
    tell(f"{card.name}: {card.identity.dim} values a frame, weights {card.identity.weights_sha256}", True)


def tell(text: str, now: bool) -> None:
    if now:
        print(text, flush=True)


if __name__ == "__main__":
    main()
