"""Cached features for other tools: as arrays, or as a table with a row a clip or a row a frame."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import Cache, Membership
from lusfx.engine.samples.pooling import needs_times, pooled_frames
from lusfx.engine.samples.readable_frames import ReadableFrames
from lusfx.engine.samples.stores import choose_store
from lusfx.errors import CacheError
from lusfx.messages import counted, short
from lusfx.outputs import prepare_files
from lusfx.shown import Shown
from lusfx.tables import Cell, ColumnType, check_table_name, write_table

Rows = Literal["mean", "max", "mean+max", "mean+std", "mean+change", "mean+max+change", "frames"]
"""How the frames of a clip become one row, or that each is a row."""
DEFAULT_ROWS: Rows = "mean+max"


@dataclass(frozen=True, slots=True, repr=False)
class Features(Shown):
    """Features of a cache. Arrays have one element a row: a clip, or a frame.

    :param values: ``(n, n_features)`` float32.
    :param clips: keys of the clips, which are hashes of their content.
    :param patients: pseudonyms; blank where nobody knows. ``exams`` and ``zones`` likewise.
    :param frames: position of the frame in its source, from 0; -1 of a clip.
    :param times_s: seconds of the frame after the clip's first; NaN where unknown, and of a clip.
    :param encoder: name of the encoder that made them, for people.
    :param fingerprint: of the feature spec: features of two fingerprints do not belong into one analysis.
    :param n_left_out: clips without a readable frame, damaged ones, and those without what the pooling asks for.
    """

    values: NDArray[np.float32]
    clips: NDArray[np.str_]
    patients: NDArray[np.str_]
    exams: NDArray[np.str_]
    zones: NDArray[np.str_]
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]
    encoder: str
    fingerprint: str
    n_left_out: int

    def __len__(self) -> int:
        return len(self.values)

    def summary(self) -> str:
        """One line."""
        return _said(
            len(np.unique(self.clips)), len(self), self.values.shape[1], self.encoder, self.fingerprint, self.n_left_out
        )


@dataclass(frozen=True, slots=True, repr=False)
class Exported(Shown):
    """A table of features that was written.

    :param n_rows: of clips or frames.
    :param n_left_out: as in :class:`Features`.
    """

    out: Path
    n_clips: int
    n_rows: int
    n_features: int
    encoder: str
    fingerprint: str
    n_left_out: int

    def summary(self) -> str:
        """One line."""
        return _said(self.n_clips, self.n_rows, self.n_features, self.encoder, self.fingerprint, self.n_left_out)

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx export --json`` prints."""
        return {
            "clips": self.n_clips,
            "rows": self.n_rows,
            "features": self.n_features,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
            "left_out": self.n_left_out,
        }


def load_features(
    cache: Path | str,
    *,
    rows: Rows = DEFAULT_ROWS,
    fingerprint: str | None = None,
    encoder: str | Path | None = None,
) -> Features:
    """Features of all clips that a cache holds, as arrays.

    :param rows: ``frames`` for a row a readable frame; else how the frames of a clip become its one row.
    :param fingerprint: which features, where the cache holds several.
    :param encoder: which features, by the encoder that made them.
    :raises CacheError: if there are none.
    """
    reading = _Reading.of(cache, rows, fingerprint, encoder)
    found = list(reading.clips())
    if not found:
        raise CacheError("no clip of the cache has such features")
    counts = [len(clip.values) for clip in found]
    members = [reading.members.get(clip.key, Membership()) for clip in found]
    return Features(
        values=np.concatenate([clip.values for clip in found]),
        clips=np.repeat([clip.key for clip in found], counts),
        patients=np.repeat([member.patient or "" for member in members], counts),
        exams=np.repeat([member.exam or "" for member in members], counts),
        zones=np.repeat([member.zone or "" for member in members], counts),
        frames=np.concatenate([clip.frames for clip in found]),
        times_s=np.concatenate([clip.times_s for clip in found]),
        encoder=reading.encoder,
        fingerprint=reading.fingerprint,
        n_left_out=reading.n_left_out,
    )


def export(
    cache: Path | str,
    out: Path | str,
    *,
    rows: Rows = DEFAULT_ROWS,
    fingerprint: str | None = None,
    encoder: str | Path | None = None,
    force: bool = False,
) -> Exported:
    """Write the features of all clips that a cache holds, a clip at a time: memory does not grow with the archive.

    :param out: ``.parquet`` or ``.csv``; its columns are ``clip``, ``patient``, ``exam``, ``zone``, ``frame``, ``time_s``,
        ``encoder``, ``fingerprint``, and ``f0``, ``f1``, ... Patients are pseudonyms.
    :param rows: as :func:`load_features` takes it; ``fingerprint`` and ``encoder`` likewise.
    :param force: whether a table that is there may be replaced.
    :raises CacheError: if there are none.
    """
    place = Path(out)
    check_table_name(place)
    prepare_files({"table": place}, force=force)
    reading = _Reading.of(cache, rows, fingerprint, encoder)
    clips = reading.clips()
    first = next(clips, None)
    if first is None:
        raise CacheError("no clip of the cache has such features")
    n_features = first.values.shape[1]
    columns: dict[str, ColumnType] = {"clip": "text", "patient": "text", "exam": "text", "zone": "text"}
    columns |= {"frame": "integer", "time_s": "number", "encoder": "text", "fingerprint": "text"}
    names = [f"f{number}" for number in range(n_features)]
    columns |= dict.fromkeys(names, "number")
    counts = {"clips": 0, "rows": 0}

    def cells() -> Iterator[Mapping[str, Cell]]:
        for clip in chain([first], clips):
            counts["clips"] += 1
            for row in reading.cells(clip, names):
                counts["rows"] += 1
                yield row

    write_table(place, columns, cells())
    return Exported(
        place,
        counts["clips"],
        counts["rows"],
        n_features,
        reading.encoder,
        reading.fingerprint,
        reading.n_left_out,
    )


@dataclass(frozen=True, slots=True)
class _ClipRows:
    """The rows of one clip; see :class:`Features`."""

    key: str
    values: NDArray[np.float32]
    frames: NDArray[np.int64]
    times_s: NDArray[np.float64]


@dataclass(slots=True)
class _Reading:
    """Reads clips, and counts those that have no features of this kind."""

    cache: Cache
    rows: Rows
    encoder: str
    fingerprint: str
    members: Mapping[str, Membership]
    n_left_out: int = 0

    @classmethod
    def of(cls, cache: Path | str, rows: Rows, fingerprint: str | None, encoder: str | Path | None) -> _Reading:
        opened = Cache.open(Path(cache))
        store = choose_store(opened, fingerprint, encoder)
        name = opened.encoder_name(store.fingerprint)
        return cls(opened, rows, name, store.fingerprint, opened.memberships())

    def clips(self) -> Iterator[_ClipRows]:
        store = self.cache.find(self.fingerprint)
        keys = sorted(store.keys())
        n_found = 0
        for key, embeddings in store.read_all(keys, lambda key, error: None):  # damaged: left out, and counted
            frames = ReadableFrames(embeddings)
            if not len(frames):
                continue
            if self.rows == "frames":
                n_found += 1
                yield _ClipRows(key, frames.rows, frames.source_frame, frames.times_s)
                continue
            if needs_times(self.rows) and frames.change is None:
                continue
            n_found += 1
            yield _ClipRows(key, pooled_frames(frames, self.rows)[None], np.array([-1]), np.array([np.nan]))
        self.n_left_out = len(keys) - n_found

    def cells(self, clip: _ClipRows, names: list[str]) -> Iterator[dict[str, Cell]]:
        member = self.members.get(clip.key, Membership())
        constant: dict[str, Cell] = {
            "clip": clip.key,
            "patient": member.patient,
            "exam": member.exam,
            "zone": member.zone,
            "encoder": self.encoder,
            "fingerprint": self.fingerprint,
        }
        for frame, time_s, values in zip(clip.frames.tolist(), clip.times_s.tolist(), clip.values, strict=True):
            at: dict[str, Cell] = {"frame": None if frame < 0 else frame, "time_s": time_s}
            yield constant | at | dict(zip(names, values.tolist(), strict=True))


def _said(n_clips: int, n_rows: int, n_features: int, encoder: str, fingerprint: str, n_left_out: int) -> str:
    left_out = f"; {counted(n_left_out, 'clip')} left out" if n_left_out else ""
    return (
        f"{counted(n_rows, 'row')} of {counted(n_features, 'feature')} from {counted(n_clips, 'clip')}, {encoder} "
        f"({short(fingerprint)}){left_out}"
    )
