"""From sources to the frames that an encoder is trained on: read and prepared as by extraction, a few frames a clip."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import clip_key
from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.sources import Source, discover
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.networks.frame_store import FrameStore
from lusfx.plugins import Registry
from lusfx.preprocess import prepare
from lusfx.site_key import SiteKey
from lusfx.spacing import evenly_spaced

Images = NDArray[np.uint8]
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


Refusal = Callable[[DecodedClip], str | None]
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
    refusal: Refusal = lambda _clip: None,
    told: DecodingListener | None = None,
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
    seen: set[str] = set()
    held = store.keys()
    for position, number in enumerate(order):
        if stop.is_set():
            store.commit()
            return False
        if store.n_frames >= bounds.max_frames:
            counts["beyond the bound"] = len(order) - position
            break
        outcome = _take(store, sources[number], spec, bounds, refusal, site_key, seen, held)
        counts[outcome] += 1
        if told is not None:
            told(position + 1, len(order))
    store.commit()
    store.finish(_report(store, len(order), found.not_clips, counts))
    return True


def _take(
    store: FrameStore,
    source: Source,
    spec: PreprocessSpec,
    bounds: FrameBounds,
    refusal: Refusal,
    site_key: SiteKey,
    seen: set[str],
    held: set[str],
) -> str:
    """Put one source's frames into the store, and say what became of it."""
    try:
        if source.reader is None:
            raise UnreadableClipError(source.problem or "unknown-format", "no reader claims this kind of file")
        key = clip_key(source.path)
        if key in seen:
            return "the same content again"
        seen.add(key)
        if key not in held:
            clip = decode(source, spec, min(bounds.frames_per_clip, bounds.max_frames - store.n_frames), site_key)
            code = refusal(clip)
            if code is not None:
                return f"{NOT_ASSESSABLE}{code}"
            store.add(key, clip.patient_key, clip.frames, clip.times_s)
    except SkippedClipError as error:
        return f"skipped: {error.code}"
    except ClipError as error:
        return f"failed: {error.code}"
    return "taken"


def decode(source: Source, spec: PreprocessSpec, most: int, site_key: SiteKey) -> DecodedClip:
    """Prepare at most so many frames of a clip, evenly spaced.

    How long a clip is shows at its end only. So every frame is kept at first, every second one once there are four times too
    many, and so on: memory does not grow with the clip.

    :raises ClipError: if there is no frame to be had; whatever a reader raises becomes one.
    """
    assert source.reader is not None
    kept: list[tuple[float, Images]] = []
    stride, n_readable = 1, 0
    try:
        with source.reader.open(source.path, site_key) as opened:
            prepared = prepare(opened, spec)
            for number, frame in enumerate(f for f in prepared.source_frames() if f.pixels is not None):
                n_readable = number + 1
                if number % stride == 0 and frame.pixels is not None:
                    kept.append((frame.time_s, prepared.transform(frame.pixels)))
                    if len(kept) == 4 * most:
                        kept, stride = kept[::2], 2 * stride
            patient_key = source.patient_key or opened.info.patient_key
    except ClipError:
        raise
    except Exception as error:
        # Whatever a decoder or a plugin's reader raises may quote the file; its type says enough.
        raise UnreadableClipError("reader-error", f"the reader failed with {type(error).__name__}") from None
    if not kept:
        raise UnreadableClipError("no-frames", "no frame of the clip could be decoded")
    chosen = evenly_spaced(len(kept), most)
    return DecodedClip(
        patient_key,
        np.stack([kept[i][1] for i in chosen]),
        np.array([kept[i][0] for i in chosen], np.float64),
        n_readable,
        prepared.beam.confidence,
    )


def _report(store: FrameStore, found: int, not_clips: int, counts: Counter[str]) -> dict[str, Any]:
    patients = {clip.patient_key for clip in store.clips}
    return {
        "sources": found,
        "other_files": not_clips,
        "clips": len(store.clips),
        "patients": len(patients - {None}),
        "clips_of_unknown_patients": sum(clip.patient_key is None for clip in store.clips),
        "frames": store.n_frames,
        "outcomes": dict(sorted(counts.items())),
    }
