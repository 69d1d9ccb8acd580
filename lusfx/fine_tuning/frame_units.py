"""Units as the frames that they are made of, for a network that is yet to see them."""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lusfx.spacing import evenly_spaced

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class FrameUnits:
    """``n`` units: clips, or exams of several clips.

    :param frames: ``(n_frames, size, size)`` uint8, those of all units and maybe others; mapped or in memory, never copied.
    :param clips: of each unit, for each of its clips, the positions of its frames; no clip without a frame, no unit without a
        clip.
    """

    frames: NDArray[np.uint8]
    clips: Sequence[Sequence[Rows]]

    def __len__(self) -> int:
        return len(self.clips)

    def __reduce__(self) -> tuple[Any, ...]:
        """Mapped frames do not travel to another process: it maps the same file."""
        frames = self.frames
        if isinstance(frames, np.memmap) and isinstance(frames.base, mmap.mmap):
            return _mapped, (frames.filename, frames.shape, self.clips)
        return type(self), (frames, self.clips)

    def take(self, units: NDArray[np.intp]) -> Self:
        """The named units, in the order given."""
        return replace(self, clips=[self.clips[unit] for unit in units.tolist()])

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Every one: grey values are whole numbers. ``(n,)``."""
        return np.ones(len(self), np.bool_)

    def thinned(self, frames_per_clip: int) -> Self:
        """The same units with at most so many frames a clip, evenly spaced."""
        clips = [[rows[evenly_spaced(len(rows), frames_per_clip)] for rows in unit] for unit in self.clips]
        return replace(self, clips=clips)

    def draw(self, unit: int, n: int, generator: np.random.Generator) -> Rows:
        """Draw ``n`` frames of a unit at random: their positions, ``(n,)``; as many from each of its clips as can be.

        No frame is drawn twice unless its clip has too few.
        """
        clips = self.clips[unit]
        turns = np.bincount(np.resize(generator.permutation(len(clips)), n), minlength=len(clips))
        return np.concatenate(
            [
                generator.choice(rows, count, replace=count > len(rows))
                for rows, count in zip(clips, turns.tolist(), strict=True)
                if count
            ]
        )


@dataclass(frozen=True, slots=True)
class LabelledFrames:
    """Units with what is known of them.

    :param targets: ``(n, n_outcomes)`` 0 or 1; anything else is not known, and teaches nothing.
    """

    units: FrameUnits
    targets: NDArray[np.int64]


def _mapped(file: Path, shape: tuple[int, ...], clips: Sequence[Sequence[Rows]]) -> FrameUnits:
    return FrameUnits(np.memmap(file, np.uint8, "r", shape=shape), clips)
