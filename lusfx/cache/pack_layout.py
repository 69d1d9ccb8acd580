"""Where what lies in a pack: the seal, and the HDF5 file of contiguous datasets behind it.

A pack is an HDF5 file behind a user block of 512 bytes, so that any HDF5 tool opens it. Its datasets are contiguous, and the
user block, a *seal*, says at which byte each begins: lusfx reads them by plain system calls and never shows a pack to
HDF5. ``docs/cache-format.md`` is the specification.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import CorruptRecordError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

FORMAT: Final = "lusfx-pack"
VERSION: Final = 1
SEAL_BYTES: Final = 512
MAGIC: Final = b"\x89LUSFX-PACK\r\n\x1a\n\x00"
TABLES: Final = ("clip_key", "first_frame", "first_provenance", "checksum")
"""Small, an entry a clip: read whole when a pack is opened, and proven by a SHA-256 of their own."""
COLUMNS: Final = ("embeddings", "times_s", "source_frame", "status")
"""A row a frame, clip after clip: a clip's rows are read when it is asked for, and proven by its checksum."""
DATASETS: Final = (*TABLES, "provenance", "times_s", "source_frame", "status", "embeddings")
"""In the order in which they lie: a pack that lost its end still tells which clips it had."""
KEY_DIGITS: Final = 64
CHECKSUM_BYTES: Final = 16
FLOATS: Final[Mapping[int, str]] = {2: "<f2", 4: "<f4"}
"""Types of embeddings by the bytes of a value."""
DTYPES: Final[Mapping[str, np.dtype[Any]]] = {
    "clip_key": np.dtype(f"S{KEY_DIGITS}"),
    "first_frame": np.dtype("<i8"),
    "first_provenance": np.dtype("<i8"),
    "checksum": np.dtype("|u1"),
    "provenance": np.dtype("|u1"),
    "times_s": np.dtype("<f8"),
    "source_frame": np.dtype("<i8"),
    "status": np.dtype("|u1"),
    "<f2": np.dtype("<f2"),
    "<f4": np.dtype("<f4"),
}
"""Of each dataset; of ``embeddings`` as :data:`FLOATS` says."""
FACTS = struct.Struct(f"<16s2I4Q{len(DATASETS)}QQ32s32s32s")
PAGE_BYTES: Final = 4096
MAX_CLIPS: Final = 1 << 20
"""In a pack, whose tables are read whole when it is opened."""


@dataclass(frozen=True, slots=True)
class PackLayout:
    """What the seal of a pack says.

    :param float_bytes: 2 where embeddings are float16, 4 where they are float32.
    :param n_provenance: bytes of all clips' provenance together.
    :param offsets: byte of the file at which each of :data:`DATASETS` begins.
    :param body_bytes: length of the HDF5 file behind the seal.
    :param fingerprint: SHA-256 of the feature spec, 32 bytes.
    :param tables_sha256: of :data:`TABLES` one after the other.
    :param body_sha256: of all bytes behind the seal.
    """

    float_bytes: int
    dim: int
    n_clips: int
    n_frames: int
    n_provenance: int
    offsets: Mapping[str, int]
    body_bytes: int
    fingerprint: bytes
    tables_sha256: bytes
    body_sha256: bytes

    def seal(self) -> bytes:
        """The 512 bytes before the HDF5 file."""
        facts = FACTS.pack(
            MAGIC,
            VERSION,
            self.float_bytes,
            self.dim,
            self.n_clips,
            self.n_frames,
            self.n_provenance,
            *(self.offsets[name] for name in DATASETS),
            self.body_bytes,
            self.fingerprint,
            self.tables_sha256,
            self.body_sha256,
        )
        return (facts + hashlib.sha256(facts).digest()).ljust(SEAL_BYTES, b"\0")

    @classmethod
    def of_seal(cls, head: bytes) -> Self:
        """Read a seal.

        :raises CorruptRecordError: if a bit of it is not as it was written, or it places anything outside of the file.
        """
        if len(head) != SEAL_BYTES or not head.startswith(MAGIC):
            raise CorruptRecordError("a pack does not begin with a seal")
        _, version, float_bytes, dim, n_clips, n_frames, n_provenance, *rest = FACTS.unpack_from(head)
        offsets, (body_bytes, fingerprint, tables, body) = rest[: len(DATASETS)], rest[len(DATASETS) :]
        layout = cls(
            float_bytes,
            dim,
            n_clips,
            n_frames,
            n_provenance,
            dict(zip(DATASETS, offsets, strict=True)),
            body_bytes,
            fingerprint,
            tables,
            body,
        )
        if version != VERSION or float_bytes not in FLOATS or layout.seal() != head:
            raise CorruptRecordError("the seal of a pack is not the one that was written")
        inside = all(
            offset >= SEAL_BYTES and offset + n_bytes <= SEAL_BYTES + body_bytes
            for offset, n_bytes in ((offset, layout.n_bytes(name)) for name, offset in layout.offsets.items())
        )
        if not inside or not 1 <= n_clips <= min(n_frames, MAX_CLIPS) or dim < 1:
            raise CorruptRecordError("the seal of a pack describes no pack")
        return layout

    def dtype(self, name: str) -> np.dtype[Any]:
        """Type of a dataset's elements."""
        return DTYPES[FLOATS[self.float_bytes] if name == "embeddings" else name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a dataset."""
        if name in COLUMNS:
            return (self.n_frames, self.dim) if name == "embeddings" else (self.n_frames,)
        return {
            "clip_key": (self.n_clips,),
            "first_frame": (self.n_clips + 1,),
            "first_provenance": (self.n_clips + 1,),
            "checksum": (self.n_clips, CHECKSUM_BYTES),
            "provenance": (self.n_provenance,),
        }[name]

    def n_bytes(self, name: str) -> int:
        """Length of a dataset in bytes."""
        size = self.dtype(name).itemsize
        for length in self.shape(name):  # whole numbers without a limit: what a seal claims may be beyond any array
            size *= length
        return size

    def row_bytes(self, name: str) -> int:
        """Length of a frame's row of one of :data:`COLUMNS` in bytes."""
        return self.dtype(name).itemsize * (self.dim if name == "embeddings" else 1)


def whole_pack(
    fingerprint: str, dim: int, float_bytes: int, datasets: Mapping[str, Sequence[NDArray[Any]]]
) -> tuple[PackLayout, Iterator[memoryview]]:
    """Lay a pack out, and hash it.

    :param datasets: each of :data:`DATASETS` in pieces; they are neither joined nor copied.
    :returns: the layout, and the bytes behind its seal in order.
    """
    shapes = PackLayout(
        float_bytes,
        dim,
        n_clips=sum(map(len, datasets["clip_key"])),
        n_frames=sum(map(len, datasets["status"])),
        n_provenance=sum(map(len, datasets["provenance"])),
        offsets={},
        body_bytes=0,
        fingerprint=bytes.fromhex(fingerprint),
        tables_sha256=b"",
        body_sha256=b"",
    )
    bones, places = _skeleton(shapes, fingerprint)

    def body() -> Iterator[memoryview]:
        at = 0
        for name in sorted(DATASETS, key=places.__getitem__):
            yield memoryview(bones.read_at(at, places[name] - at))
            for piece in datasets[name]:
                yield _bytes_of(piece)
            at = places[name] + shapes.n_bytes(name)
        yield memoryview(bones.read_at(at, bones.size - at))

    whole, tables = hashlib.sha256(), hashlib.sha256()
    for part in body():
        whole.update(part)
    for name in TABLES:
        for piece in datasets[name]:
            tables.update(_bytes_of(piece))
    offsets = {name: SEAL_BYTES + place for name, place in places.items()}
    layout = PackLayout(
        float_bytes,
        dim,
        shapes.n_clips,
        shapes.n_frames,
        shapes.n_provenance,
        offsets,
        bones.size,
        shapes.fingerprint,
        tables.digest(),
        whole.digest(),
    )
    return layout, body()


def _bytes_of(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


def _skeleton(shapes: PackLayout, fingerprint: str) -> tuple[_Pages, dict[str, int]]:
    """An HDF5 file in which the data are missing, made in memory, and the place of each dataset in it.

    HDF5 only lays the file out. The data are written around it by plain system calls, since a full disk underneath
    HDF5's own writing crashes the process on exit; and equal clips give equal bytes, since no time is recorded.
    """
    import h5py

    pages = _Pages()
    places = {}
    with h5py.File(pages, "w", libver="latest") as file:
        for name in DATASETS:
            creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            creation.set_layout(h5py.h5d.CONTIGUOUS)
            creation.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            creation.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            creation.set_obj_track_times(False)
            space = h5py.h5s.create_simple(shapes.shape(name))
            kind = h5py.h5t.py_create(shapes.dtype(name), logical=True)
            places[name] = h5py.h5d.create(file.id, name.encode(), kind, space, creation).get_offset()
        file.attrs["format"] = np.bytes_(FORMAT)
        file.attrs["version"] = np.int64(VERSION)
        file.attrs["fingerprint"] = np.bytes_(fingerprint)
    return pages, places


class _Pages(io.RawIOBase):
    """A file in memory that holds only the pages that were written: what HDF5 needs to write a file with holes."""

    def __init__(self) -> None:
        super().__init__()
        self.size = 0
        self._at = 0
        self._pages: dict[int, bytearray] = {}

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset + (0, self._at, self.size)[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def truncate(self, size: int | None = None) -> int:
        self.size = self._at if size is None else size
        return self.size

    def write(self, content: ReadableBuffer) -> int:
        given = memoryview(content).cast("B")
        for position, byte in enumerate(given, start=self._at):
            page = self._pages.setdefault(position // PAGE_BYTES, bytearray(PAGE_BYTES))
            page[position % PAGE_BYTES] = byte
        self._at += len(given)
        self.size = max(self.size, self._at)
        return len(given)

    def readinto(self, buffer: WriteableBuffer) -> int:
        wanted = memoryview(buffer).cast("B")
        content = self.read_at(self._at, len(wanted))
        wanted[: len(content)] = content
        self._at += len(content)
        return len(content)

    def read_at(self, offset: int, n_bytes: int) -> bytes:
        """Bytes from a place on; zeros where nothing was written, fewer at the end."""
        end = min(offset + n_bytes, self.size)
        nothing = bytes(PAGE_BYTES)
        first, last = offset // PAGE_BYTES, (max(end, offset + 1) - 1) // PAGE_BYTES
        content = b"".join(self._pages.get(number, nothing) for number in range(first, last + 1))
        return content[offset - first * PAGE_BYTES : max(end, offset) - first * PAGE_BYTES]
