"""From sources to the frames that an encoder is trained on: read and prepared as by extraction, a few frames a clip."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.sources import Source, discover
from lusfx.networks.clips_in_order import TAKEN, ClipInTurn, ClipsInOrder
from lusfx.networks.frame_store import FrameStore
from lusfx.networks.spread_frames import Images
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey, same_patient

DecodingListener = Callable[[int, int], None]
"""Told how many sources are gone through, and of how many."""
NOT_ASSESSABLE = "not assessable: "
"""What the counts call a clip that was refused, before its code."""


@dataclass(frozen=True, slots=True)
class DecodingProgress:
    """How far decoding is.

    :param done: sources gone through; ``found`` are there in all.
    """

    done: int
    found: int


@dataclass(frozen=True, slots=True)
class FrameBounds:
    """How many frames are kept.

    :param frames_per_clip: at most, evenly spaced over the clip.
    :param max_frames: of all clips together; the clips that fill it are drawn at random.
    """

    frames_per_clip: int
    max_frames: int


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """The frames of a clip that are kept.

    :param frames: ``(n, size, size)``.
    :param times_s: ``(n,)`` seconds after the clip's first frame; NaN where unknown.
    :param n_readable: frames of the clip that could be decoded, of which these are some.
    :param beam_confidence: from 0 to 1.
    """

    patient_key: str | None
    frames: Images
    times_s: NDArray[np.float64]
    n_readable: int
    beam_confidence: float


Exclusion = Callable[[DecodedClip], str | None]
"""Why a decoded clip is to be left out, as a code; None where it is not."""


def fill_store(
    store: FrameStore,
    places: Sequence[Path],
    spec: PreprocessSpec,
    bounds: FrameBounds,
    registry: Registry,
    site_key: SiteKey,
    *,
    seed: int,
    wanted: Callable[[Source], bool] = lambda _source: True,
    refusal: Exclusion = lambda _clip: None,
    progress: DecodingListener | None = None,
    stop: threading.Event,
) -> bool:
    """Decode what the store lacks.

    Sources are taken in an order that the seed draws, so that a store which cannot hold the archive holds a sample of it. A bad
    source is counted and stops no other.

    :param wanted: which of the sources are taken at all.
    :returns: whether all sources were gone through, or the store is full; False if the run was stopped.
    """
    if store.complete:
        return True
    found = discover(places, registry, site_key, known=lambda _path: False)
    sources = [source for source in found.sources if wanted(source)]
    order = np.random.default_rng([seed, len(sources)]).permutation(len(sources))
    counts: Counter[str] = Counter()
    in_order = ClipsInOrder(spec, registry, site_key, bounds.frames_per_clip, store.keys(), stop)
    with contextlib.closing(in_order.run([sources[number] for number in order])) as clips:
        for position in range(len(order)):
            if stop.is_set():
                break
            if store.n_frames >= bounds.max_frames:
                counts["beyond the bound"] = len(order) - position
                break
            clip = next(clips, None)
            if clip is None:
                break
            counts[_keep(store, clip, bounds, refusal)] += 1
            if progress is not None:
                progress(position + 1, len(order))
    store.commit()
    if counts.total() < len(order):  # it was stopped
        return False
    store.finish(_report(store, len(order), found.not_clips, counts))
    return True


def _keep(store: FrameStore, clip: ClipInTurn, bounds: FrameBounds, refusal: Exclusion) -> str:
    """Put one source's frames into the store, and say what became of it."""
    if clip.ending is None:
        assert clip.counted_as is not None
        return clip.counted_as
    frames, times_s = clip.frames.chosen(min(bounds.frames_per_clip, bounds.max_frames - store.n_frames))
    patient_key = clip.source.patient_key or clip.ending.patient_key
    decoded = DecodedClip(patient_key, frames, times_s, clip.frames.n_added, clip.ending.beam_confidence)
    code = refusal(decoded)
    if code is not None:
        return f"{NOT_ASSESSABLE}{code}"
    store.add(clip.key, patient_key, frames, times_s, clip.ending.patient_key)
    return TAKEN


def _report(store: FrameStore, found: int, not_clips: int, counts: Counter[str]) -> dict[str, Any]:
    patients = {clip.patient_key and same_patient(clip.patient_key) for clip in store.clips}
    return {
        "sources": found,
        "other_files": not_clips,
        "clips": len(store.clips),
        "patients": len(patients - {None}),
        "clips_of_unknown_patients": sum(clip.patient_key is None for clip in store.clips),
        "frames": store.n_frames,
        "outcomes": dict(sorted(counts.items())),
    }
