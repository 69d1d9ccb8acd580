"""A pack: thousands of clips in one file, each proven by a checksum of its own when it is read.

Read by plain system calls and not mapped into memory: where a mapped file is cut short or its disk fails, the process dies
of a signal; and with checking, faulting a map's pages in took longer than copying them (1.6 times, on two cores of Zen 4).
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from lusfx.cache import record
from lusfx.cache.pack_layout import CHECKSUM_BYTES, COLUMNS, KEY_DIGITS, SEAL_BYTES, TABLES, PackLayout
from lusfx.cache.sealed import cannot_read
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import short
from lusfx.plain_file import open_plain_file
from lusfx.types import ClipEmbeddings

RUN_BYTES = 1 << 20
"""Clips that lie side by side are read together up to so many bytes: few system calls, and the processor's cache holds them."""
HASHED_AT_ONCE = 1 << 22
MAX_BYTES = 1 << 34
"""Of a pack: a hundred times what one is filled to, since a single clip may be longer. A file with holes may be of any size."""
KEYS = re.compile(rb"[0-9a-f]*")
DESCRIBES_NO_CLIPS = "the tables of a pack describe no clips"
MEND = "Run: lusfx cache repair, then extract it again"


class Pack:
    """What a pack holds, and how to read it. Its file is open only while it is read: a cache may have hundreds.

    :param keys: clip keys, in the order in which the clips lie.
    """

    def __init__(self, path: Path, layout: PackLayout, tables: Mapping[str, NDArray[Any]]) -> None:
        self.path = path
        self.layout = layout
        text = tables["clip_key"].tobytes().decode("ascii")
        self.keys = [text[at : at + KEY_DIGITS] for at in range(0, len(text), KEY_DIGITS)]
        self._first_frame: list[int] = tables["first_frame"].tolist()
        self._first_provenance: list[int] = tables["first_provenance"].tolist()
        self._checksums = tables["checksum"].tobytes()

    @classmethod
    def open(cls, path: Path, fingerprint: str, dim: int, pack_id: str | None = None) -> Self:
        """Look into a pack, and check its seal and the tables that say which clips it has.

        :param pack_id: SHA-256 of its body, where that is not the file's name.
        :raises FileNotFoundError: if it is not there (any more).
        :raises CorruptRecordError: if it is not what was written, or of another fingerprint.
        :raises CacheError: if it cannot be read at present.
        """
        with _File.open(path) as file:
            layout = PackLayout.of_seal(file.read(0, SEAL_BYTES).tobytes())
            found = layout.fingerprint.hex(), layout.dim, layout.body_sha256.hex()
            if found != (fingerprint, dim, pack_id or path.stem):
                raise CorruptRecordError("a pack lies where another one belongs")
            return cls(path, layout, _checked_tables(file, layout))

    @property
    def n_bytes(self) -> int:
        """Bytes of all embeddings."""
        return self.layout.n_bytes("embeddings")

    def n_bytes_of(self, number: int) -> int:
        """Bytes of one clip's embeddings."""
        frames = self._first_frame[number + 1] - self._first_frame[number]
        return frames * self.layout.row_bytes("embeddings")

    def read(self, number: int) -> ClipEmbeddings:
        """The clip of a number, checked.

        :raises FileNotFoundError: if the pack is not there any more.
        :raises CorruptRecordError: if the clip is not what was written.
        :raises CacheError: if it cannot be read at present.
        """
        ((_, embeddings),) = self.read_all([number])
        if isinstance(embeddings, CacheError):
            raise embeddings
        return embeddings

    def read_all(self, numbers: Sequence[int]) -> Iterator[tuple[int, ClipEmbeddings | CacheError]]:
        """Clips by their numbers, each checked; what cannot be read is an error in the place of a clip.

        :param numbers: rising. Neighbours are read together.
        :raises FileNotFoundError: if the pack is not there any more, before the first clip.
        """
        with _File.open(self.path) as file:
            for first, last in self._runs(numbers):
                yield from self._clips(file, first, last)

    def verify(self) -> None:
        """Check every byte.

        :raises FileNotFoundError: if the pack is not there any more.
        :raises CorruptRecordError: if a byte differs from what was written.
        :raises CacheError: if the file cannot be read at present.
        """
        found = hashlib.sha256()
        end = SEAL_BYTES + self.layout.body_bytes
        with _File.open(self.path) as file:
            if file.size != end:
                raise CorruptRecordError("a pack is not as long as it was written")
            for at in range(SEAL_BYTES, end, HASHED_AT_ONCE):
                found.update(file.read(at, min(HASHED_AT_ONCE, end - at)).data)
        if found.digest() != self.layout.body_sha256:
            raise CorruptRecordError("a pack does not have the content that was written")

    def _runs(self, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
        """First and last of clips that are wanted and lie side by side."""
        if not numbers:
            return
        row_bytes = sum(self.layout.row_bytes(name) for name in COLUMNS)
        first = last = numbers[0]
        for number in numbers[1:]:
            n_bytes = (self._first_frame[number + 1] - self._first_frame[first]) * row_bytes
            if number != last + 1 or n_bytes > RUN_BYTES:
                yield first, last
                first = number
            last = number
        yield first, last

    def _clips(self, file: _File, first: int, last: int) -> list[tuple[int, ClipEmbeddings | CacheError]]:
        try:
            return self._read_run(file, first, last)
        except CacheError as error:
            if first == last:
                return [(first, error)]
            # One bad block is no reason to lose its neighbours.
            return [entry for number in range(first, last + 1) for entry in self._clips(file, number, number)]

    def _read_run(self, file: _File, first: int, last: int) -> list[tuple[int, ClipEmbeddings | CacheError]]:
        """Clips that lie side by side. Their arrays are views into what was read for all of them."""
        start, end = self._first_frame[first], self._first_frame[last + 1]
        columns = [self._rows(file, name, start, end) for name in COLUMNS]
        facts_start, facts_end = self._first_provenance[first], self._first_provenance[last + 1]
        facts = file.read(self.layout.offsets["provenance"] + facts_start, facts_end - facts_start).tobytes()
        clips: list[tuple[int, ClipEmbeddings | CacheError]] = []
        for number in range(first, last + 1):
            rows = slice(self._first_frame[number] - start, self._first_frame[number + 1] - start)
            said = facts[
                self._first_provenance[number] - facts_start : self._first_provenance[number + 1] - facts_start
            ]
            clips.append((number, self._checked_clip(number, [column[rows] for column in columns], said)))
        return clips

    def _checked_clip(self, number: int, columns: Sequence[NDArray[Any]], said: bytes) -> ClipEmbeddings | CacheError:
        """A clip that has its checksum, and makes sense: anybody can make a checksum."""
        damaged = f"clip {short(self.keys[number])} is damaged in its pack. {MEND}"
        embeddings, times_s, source_frame, status = columns
        at = number * CHECKSUM_BYTES
        if checksum_of(*columns, said) != self._checksums[at : at + CHECKSUM_BYTES]:
            return CorruptRecordError(damaged)
        try:
            clip = ClipEmbeddings(embeddings, times_s, source_frame, status, record.provenance_of(said))
            record.check(clip, self.layout.dim)
        except ValueError:
            return CorruptRecordError(damaged)
        return clip

    def _rows(self, file: _File, name: str, start: int, end: int) -> NDArray[Any]:
        width = self.layout.row_bytes(name)
        content = file.read(self.layout.offsets[name] + start * width, (end - start) * width)
        rows = content.view(self.layout.dtype(name))
        return rows.reshape(-1, self.layout.dim) if name == "embeddings" else rows


def checksum_of(*parts: Any) -> bytes:
    """What proves a packed clip: XXH3 of 128 bits. Damage does not get past it; an attacker would, as past any checksum.

    :param parts: its rows of each column, without gaps and of the types that a pack has them in, and its provenance.
    """
    # Less than a tenth of the time of CRC-32 and a fiftieth of that of SHA-256, which would take as long as all the rest.
    found = xxhash.xxh3_128()
    for part in parts:
        found.update(part)
    digest: bytes = found.digest()
    return digest


def _checked_tables(file: _File, layout: PackLayout) -> dict[str, NDArray[Any]]:
    """The tables of a pack, which must be those that were written, and make sense."""
    found, tables = hashlib.sha256(), {}
    for name in TABLES:
        content = file.read(layout.offsets[name], layout.n_bytes(name))
        found.update(content.data)
        tables[name] = content.view(layout.dtype(name)).reshape(layout.shape(name))
    if found.digest() != layout.tables_sha256:
        raise CorruptRecordError("the tables of a pack are not those that were written")
    ends = {"first_frame": layout.n_frames, "first_provenance": layout.n_provenance}
    longest = {"first_frame": record.MAX_FRAMES, "first_provenance": record.MAX_PROVENANCE_BYTES}
    for name, end in ends.items():
        starts = tables[name]
        lengths = starts[1:] - starts[:-1]
        if starts[0] != 0 or starts[-1] != end or lengths.min() < 1 or lengths.max() > longest[name]:
            raise CorruptRecordError(DESCRIBES_NO_CLIPS)
    keys = tables["clip_key"]
    if KEYS.fullmatch(keys.tobytes()) is None or not (keys[1:] > keys[:-1]).all():
        raise CorruptRecordError(DESCRIBES_NO_CLIPS)
    return tables


class _File:
    """A pack's file while it is read.

    :param size: in bytes, when it was opened. What is asked for beyond is refused before memory is taken for it.
    """

    def __init__(self, descriptor: int) -> None:
        self.size = os.fstat(descriptor).st_size
        self._descriptor = descriptor
        if self.size > MAX_BYTES:
            raise CorruptRecordError("a pack is longer than any that is written")

    @classmethod
    @contextmanager
    def open(cls, path: Path) -> Iterator[Self]:
        try:
            file = open_plain_file(path, follow_links=False)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise cannot_read("a pack", error) from None
        with file:
            yield cls(file.fileno())

    def read(self, at: int, n_bytes: int) -> NDArray[np.uint8]:
        """Bytes from a place on, in memory of their own."""
        if at + n_bytes > self.size:
            raise CorruptRecordError(f"a pack ends too early. {MEND}")
        try:
            content = np.empty(n_bytes, np.uint8)
        except MemoryError:
            raise CacheError("a pack cannot be read: there is too little memory") from None
        rest = content.data
        while rest:
            try:
                n_read = _read_into(rest, self._descriptor, at)
            except OSError as error:
                raise cannot_read("a pack", error) from None
            if n_read == 0:  # cut short since it was opened
                raise CorruptRecordError(f"a pack ends too early. {MEND}")
            rest, at = rest[n_read:], at + n_read
        return content


def _read_into(buffer: memoryview, descriptor: int, at: int) -> int:
    if hasattr(os, "preadv"):
        return os.preadv(descriptor, [buffer], at)
    os.lseek(descriptor, at, os.SEEK_SET)  # Windows; nobody else has this descriptor
    part = os.read(descriptor, len(buffer))
    buffer[: len(part)] = part
    return len(part)
