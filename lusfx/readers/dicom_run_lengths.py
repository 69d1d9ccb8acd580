"""What run lengths say of a frame (PS3.5 G): how many planes, how many pixels, how wide a row is."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import replace

from lusfx.readers.dicom_description import GREYS, PALETTE, PixelDescription
from lusfx.readers.dicom_shades import colour_family

HEADER = struct.Struct("<16L")
PLANES = {1: (1, 8), 2: (1, 16), 3: (3, 8), 6: (3, 16)}
"""Samples and bits of a pixel by segments, each of which holds one byte of every pixel."""
ROWS_LOOKED_AT = 32
LEAST_WIDTH = 16


def by_run_lengths(frame: bytes, described: PixelDescription) -> PixelDescription:
    """The description as a frame has it: by its segments, and by where rows end, across which no run goes (PS3.5 G.3.1)."""
    starts = _starts(frame)
    if len(starts) in PLANES and len(starts) * 8 != described.samples * described.bits_allocated:
        described = _of_planes(described, *PLANES[len(starts)])
    if not starts or described.rows <= 0 or described.columns <= 0:
        return described
    first = frame[starts[0] : starts[1]] if len(starts) > 1 else frame[starts[0] :]
    if (n_pixels := _n_bytes(first)) == 0:
        return described
    as_described = n_pixels - 1 <= described.rows * described.columns <= n_pixels
    if as_described and _has_rows_of(first, described.columns, min(described.rows, ROWS_LOOKED_AT)):
        return described
    ends = set(_ends(first))
    for width in (described.columns, described.rows, *range(LEAST_WIDTH, n_pixels // LEAST_WIDTH)):
        if n_pixels % width == 0 and ends.issuperset(range(width, n_pixels + 1, width)):
            return replace(described, rows=n_pixels // width, columns=width)
    return described


def without_trailer(frame: bytes, n_pixels: int) -> bytes:
    """A frame without what stands behind the last run of its last plane."""
    starts = _starts(frame)
    if not starts:
        return frame
    place = starts[-1]
    for n_done, end in _walk(frame[starts[-1] :]):
        place = starts[-1] + end
        if n_done >= n_pixels:
            break
    return frame[:place]


def _of_planes(described: PixelDescription, samples: int, bits: int) -> PixelDescription:
    photometric = described.photometric
    if samples == 1 and photometric not in GREYS | {PALETTE}:
        photometric = "MONOCHROME2"
    elif samples == 3:
        photometric = colour_family(described) or "RGB"
    stored = bits if bits == 16 and described.bits_stored <= 8 else min(described.bits_stored, bits)
    return replace(described, samples=samples, bits_allocated=bits, bits_stored=stored, photometric=photometric)


def _starts(frame: bytes) -> Sequence[int]:
    """Where segments begin; none where the header is damaged."""
    if len(frame) < HEADER.size:
        return ()
    n_segments, *places = HEADER.unpack_from(frame)
    starts = places[:n_segments]
    sound = (
        1 <= n_segments <= 15 and starts == sorted(set(starts)) and HEADER.size <= starts[0] and starts[-1] < len(frame)
    )
    return starts if sound else ()


def _n_bytes(segment: bytes) -> int:
    from rle.rle import decode_segment

    try:
        return len(decode_segment(segment))
    except Exception:
        return 0


def _has_rows_of(segment: bytes, width: int, n_rows: int) -> bool:
    wanted = width
    for n_done in _ends(segment):
        if n_done == wanted:
            wanted += width
        if wanted > width * n_rows:
            return True
        if n_done > wanted:
            return False
    return False


def _ends(segment: bytes) -> Iterator[int]:
    """How many bytes are decoded after each run."""
    return (n_done for n_done, _ in _walk(segment))


def _walk(segment: bytes) -> Iterator[tuple[int, int]]:
    """Bytes decoded, and bytes read, after each run (PS3.5 G.3.2)."""
    place = n_done = 0
    while place + 1 < len(segment):
        head = segment[place]
        if head < 128:
            place += head + 2
            n_done += head + 1
        elif head > 128:
            place += 2
            n_done += 257 - head
        else:
            place += 1
            continue
        yield n_done, place
