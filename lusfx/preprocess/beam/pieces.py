"""Connected pieces of what may be the beam, whole and parted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lusfx.preprocess.beam.evidence import Evidence, Mask

MIN_AREA = 0.04
"""Smallest share of the frame that can be a beam."""
MIN_MOVING_AREA = 0.015
"""The same where motion tells it from what stands still."""
MIN_DETACHED_AREA = 0.004
"""Smallest share of the frame that a piece beside another must have to count."""
COMPARABLE = 0.5
"""A piece with a smaller share of the best one's weight is no second image."""
MOST_PIECES = 3
MOSTLY = 0.5
"""A piece moves if more than this share of its pixels does."""
OPENING_PX = 2
"""Half width of strokes that are cut off: letters, ticks and markers that touch the beam."""
DISC = tuple(
    (y, x)
    for y, x in product(range(2 * OPENING_PX + 1), repeat=2)
    if (y - OPENING_PX) ** 2 + (x - OPENING_PX) ** 2 <= OPENING_PX**2
)
"""Pixels of a disc of that radius, by their row and column in the square around it."""
VALLEY = 0.6
"""Two images that touch have, between them, lines with a smaller share of what the fuller lines of both have."""
MIDDLE = 0.2
"""The valley is looked for at least so far, as a share of a piece's extent, from its ends."""


class Piece(NamedTuple):
    """A connected piece, and the piece with others that shadows may have cut from it. Holes are filled.

    :param with_bits: with smaller pieces that move; None where there are none, or the same as before, as of the others.
    :param with_moving: with all pieces above and below it that move.
    :param with_all: with all pieces above and below it.
    """

    alone: Mask
    with_bits: Mask | None
    with_moving: Mask | None
    with_all: Mask | None


def find_pieces(evidence: Evidence, insonated: Mask) -> list[Piece]:
    """Pieces that are large enough for a beam, the one that moves most (of stills, the largest) first.

    :param insonated: of the evidence, or a part of it.
    """
    from scipy import ndimage

    labels, _ = ndimage.label(without_strokes(insonated))
    sizes = np.bincount(labels.ravel(), minlength=2)
    sizes[0] = 0
    moving = np.bincount(labels.ravel(), weights=evidence.moving.ravel(), minlength=2)
    moving[0] = 0
    weights = np.where(sizes >= MIN_MOVING_AREA * labels.size, moving, 0)
    if not evidence.moves:
        weights = np.where(sizes >= MIN_AREA * labels.size, sizes, 0)
    ranked = np.argsort(-weights, kind="stable")[:MOST_PIECES]

    def together(label: np.intp, others: NDArray[np.bool_]) -> Mask | None:
        if not others.any():
            return None
        joined: Mask = ndimage.binary_fill_holes(others[labels] | (labels == label))
        return joined

    found = []
    for label in ranked[weights[ranked] > COMPARABLE * weights[ranked[0]]]:
        alone: Mask = ndimage.binary_fill_holes(labels == label)
        beside = sizes >= MIN_DETACHED_AREA * labels.size
        beside[label] = False
        if not beside.any():
            found.append(Piece(alone, None, None, None))
            continue
        small, moves = weights < COMPARABLE * weights[label], moving > MOSTLY * sizes
        in_line = _share_in_columns(labels, alone) > MOSTLY
        bits, moving_ones, all_ones = beside & small & moves, beside & moves & in_line, beside & in_line
        found.append(
            Piece(
                alone,
                together(label, bits),
                together(label, moving_ones) if (moving_ones != bits).any() else None,
                together(label, all_ones) if (all_ones != moving_ones).any() else None,
            )
        )
    return found


def _share_in_columns(labels: NDArray[np.integer], piece: Mask) -> NDArray[np.float64]:
    """Of each labelled piece, the share that lies in columns that a piece has."""
    within = np.broadcast_to(piece.any(axis=0), piece.shape)
    sizes = np.bincount(labels.ravel())
    return np.bincount(labels.ravel(), weights=within.ravel(), minlength=len(sizes)) / np.maximum(sizes, 1)


def split(piece: Mask) -> Iterator[tuple[Mask, Mask]]:
    """The two parts on either side of a valley, across and down: images that touch each other."""
    for axis in (0, 1):
        place = _valley(piece.sum(axis=axis))
        if place is None:
            continue
        before, after = piece.copy(), piece.copy()
        if axis == 0:
            before[:, place:], after[:, :place] = False, False
        else:
            before[place:], after[:place] = False, False
        yield before, after


def _valley(profile: NDArray[np.intp]) -> int | None:
    """The place between two hills of a profile, where both are higher by much."""
    lines = np.nonzero(profile)[0]
    if not len(lines):
        return None
    start, end = int(lines[0]), int(lines[-1]) + 1
    margin = max(int(MIDDLE * (end - start)), 1)
    inner = profile[start + margin : end - margin]
    if not len(inner):
        return None
    place = start + margin + int(inner.argmin())
    lower = min(profile[start:place].max(initial=0), profile[place + 1 : end].max(initial=0))
    return place if profile[place] < VALLEY * lower else None


def without_strokes(insonated: Mask) -> Mask:
    """Closed and then opened by a disc."""
    # Beyond the border a beam goes on: without padding, opening would nibble at it there.
    margin = 2 * OPENING_PX
    padded = np.pad(insonated, margin, mode="edge")
    closed = _eroded(_dilated(padded))
    opened: Mask = _dilated(_eroded(closed))[margin:-margin, margin:-margin]
    return opened


def _dilated(mask: Mask) -> Mask:
    """Every pixel with a True one within the disc; what is beyond the border is False."""
    height, width = mask.shape
    padded = np.pad(mask, OPENING_PX)
    return reduce(np.logical_or, (padded[y : y + height, x : x + width] for y, x in DISC))


def _eroded(mask: Mask) -> Mask:
    """Every pixel with nothing but True ones within the disc; what is beyond the border is False."""
    height, width = mask.shape
    padded = np.pad(mask, OPENING_PX)
    return reduce(np.logical_and, (padded[y : y + height, x : x + width] for y, x in DISC))
