"""The whole measurement: every encoder, runtime, mode and T."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.clips import decoded, draw_clips
from benchmarks.inference.cached import measure_cached
from benchmarks.inference.network import RIVAL, load_encoder, load_networks, runtimes
from benchmarks.inference.plan import PLANS, Plan
from benchmarks.inference.question import HEADS, Questions, make_questions
from benchmarks.inference.serving import SAME_WITHIN, Serving, Source, compare, modes
from benchmarks.inference.subject import Subject, open_subject
from benchmarks.request import Request
from lusfx.plugins import Registry, load_registry


def measure(request: Request) -> dict[str, Any]:
    """Measure at the size that is asked for."""
    plan = PLANS[request.size]
    return run(replace(plan, encoders=request.encoders or plan.encoders), request)


def run(plan: Plan, request: Request) -> dict[str, Any]:
    """Measure as planned; all that is written is removed at the end.

    :returns: the result, JSON values.
    """
    registry = load_registry()
    _set_torch_threads(request.threads)
    subjects = []
    for name in plan.encoders:
        with TemporaryDirectory(prefix="lusfx-benchmark-") as folder:
            subjects.append(_measure_subject(name, plan, request, Path(folder), registry))
    return {
        "rival": RIVAL,
        "heads": list(HEADS),
        "scores_same_within": SAME_WITHIN,
        "plan": plan.as_dict(),
        "subjects": subjects,
    }


def _measure_subject(name: str, plan: Plan, request: Request, folder: Path, registry: Registry) -> dict[str, Any]:
    subject = open_subject(name, folder, registry)
    (clip,) = draw_clips(folder / "clip", 1, plan.n_frames)
    spec = subject.card.preprocess

    def from_clip() -> Iterable[NDArray[np.uint8]]:
        return decoded(clip, registry, spec)

    images = np.stack(list(from_clip()))
    on = runtimes(request.device)
    encoder = load_encoder(subject, on[0], request.device, request.threads)
    questions = make_questions(max(plan.task_counts), subject, encoder(images), folder / "models", registry)
    comparisons = []
    for runtime in on:
        serving = Serving(
            load_encoder(subject, runtime, request.device, request.threads),
            load_networks(
                subject, questions.linear, runtime, request.device, request.threads, folder / f"{runtime}-networks"
            ),
            questions,
            subject.fingerprint,
        )
        for mode in modes(plan.batch_size):
            request.told(f"{name} on {runtime}, {mode.title}")
            source: Source = from_clip if mode.decodes else _held(images)
            facts = compare(serving, mode, source, _held(images[:1]), len(images), plan.task_counts, plan.rounds)
            comparisons.append({"runtime": runtime} | facts)
    request.told(f"{name}: scoring from the cache against encoding again")
    return {
        "encoder": name,
        "random_weights": subject.random_weights,
        "size_px": spec.size,
        "dim": subject.card.identity.dim,
        "fingerprint": subject.fingerprint,
        "comparisons": comparisons,
        "cached": _cached(subject, questions, encoder(images), plan, request, folder, registry),
    }


def _cached(
    subject: Subject,
    questions: Questions,
    embeddings: NDArray[np.float32],
    plan: Plan,
    request: Request,
    folder: Path,
    registry: Registry,
) -> dict[str, Any]:
    models = questions.models["logistic"][: plan.cached_tasks]
    places = questions.places["logistic"][: plan.cached_tasks]
    of_frames = make_questions(plan.frame_tasks, subject, embeddings, folder / "frame-models", registry, unit="frame")
    return measure_cached(
        subject,
        models,
        places,
        of_frames.models["mlp"],
        plan,
        request.device,
        request.threads,
        folder / "cached",
        registry,
    )


def _held(images: NDArray[np.uint8]) -> Callable[[], Iterable[NDArray[np.uint8]]]:
    return lambda: images


def _set_torch_threads(threads: int) -> None:
    if threads:
        import torch

        torch.set_num_threads(threads)
