"""The whole measurement: every encoder, number of threads and batch size, the runtimes taking turns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import decoded, draw_clips
from benchmarks.inference.subject import Subject, open_subject
from benchmarks.request import Device, Request
from benchmarks.runtimes.plan import PLANS, Plan
from benchmarks.streams import Encode, Images, Streams
from benchmarks.timing import Spread, take_turns
from lusfx.config import Precision
from lusfx.contracts import Runtime
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError, MissingExtraError
from lusfx.plugins import Registry, load_registry

RIVAL = "torch float32"
WAYS: Mapping[Device, Mapping[str, tuple[Runtime, Precision]]] = {
    "cpu": {
        "ONNX Runtime float32": ("onnxruntime", "float32"),
        "OpenVINO float32": ("openvino", "float32"),
        "OpenVINO bfloat16": ("openvino", "bfloat16"),
        RIVAL: ("torch", "float32"),
    },
    "cuda": {"torch float16": ("torch", "float16"), RIVAL: ("torch", "float32")},
}
"""Torch in float32, as it is when nothing is compiled, is what the others are measured against."""


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for."""
    plan = PLANS[request.size]
    threads = (request.threads,) if request.threads else plan.threads
    return run(replace(plan, encoders=request.encoders or plan.encoders, threads=threads), request)


def run(plan: Plan, request: Request) -> dict[str, Any]:
    """Measure as planned; all that is written is removed at the end.

    :returns: the result, JSON values.
    """
    registry = load_registry()
    subjects = []
    for name in plan.encoders:
        with TemporaryDirectory(prefix="lusfx-benchmark-") as folder:
            subjects.append(_measure_subject(name, plan, request, Path(folder), registry))
    return {"rival": RIVAL, "plan": plan.as_dict(), "subjects": subjects}


def _measure_subject(name: str, plan: Plan, request: Request, folder: Path, registry: Registry) -> dict[str, Any]:
    subject = open_subject(name, folder, registry)
    images = _frames(subject, max(plan.n_frames, max(plan.threads) * max(plan.batch_sizes)), folder, registry)
    timings, distances = [], {}
    for threads in plan.threads:
        ways, missing = _ways(subject, request.device, threads)
        for batch_size in plan.batch_sizes:
            request.told(f"{name}, {threads} threads, batches of {batch_size}")
            timings.append(
                {"threads": threads, "batch_size": batch_size}
                | _timing(ways, images[: threads * batch_size], batch_size, plan)
            )
        distances = _distances(ways, images[: plan.n_frames], plan.batch_sizes[-1])
    return {
        "encoder": name,
        "random_weights": subject.random_weights,
        "size_px": subject.card.preprocess.size,
        "dim": subject.card.identity.dim,
        "not_here": missing,
        "timings": timings,
        "distance_from_rival": distances,
    }


def _frames(subject: Subject, n_frames: int, folder: Path, registry: Registry) -> Images:
    """Prepared frames of synthetic clips ``(n_frames, size, size)``, eight of each."""
    clips = draw_clips(folder / "clips", -(-n_frames // 8), 8)
    frames = [frame for clip in clips for frame in decoded(clip, registry, subject.card.preprocess)]
    return np.stack(frames[:n_frames])


def _ways(subject: Subject, device: Device, threads: int) -> tuple[dict[str, Streams], dict[str, str]]:
    """What can compute the encoder here, and why the rest cannot."""
    ways: dict[str, Streams] = {}
    missing = {}
    for name, (runtime, precision) in WAYS[device].items():
        try:
            encoder = DirectoryEncoder(subject.directory, device, threads, precision, runtime)
            encoder.warm_up()
        except (EncoderError, MissingExtraError) as error:
            missing[name] = str(error)
            continue
        encode = _on_threads(encoder.encode, threads) if runtime == "torch" else encoder.encode
        ways[name] = Streams(encode, encoder.streams)
    return ways, missing


def _on_threads(encode: Encode, threads: int) -> Encode:
    """Torch has one number of threads for the process, and another way may have set it meanwhile."""
    import torch

    def encode_on_threads(images: Images) -> NDArray[np.float32]:
        if threads and torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        return encode(images)

    return encode_on_threads


def _timing(ways: Mapping[str, Streams], images: Images, batch_size: int, plan: Plan) -> dict[str, Any]:
    times = take_turns({name: partial(encode, images, batch_size) for name, encode in ways.items()}, plan.rounds)
    a_frame = {name: Spread.of([t / len(images) for t in each]).as_dict() for name, each in times.items()}
    rival = times.get(RIVAL, [])
    faster = {
        name: Spread.of([theirs / ours for ours, theirs in zip(each, rival, strict=True)]).as_dict()
        for name, each in times.items()
        if rival and name != RIVAL
    }
    return {"s_a_frame": a_frame, "times_as_fast": faster}


def _distances(ways: Mapping[str, Streams], images: Images, batch_size: int) -> dict[str, dict[str, float]]:
    """How far each way's embeddings are from the rival's: relative length of the difference, and cosines."""
    if RIVAL not in ways:
        return {}
    reference = ways[RIVAL](images, batch_size).astype(np.float64)
    centre = reference.mean(axis=0)
    found = {}
    for name, encode in ways.items():
        if name == RIVAL:
            continue
        embeddings = encode(images, batch_size).astype(np.float64)
        relative = np.linalg.norm(embeddings - reference, axis=1) / np.linalg.norm(reference, axis=1)
        cosine = _cosine(embeddings - centre, reference - centre)
        found[name] = {
            "relative_median": float(f"{np.median(relative):.3g}"),
            "relative_largest": float(f"{relative.max():.3g}"),
            "centred_cosine_median": round(float(np.median(cosine)), 5),
            "centred_cosine_least": round(float(cosine.min()), 5),
        }
    return found


def _cosine(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    cosine: NDArray[np.float64] = (one * other).sum(axis=1) / lengths
    return cosine
