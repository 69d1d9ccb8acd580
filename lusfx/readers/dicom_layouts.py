"""How uncompressed pixels lie in their bytes (PS3.5 8.1.1 and 8.2; PS3.3 C.7.6.3.1): the description against the length.

A layout is one reading of the bytes. The one that the header describes is taken where it fits the length; where another does,
and it alone or by far the smoothest, that one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UnreadableClipError
from lusfx.readers.dicom_description import GREYS, NATIVE_COLOURS, PALETTE, SUBSAMPLED, PixelDescription

Samples = NDArray[np.uint8 | np.uint16 | np.int8 | np.int16]
PADDING_BYTES = 512
"""More bytes behind the last frame are no padding, unless they are all the same."""
MOST_PADDING = 4
"""Then they may be one part in so many of a frame."""
SMOOTHER = 0.75
"""A reading is believed against the others where its neighbours differ by less than this share of theirs."""
CONTRADICTED = 0.6
"""Where pixels that a wrong order puts together differ by less than this share of others, it is the wrong one."""
ROWS_LOOKED_AT = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """One reading of uncompressed pixels.

    :param description: whose ``samples``, ``photometric``, ``planes`` and ``bits_allocated`` this is.
    :param n_frames: frames that the bytes hold, whole ones only.
    :param pairs: how 4:2:2 lies: ``padded`` (each row in whole pairs), ``rows`` (the last pixel of an odd row with one chroma),
        ``running`` (pairs across rows), ``planes``, or "" where each pixel has all its samples.
    :param changes: in how many ways this is not what the header says, its number of frames among them.
    :param is_described: whether it is what the header says, but for the number of frames.
    :param gap: bytes of padding behind each frame.
    """

    description: PixelDescription
    n_frames: int
    pairs: str = ""
    changes: int = 0
    is_described: bool = True
    gap: int = 0

    @property
    def stride(self) -> int:
        """Bytes from one frame to the next."""
        return self.frame_bytes + self.gap

    @property
    def frame_bytes(self) -> int:
        about = self.description
        if self.pairs == "padded":
            return about.rows * (about.columns + about.columns % 2) * 2 * about.bits_allocated // 8
        if self.pairs == "running":
            return (about.rows * about.columns + about.rows * about.columns % 2) * 2 * about.bits_allocated // 8
        if self.pairs:
            return about.rows * about.columns * 2 * about.bits_allocated // 8
        return about.rows * about.columns * about.samples * about.bits_allocated // 8

    def samples(self, content: bytes, order: str) -> Samples:
        """One frame ``(rows, columns)`` or ``(rows, columns, 3)``; of 4:2:2 the luma alone.

        :param order: ``<`` or ``>``, of samples of two bytes.
        """
        about = self.description
        kind = (
            f"{order if about.bits_allocated > 8 else '|'}{'i' if about.is_signed else 'u'}{about.bits_allocated // 8}"
        )
        values: Samples = np.frombuffer(content, kind)
        if kind[0] == ">":
            values = values.astype(values.dtype.newbyteorder("="))
        if self.pairs:
            return self._luma_of_pairs(values)
        if about.samples == 1:
            return values.reshape(about.rows, about.columns)
        if about.planes:
            return np.moveaxis(values.reshape(about.samples, about.rows, about.columns), 0, -1)
        return values.reshape(about.rows, about.columns, about.samples)

    def _luma_of_pairs(self, values: Samples) -> Samples:
        rows, columns = self.description.rows, self.description.columns
        if self.pairs == "planes":
            return values[: rows * columns].reshape(rows, columns)
        if self.pairs == "rows":
            lines = values[: rows * columns * 2].reshape(rows, columns * 2)
            even = lines[:, : columns // 2 * 4].reshape(rows, -1, 4)[..., :2].reshape(rows, -1)
            return np.concatenate([even, lines[:, columns // 2 * 4 :][:, : columns % 2]], axis=1)
        luma = values.reshape(-1, 4)[:, :2].reshape(-1)
        if self.pairs == "running":
            return luma[: rows * columns].reshape(rows, columns)
        return np.ascontiguousarray(luma.reshape(rows, -1)[:, :columns])


Look = Callable[[Layout], Samples]
"""Gives a frame in a layout, to look at."""
IsPadding = Callable[[int], bool]
"""Tells whether all bytes from a place on are the same."""


def choose_layout(described: PixelDescription, length: int, look: Look, is_padding: IsPadding) -> Layout:
    """The reading that fits the length.

    :param length: bytes of the value, as its element says.
    :param is_padding: for what stands behind the last frame.
    :raises UnreadableClipError: if no reading fits, or several do and the pixels do not tell which
        (``pixels-contradict-header``), or the header contradicts itself (``damaged``, ``unsupported-pixel-format``).
    """
    described.check()
    wanted = described.n_frames or 1
    stated = _as_described(described)
    if padded := [layout for layout in stated if _is_padded_by_frame(layout, length, wanted)]:
        return replace(padded[0], gap=1, is_described=False)
    sound = [layout for layout in stated if fits(layout, length, wanted)]
    if exact := [layout for layout in sound if _exact_frames(layout, length) == wanted] or sound[:1]:
        layout = _smoothest(exact, look)
        end = wanted * layout.frame_bytes
        is_as_stated = layout.is_described and (length - end <= 1 or is_padding(end))
        return replace(layout, is_described=is_as_stated)
    fitting = [
        replace(layout, n_frames=n_frames, changes=layout.changes + (n_frames != wanted))
        for layout in [*stated, *_alternatives(described)]
        if (n_frames := _exact_frames(layout, length)) > 0
    ]
    if fitting:
        return _smoothest(fitting, look)
    n_frames = length // stated[0].frame_bytes
    if n_frames >= wanted:
        end = wanted * stated[0].frame_bytes
        if (length - end) * MOST_PADDING <= stated[0].frame_bytes and is_padding(end):
            return stated[0]
        raise UnreadableClipError("pixels-contradict-header", "the pixel data's length fits no description of them")
    return replace(stated[0], n_frames=n_frames)


def fits(layout: Layout, length: int, n_frames: int) -> bool:
    """Whether so many frames fill the length, but for padding."""
    return 0 <= length - n_frames * layout.frame_bytes <= min(PADDING_BYTES, layout.frame_bytes // 4 + 1)


def _is_padded_by_frame(layout: Layout, length: int, n_frames: int) -> bool:
    """Whether each frame, and not the whole value alone, was filled up to an even length."""
    return layout.frame_bytes % 2 == 1 and n_frames > 1 and length == n_frames * (layout.frame_bytes + 1)


def roughness(plane: NDArray[np.generic]) -> float:
    """How much neighbours differ, by the spread of all pixels: pixels in a wrong order are rough. 0 of a flat plane.

    :param plane: ``(rows, columns)``, of which some rows are looked at.
    """
    upper = plane[_some_rows(plane)].astype(np.float32)
    spread = float(np.abs(upper - upper.mean()).mean())
    if spread < 0.5 or plane.shape[1] < 2:
        return 0.0
    return unevenness(plane) / spread


def unevenness(plane: NDArray[np.generic]) -> float:
    """How much neighbours differ, in the units of samples."""
    rows = _some_rows(plane)
    upper = plane[rows].astype(np.float32)
    lower = plane[np.minimum(rows + 1, plane.shape[0] - 1)].astype(np.float32)
    return float(np.abs(upper - lower).mean() + np.abs(np.diff(upper, axis=1)).mean())


def _some_rows(plane: NDArray[np.generic]) -> NDArray[np.int_]:
    return np.unique(np.linspace(0, max(plane.shape[0] - 2, 0), ROWS_LOOKED_AT).astype(int))


def _exact_frames(layout: Layout, length: int) -> int:
    """How many frames fill the length but for one byte of padding; 0 where none do."""
    n_frames = length // layout.frame_bytes
    return n_frames if length - n_frames * layout.frame_bytes <= 1 else 0


def _as_described(described: PixelDescription) -> list[Layout]:
    """The readings of what the header says: several of 4:2:2 with an odd width, which writers understand in their own ways."""
    n_frames = described.n_frames or 1
    if described.photometric != SUBSAMPLED or described.samples != 3:
        if described.samples == 3 and described.photometric not in NATIVE_COLOURS:
            return [Layout(replace(described, photometric="RGB"), n_frames, changes=1, is_described=False)]
        if described.samples == 1 and described.photometric not in GREYS | {PALETTE}:
            colour = Layout(replace(described, samples=3), n_frames, changes=1, is_described=False)
            return [colour, *_grey(described, n_frames)]
        return [Layout(described, n_frames)]
    return [Layout(described, n_frames, pairs) for pairs in _pairs_of(described)]


def _grey(described: PixelDescription, n_frames: int) -> list[Layout]:
    grey = replace(described, samples=1, photometric="MONOCHROME2", planes=False)
    return [Layout(grey, n_frames, changes=1, is_described=False)]


def _pairs_of(described: PixelDescription) -> Iterator[str]:
    yield "padded"
    if described.columns % 2:
        yield from ("rows", "running")
    if described.planes:
        yield "planes"


def _alternatives(described: PixelDescription) -> Iterator[Layout]:
    """All that is written under a wrong description: other samples, other bits, or both."""
    about = [described]
    for bits in {8, 16} - {described.bits_allocated}:
        # What is stored in one byte needs no more; of two bytes nothing is known but that they may all be used.
        stored = min(described.bits_stored, 8) if bits == 8 else 16
        about.append(replace(described, bits_allocated=bits, bits_stored=stored, high_bit=stored - 1))
    for changes, one in enumerate(about):
        n_frames = one.n_frames or 1
        single = one if one.samples == 1 and one.photometric in GREYS | {PALETTE} else None
        colour = (
            one.photometric
            if one.photometric in ("RGB", "YBR_FULL")
            else "YBR_FULL"
            if "422" in one.photometric
            else "RGB"
        )
        triple = replace(one, samples=3, photometric=colour)
        greys = (
            Layout(single, n_frames, changes=changes)
            if single
            else replace(_grey(one, n_frames)[0], changes=changes + 1)
        )
        readings = [
            greys,
            Layout(triple, n_frames, changes=changes + (one.samples == 1 or one.photometric != colour)),
            *(
                Layout(
                    replace(one, samples=3, photometric=SUBSAMPLED),
                    n_frames,
                    pairs,
                    changes + (one.photometric != SUBSAMPLED),
                )
                for pairs in _pairs_of(one)
            ),
        ]
        yield from (replace(reading, is_described=False) for reading in readings if reading.changes > 0)


def _planes_the_other_way(layouts: list[Layout]) -> list[Layout]:
    return [
        replace(
            layout,
            description=replace(layout.description, planes=not layout.description.planes),
            changes=layout.changes + 1,
            is_described=False,
        )
        for layout in layouts
        if layout.description.samples == 3 and not layout.pairs
    ]


def _believed(layout: Layout, look: Look) -> Layout:
    """A layout that fits, its colours plane by plane or pixel by pixel: as the header says, but where the pixels shout.

    Read pixel by pixel, planes show the picture three times side by side. Pixels that are read as planes show it three times
    below one another, line by line: a line is like the third below it and not like the next.
    """
    for other in _planes_the_other_way([layout]):
        first = look(layout)[..., 0].astype(np.float32)
        if layout.description.planes:
            is_wrong = _apart(first, 3, 0) < CONTRADICTED * _apart(first, 1, 0)
        else:
            third, aside = round(first.shape[1] / 3), max(first.shape[1] // 8, 1)
            elsewhere = min(_apart(first, third - aside, 1), _apart(first, third + aside, 1))
            is_wrong = _apart(first, third, 1) < CONTRADICTED * elsewhere
        if is_wrong:
            return other
    return layout


def _apart(plane: NDArray[np.float32], lag: int, axis: int) -> float:
    """Mean difference of pixels that are so many rows (axis 0) or columns apart, in some of the rows."""
    if not 0 < lag < plane.shape[axis]:
        return 0.0
    n_rows = plane.shape[0] - (lag if axis == 0 else 0)
    rows = np.unique(np.linspace(0, n_rows - 1, ROWS_LOOKED_AT).astype(int))
    if axis == 0:
        return float(np.abs(plane[rows] - plane[rows + lag]).mean())
    return float(np.abs(plane[rows, lag:] - plane[rows, :-lag]).mean())


def _smoothest(layouts: list[Layout], look: Look) -> Layout:
    """The only layout, or the one that is by far the smoothest, or the only one nearest to the header where all are flat."""
    if len(layouts) == 1:
        return _believed(layouts[0], look)
    rough = sorted(((_roughness_of(layout, look), layout.changes, k) for k, layout in enumerate(layouts)))
    first, second = rough[0], rough[1]
    if first[0] > 0 and first[0] < SMOOTHER * second[0]:
        return layouts[first[2]]
    # Of readings of like smoothness, the one nearest to the header, if there is one. What is flat tells nothing.
    near = [k for value, _, k in rough if value * SMOOTHER <= first[0] or first[0] == 0]
    fewest = min(layouts[k].changes for k in near)
    best = [k for k in near if layouts[k].changes == fewest]
    if len({layouts[k].frame_bytes for k in best}) > 1 or (len(best) > 1 and first[0] > 0):
        raise UnreadableClipError(
            "pixels-contradict-header", "the pixel data's length fits several descriptions of them"
        )
    return _believed(layouts[best[0]], look)


def _roughness_of(layout: Layout, look: Look) -> float:
    samples = look(layout)
    return roughness(samples if samples.ndim == 2 else samples[..., 0])
