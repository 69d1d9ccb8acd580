"""What a clip's frames show of where the beam is: pixel by pixel, at a small size.

A pixel of the beam is bright at some time, or changes. A panel, a page or a bar of a user interface is bright too, but even
and still. In a clip that moves, tissue changes from frame to frame. A strip that is swept, or a trace that runs, changes a
pixel only when it passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.beam.neighbours import highest_around, lowest_around
from lusfx.preprocess.resize import resized
from lusfx.spacing import evenly_spaced
from lusfx.types import Box, GreyImage

Mask = NDArray[np.bool_]

WORKING_SIDE_PX = 192
"""Frames are shrunk to this for the search: the shape is large, and finding it must cost little."""
FRAMES_USED = 12
"""Frames looked at, spread over those given: more change the projection little."""
BRIGHT = 9.0
"""Grey level above which a pixel is image: compression leaves up to 6 in the black around it."""
CHANGING = 2.0
"""Standard deviation over time above which a pixel is image, however dark."""
MOVING = 1.5
"""Median change from one frame looked at to the next, above which a pixel moves."""
EVEN_RANGE, EVEN_PX = 2, 5
"""A square of so many pixels whose greys differ by no more is even; compression leaves that much."""
EVEN_LEVEL = 24
"""Grey level above which what is even and still is ground: a far field without echoes is even, too, and darker."""
LETTER_PX = 9
"""What stands on the ground and is narrower is written there."""
STILL = 1.0
"""Standard deviation over time up to which a pixel is still."""
SAME_SCENE = 0.7
"""Share of the lit cells that two frames of one scene have in common at least."""
CELLS = 12
"""Frames are compared by so many rows and columns of cells."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Where frames of one scene may show the beam; all masks ``(height, width)`` at the working size.

    :param insonated: bright at some time or changing, and no ground.
    :param changing: another grey at some time; ``moving`` changing from frame to frame. Nowhere in stills and frozen clips.
    :param even: lit, even and still.
    :param ground: bright as well: a page, a panel, a bar.
    :param mean: over the frames, grey levels.
    :param middle: the frame in the middle.
    """

    insonated: Mask
    changing: Mask
    moving: Mask
    even: Mask
    ground: Mask
    mean: NDArray[np.float32]
    middle: GreyImage
    n_frames: int

    @property
    def moves(self) -> bool:
        """Whether there is motion to tell the beam by."""
        return bool(self.moving.mean() > 0.01)


def shrink(frames: Sequence[GreyImage], box: Box) -> list[GreyImage]:
    """A few frames, cut to the box and averaged down, each ``(height, width)``."""
    from PIL import Image

    scale = min(1.0, WORKING_SIDE_PX / max(box.height, box.width))
    size = (max(round(box.width * scale), 1), max(round(box.height * scale), 1))
    chosen = evenly_spaced(len(frames), FRAMES_USED)
    return list(resized((frames[i] for i in chosen), size, Image.Resampling.BOX, box))


def split_scenes(frames: Sequence[GreyImage]) -> list[list[GreyImage]]:
    """Frames in runs between cuts: title pages and changed depths begin a scene. Black frames are in none."""
    scenes: list[list[GreyImage]] = []
    last = None
    rows, columns = (np.linspace(0, n, min(CELLS, n), endpoint=False, dtype=np.intp) for n in frames[0][::2, ::2].shape)
    for frame in frames:
        bright = (frame[::2, ::2] > BRIGHT).astype(np.float32)  # a quarter of the pixels tells as well
        lit = np.add.reduceat(np.add.reduceat(bright, rows, axis=0), columns, axis=1)
        if not lit.any():
            continue
        if last is None or np.minimum(lit, last).sum() < SAME_SCENE * np.maximum(lit, last).sum():
            scenes.append([])
        scenes[-1].append(frame)
        last = lit
    return scenes


def gather(frames: Sequence[GreyImage]) -> Evidence:
    """Look at the frames of a scene together."""
    mean, deviation = mean_and_deviation(frames)
    peak = reduce(np.maximum, frames)
    lit, changing = peak > BRIGHT, deviation > CHANGING
    even = _even(peak) & lit & (deviation <= STILL)
    ground = _with_letters(_grown(even & (peak > EVEN_LEVEL))) & (deviation <= STILL)
    insonated = (lit | changing) & ~ground
    middle = frames[len(frames) // 2]
    return Evidence(insonated, changing, _moving(frames), _grown(even), ground, mean, middle, len(frames))


def join(scenes: Sequence[Evidence]) -> Evidence:
    """What scenes show together."""
    if len(scenes) == 1:
        return scenes[0]
    n_frames = sum(scene.n_frames for scene in scenes)
    mean = sum((scene.mean * np.float32(scene.n_frames / n_frames) for scene in scenes), np.float32(0))
    return Evidence(
        reduce(np.logical_or, (scene.insonated for scene in scenes)),
        reduce(np.logical_or, (scene.changing for scene in scenes)),
        reduce(np.logical_or, (scene.moving for scene in scenes)),
        reduce(np.logical_and, (scene.even for scene in scenes)),
        reduce(np.logical_and, (scene.ground for scene in scenes)),
        np.asarray(mean, np.float32),
        max(scenes, key=lambda scene: scene.n_frames).middle,
        n_frames,
    )


def mean_and_deviation(frames: Sequence[GreyImage]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and standard deviation over time: what numpy's give to the last bit, without a copy of all frames."""
    n_frames = np.float32(len(frames))
    mean = np.zeros(frames[0].shape, np.float32)
    for frame in frames:
        mean += frame
    mean /= n_frames
    variance, difference = np.zeros_like(mean), np.empty_like(mean)
    for frame in frames:
        np.subtract(frame, mean, out=difference)
        difference *= difference
        variance += difference
    variance /= n_frames
    return mean, np.sqrt(variance, out=variance)


def _moving(frames: Sequence[GreyImage]) -> Mask:
    if len(frames) < 2:
        return np.zeros(frames[0].shape, np.bool_)
    # More than half of the changes are large just where their median is: counting costs less than sorting.
    n_large = np.zeros(frames[0].shape, np.uint8)
    for earlier, later in pairwise(frames):
        n_large += np.maximum(earlier, later) - np.minimum(earlier, later) > MOVING
    return n_large > (len(frames) - 1) / 2


def _even(peak: GreyImage) -> Mask:
    """Pixels in the middle of an even square."""
    even: Mask = highest_around(peak, EVEN_PX) - lowest_around(peak, EVEN_PX) <= EVEN_RANGE
    return even


def _with_letters(ground: Mask) -> Mask:
    """The ground with the strokes that stand on it."""
    if not ground.any():
        return ground
    # Beyond the frame's border a panel goes on.
    closed: Mask = lowest_around(highest_around(ground, LETTER_PX, beyond=1), LETTER_PX, beyond=1)
    return closed


def _grown(middles: Mask) -> Mask:
    """The whole squares whose middles are given."""
    grown: Mask = highest_around(middles, EVEN_PX) if middles.any() else middles
    return grown
