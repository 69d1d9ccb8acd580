"""Uncompressed pixels of a DICOM file, read frame by frame (PS3.5 8.2.1 and 8.1.1, A.1 to A.3)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from copy import copy
from dataclasses import replace
from typing import IO

import numpy as np

from lusfx.readers.dicom_description import PixelDescription
from lusfx.readers.dicom_layouts import Layout, Samples, choose_layout

N_SAMPLED = 8


class NativePixels:
    """Frames of samples in the layout that fits their bytes.

    :param start: where the value begins in the stream.
    :param length: bytes of the value, as its element says.
    :param big_endian: of samples of two bytes.
    :param in_words: whether bytes were written as words of that order, which exchanges them in pairs (PS3.5 A.3: OW, not OB).
    :raises UnreadableClipError: as :func:`~lusfx.readers.dicom_layouts.choose_layout`.
    """

    def __init__(
        self,
        stream: IO[bytes],
        start: int,
        length: int,
        described: PixelDescription,
        *,
        big_endian: bool,
        in_words: bool,
    ) -> None:
        self._stream, self._start = stream, start
        self._order = ">" if big_endian else "<"
        self._in_pairs = big_endian and in_words
        self._available = max(stream.seek(0, os.SEEK_END) - start, 0)
        layout = choose_layout(described, length, self._look, lambda place: self._is_padding(place, length))
        self.layout = replace(layout, n_frames=min(layout.n_frames, (self._available + layout.gap) // layout.stride))

    @property
    def description(self) -> PixelDescription:
        return self.layout.description

    def __len__(self) -> int:
        return self.layout.n_frames

    def __iter__(self) -> Iterator[Samples]:
        for index in range(len(self)):
            yield self._frame(self.layout, index)

    def some(self) -> Iterator[Samples]:
        """Frames from all over the clip."""
        for index in sorted({round(place) for place in np.linspace(0, len(self) - 1, N_SAMPLED)} if len(self) else ()):
            yield self._frame(self.layout, index)

    def as_unsigned(self) -> NativePixels:
        """The same samples, of which none is below 0."""
        found = copy(self)
        about = replace(self.layout.description, is_signed=False)
        found.layout = replace(self.layout, description=about, is_described=False)
        return found

    def _is_padding(self, start: int, end: int) -> bool:
        self._stream.seek(self._start + start)
        return len(set(self._stream.read(end - start))) <= 1

    def _look(self, layout: Layout) -> Samples:
        """The middle one of the frames that are there; of none, a flat one."""
        n_frames = min(layout.n_frames, (self._available + layout.gap) // layout.stride)
        if n_frames == 0:
            return np.zeros((2, 2), np.uint8)
        return self._frame(layout, n_frames // 2)

    def _frame(self, layout: Layout, index: int) -> Samples:
        n_bytes = layout.frame_bytes
        begin = index * layout.stride
        if not (self._in_pairs and layout.description.bits_allocated == 8):
            self._stream.seek(self._start + begin)
            return layout.samples(self._stream.read(n_bytes), self._order)
        even_begin, even_end = begin - begin % 2, begin + n_bytes + (begin + n_bytes) % 2
        self._stream.seek(self._start + even_begin)
        content = self._stream.read(even_end - even_begin)
        words = (
            np.frombuffer(content[: len(content) // 2 * 2], np.uint16).byteswap().tobytes()
            + content[len(content) // 2 * 2 :]
        )
        return layout.samples(words[begin - even_begin :][:n_bytes], self._order)
