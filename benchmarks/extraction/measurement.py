"""The whole measurement: every encoder, every way, in turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from benchmarks.clips import site_key
from benchmarks.extraction.command import start
from benchmarks.extraction.material import Material, gather
from benchmarks.extraction.plan import PLANS, Plan, title
from benchmarks.extraction.product import Extraction, decode_only, own_rate, pipeline
from benchmarks.extraction.rivals import EAGER, PLAIN, RIVALS, plain_loop
from benchmarks.inference.subject import Subject, open_subject
from benchmarks.request import Request
from benchmarks.streams import Streams
from benchmarks.timing import Spread, Way, take_turns
from lusfx.config import Precision
from lusfx.contracts import Encoder, EncoderRequest
from lusfx.cores import available_cores
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.encoders.torch_runtime import load_torch
from lusfx.engine.extraction.decoding.limits import default_workers
from lusfx.engine.extraction.extract import BATCH_SIZE
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.sources import discover
from lusfx.errors import LusfxError
from lusfx.plugins import Registry, load_registry

ENCODER_ALONE, DECODER_ALONE, WHOLE = "encoder alone", "one decoder alone", "whole extraction"
SAMPLED = "whole extraction of every fourth frame"
"""Its rate counts all frames of the clips that it is done with, encoded or not."""


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for."""
    plan = PLANS[request.size]
    return run(replace(plan, encoders=request.encoders or plan.encoders), request)


def run(plan: Plan, request: Request) -> dict[str, Any]:
    """Measure as planned; all that is written is removed at the end.

    :returns: the result, JSON values.
    """
    registry = load_registry()
    if request.threads:
        import torch

        torch.set_num_threads(request.threads)
    with TemporaryDirectory(prefix="lusfx-benchmark-") as name:
        folder = Path(name)
        material = gather(plan, folder, request.clips)
        subjects = [_measure_subject(name, material, plan, request, folder, registry) for name in plan.encoders]
        request.told("the command's first embedding, and its memory")
        command = _measure_command(material, plan, request, folder)
    return {
        "rivals": {name: text.format(batch_size=BATCH_SIZE) for name, text in RIVALS.items()},
        "plan": plan.as_dict(),
        "material": material.as_dict(),
        "default_workers": default_workers(),
        "subjects": subjects,
        "as_command": command,
    }


def _measure_subject(
    name: str, material: Material, plan: Plan, request: Request, folder: Path, registry: Registry
) -> dict[str, Any]:
    request.told(name)
    place = folder / f"subject-{len(list(folder.iterdir()))}"
    place.mkdir()
    subject = open_subject(name, place, registry)
    ways, n_frames = _ways(subject, material, plan, request, place, registry)
    times = take_turns(ways, plan.rounds)
    rates = {way: [n_frames[way] / seconds for seconds in found] for way, found in times.items()}
    return {
        "encoder": name,
        "random_weights": subject.random_weights,
        "size_px": subject.card.preprocess.size,
        "frames_a_s": {way: Spread.of(found).as_dict() for way, found in rates.items()},
        "times_the_plain_loop": _ratios(rates, rates[PLAIN]),
        "share_of_bound": _ratios(rates, _bound(rates, request.device, available_cores(), request.threads)),
        "writing_cost": _writing_cost(rates).as_dict(),
        "sampling_gain": _sampling_gain(rates).as_dict(),
    }


def _ways(
    subject: Subject, material: Material, plan: Plan, request: Request, folder: Path, registry: Registry
) -> tuple[dict[str, Way], dict[str, int]]:
    """Every way, and how many frames it encodes."""
    encoder = _open(subject, request, "float32", registry)
    sources = discover([material.folder], registry, site_key(), known=lambda path: False).sources
    workers = default_workers()
    images = np.concatenate(decode_only(encoder, sources[:1]))
    compute = load_torch(subject.directory, subject.card, request.device, "float32")
    size = subject.card.preprocess.size
    whole = Extraction(encoder, material.folder, folder, workers, BATCH_SIZE)

    ways: dict[str, Way] = {
        PLAIN: partial(plain_loop, material.rival_clips, size, 1, compute),
        EAGER: partial(plain_loop, material.rival_clips, size, BATCH_SIZE, compute),
        ENCODER_ALONE: partial(Streams(encoder.encode, encoder.streams), images, BATCH_SIZE),
        DECODER_ALONE: partial(decode_only, encoder, sources),
    }
    for number in sorted({*plan.workers, workers}):
        ways[title(number, BATCH_SIZE)] = partial(pipeline, encoder, sources, number, BATCH_SIZE)
    for batch_size in plan.batch_sizes:
        ways[title(workers, batch_size)] = partial(pipeline, encoder, sources, workers, batch_size)
    faster = _open_bfloat16(subject, request, registry)
    if faster is not None:
        ways[title(workers, BATCH_SIZE, "bfloat16")] = partial(pipeline, faster, sources, workers, BATCH_SIZE)
    ways[WHOLE] = whole
    ways[SAMPLED] = Extraction(encoder, material.folder, folder, workers, BATCH_SIZE, own_rate(sources[0]) / 4)
    n_frames = dict.fromkeys(ways, material.n_frames)
    n_frames |= dict.fromkeys(RIVALS, material.n_rival_frames) | {ENCODER_ALONE: len(images)}
    return ways, n_frames


def _open(subject: Subject, request: Request, precision: Precision, registry: Registry) -> Encoder:
    """The encoder as the command opens it, with its weights loaded."""
    asked = EncoderRequest(str(subject.directory), None, request.device, request.threads, precision)
    encoder = open_encoder(asked, registry)
    encoder.encode(np.zeros((1, encoder.preprocess.size, encoder.preprocess.size), np.uint8))
    return encoder


def _open_bfloat16(subject: Subject, request: Request, registry: Registry) -> Encoder | None:
    """The encoder in bfloat16; None where this machine has no runtime or no arithmetic for it."""
    try:
        return _open(subject, request, "bfloat16", registry)
    except LusfxError as error:
        request.told(f"bfloat16 is left out: {error}")
        return None


def _bound(rates: Mapping[str, list[float]], device: str, cores: int, threads: int) -> list[float]:
    """What decoding and encoding could reach together, each as fast as it is alone, with a decoder on every core.

    On a CPU the same cores do both, so what a frame takes of them adds up. A GPU encodes while the CPU decodes.

    :param threads: of the encoder; 0 for all cores. It is never faster than it is alone.
    """
    pairs = list(zip(rates[ENCODER_ALONE], rates[DECODER_ALONE], strict=True))
    if device == "cuda":
        return [min(encode, cores * decode) for encode, decode in pairs]
    used = min(threads or cores, cores)
    return [min(encode, cores / (used / encode + 1 / decode)) for encode, decode in pairs]


def _writing_cost(rates: Mapping[str, list[float]]) -> Spread:
    """The share of its time that extraction takes longer for writing, round by round."""
    without = rates[title(default_workers(), BATCH_SIZE)]
    return Spread.of([1 - whole / other for whole, other in zip(rates[WHOLE], without, strict=True)])


def _sampling_gain(rates: Mapping[str, list[float]]) -> Spread:
    """How many times as fast clips are done with where every fourth frame is encoded, round by round."""
    return Spread.of([sampled / whole for sampled, whole in zip(rates[SAMPLED], rates[WHOLE], strict=True)])


def _ratios(rates: Mapping[str, list[float]], to: list[float]) -> dict[str, Any]:
    """Each way's rate to another of the same round."""
    return {
        way: Spread.of([one / other for one, other in zip(found, to, strict=True)]).as_dict()
        for way, found in rates.items()
        if way not in (ENCODER_ALONE, DECODER_ALONE, SAMPLED)
    }


def _measure_command(material: Material, plan: Plan, request: Request, folder: Path) -> dict[str, Any]:
    """Of the default encoder: other users' caches are as cold as ours is."""
    starts = [
        start(material.clips[0], folder / f"start-{number}" / "cache", DEFAULT_ENCODER, request.device)
        for number in range(plan.starts)
    ]
    watched = start(material.folder, folder / "watched" / "cache", DEFAULT_ENCODER, request.device, watch_memory=True)
    return {
        "encoder": DEFAULT_ENCODER,
        "first_embedding_s": Spread.of([one.first_s for one in starts]).as_dict(),
        "peak_memory_mb": None if watched.peak_mb is None else round(watched.peak_mb),
    }
