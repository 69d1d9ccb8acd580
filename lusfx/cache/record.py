"""One clip's embeddings as an HDF5 image, and back.

The image holds four datasets, ``embeddings``, ``times_s``, ``source_frame`` and ``status``, a row a frame each, and the
root attributes ``format``, ``version``, ``clip_key``, ``fingerprint`` and ``provenance`` (JSON).
"""

from __future__ import annotations

import json
import math
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import half_precision
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import short
from lusfx.types import ClipEmbeddings, Fact, FrameStatus

if TYPE_CHECKING:
    import h5py

FORMAT: Final = "lusfx-clip"
VERSION: Final = 1
CHUNK_ROWS = 256
"""Measured: a chunk a row reads thirty times slower than this."""

MAX_FRAMES: Final = 1 << 17
"""Of a clip: more than an hour at 25 frames a second. Longer ones are not encoded, and what claims to be longer is refused."""
MAX_PROVENANCE_BYTES: Final = 1 << 20
HALF_WITHOUT_SIGN: Final = np.uint16(0x7FFF)
HALF_INFINITY: Final = np.uint16(0x7C00)
"""Bits of a float16; those of NaN are larger ones."""
ATTRIBUTES: Final = frozenset({"format", "version", "clip_key", "fingerprint", "provenance"})

DTYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "embeddings": ("<f2", "<f4"),
    "times_s": ("<f8",),
    "source_frame": ("<i8",),
    "status": ("|u1",),
}


def check(embeddings: ClipEmbeddings, dim: int) -> None:
    """Refuse what must never be written, and must not be believed where it is read: of a clip's own file and of a pack alike.

    :raises ValueError: if shapes disagree, there is no frame or too many, a row that claims to be OK is not finite, or one that
        does not has values: a reader that forgets to look at the status must get NaN, never a vector. If frames do not rise
        from 0 on, or times fall, are infinite or below 0.
    """
    if embeddings.embeddings.dtype.str not in DTYPES["embeddings"]:
        raise ValueError(f"embeddings are {embeddings.embeddings.dtype}, expected float16 or float32")
    n_frames = len(embeddings.status)
    if not 0 < n_frames <= MAX_FRAMES or embeddings.embeddings.shape != (n_frames, dim):
        raise ValueError(
            f"embeddings have shape {embeddings.embeddings.shape}, expected (n_frames, {dim}) with n_frames > 0 and "
            f"at most {MAX_FRAMES}"
        )
    for name in ("times_s", "source_frame", "status"):
        if getattr(embeddings, name).shape != (n_frames,):
            raise ValueError(f"{name} has shape {getattr(embeddings, name).shape}, expected ({n_frames},)")
    _check_rows(embeddings.embeddings, embeddings.status)
    if embeddings.source_frame[0] < 0 or not (embeddings.source_frame[1:] > embeddings.source_frame[:-1]).all():
        raise ValueError("the frames' positions in the source do not rise from 0 on")
    _check_times(embeddings.times_s)


def _check_rows(embeddings: NDArray[Any], status: NDArray[np.uint8]) -> None:
    if not status.any():  # a clip that could be read whole, as nearly all: no copy of it is made
        if not _all_finite(embeddings):
            raise ValueError("a readable frame has an embedding that is not finite")
        return
    if status.max() > FrameStatus.UNREADABLE:
        raise ValueError("a frame has a status that there is not")
    if not np.isfinite(embeddings[status == FrameStatus.OK]).all():
        raise ValueError("a readable frame has an embedding that is not finite")
    if not np.isnan(embeddings[status != FrameStatus.OK]).all():
        raise ValueError("a frame that could not be read has an embedding")


def _all_finite(values: NDArray[Any]) -> bool:
    if values.dtype == np.float16:  # as whole numbers, in a fraction of the time: packs are read at the speed of memory
        return bool((values.view(np.uint16) & HALF_WITHOUT_SIGN).max() < HALF_INFINITY)
    return bool(np.isfinite(values).all())


def _check_times(times_s: NDArray[np.float64]) -> None:
    if not (times_s[1:] >= times_s[:-1]).all() or not 0 <= times_s[0] <= times_s[-1] < math.inf:
        known = times_s[~np.isnan(times_s)]
        if len(known) and (known[0] < 0 or known[-1] == math.inf or not (known[1:] >= known[:-1]).all()):
            raise ValueError("frame times fall, are infinite or below 0")


def provenance_of(content: bytes) -> dict[str, Fact]:
    """A clip's provenance.

    :raises ValueError: if it is no JSON object of texts, finite numbers and booleans.
    """
    if len(content) > MAX_PROVENANCE_BYTES:
        raise ValueError("the provenance is too long")
    try:
        facts = json.loads(content)
    except RecursionError:
        raise ValueError("the provenance is nested") from None
    if not isinstance(facts, dict) or not all(map(_is_fact, facts.values())):
        raise ValueError("the provenance is no object of texts, numbers and booleans")
    return facts


def _is_fact(value: object) -> bool:
    return isinstance(value, (str, bool, int)) or (isinstance(value, float) and math.isfinite(value))


def max_bytes(dim: int) -> int:
    """The most that a clip's image has."""
    values = MAX_FRAMES * (4 * dim + 8 + 8 + 1)
    return values + MAX_PROVENANCE_BYTES + (4 << 20)  # HDF5 needs some hundred bytes for each chunk


def as_stored(embeddings: NDArray[Any], status: NDArray[np.uint8], stored_dtype: str) -> NDArray[Any]:
    """Narrow to float16 where that was asked for and keeps what the readable rows say; else float32."""
    if stored_dtype == "float16" and half_precision.keeps(embeddings[status == FrameStatus.OK]):
        return embeddings.astype("<f2")
    return embeddings.astype("<f4")


def encode(key: str, fingerprint: str, embeddings: ClipEmbeddings, stored_dtype: str) -> bytes:
    """The HDF5 image of a clip, made in memory."""
    import h5py

    with h5py.File(_image_name(), "w", driver="core", backing_store=False, libver="latest") as file:
        arrays = {
            "embeddings": as_stored(embeddings.embeddings, embeddings.status, stored_dtype),
            "times_s": embeddings.times_s.astype("<f8"),
            "source_frame": embeddings.source_frame.astype("<i8"),
            "status": embeddings.status.astype("|u1"),
        }
        for name, array in arrays.items():
            chunks = (min(CHUNK_ROWS, len(array)), *array.shape[1:])
            file.create_dataset(name, data=array, chunks=chunks, fletcher32=True)
        file.attrs["format"] = np.bytes_(FORMAT)
        file.attrs["version"] = np.int64(VERSION)
        file.attrs["clip_key"] = np.bytes_(key)
        file.attrs["fingerprint"] = np.bytes_(fingerprint)
        file.attrs["provenance"] = np.bytes_(json.dumps(dict(embeddings.provenance), sort_keys=True, allow_nan=False))
        file.flush()
        image: bytes = file.id.get_file_image()
    return image


def decode(image: memoryview, key: str, fingerprint: str, dim: int) -> ClipEmbeddings:
    """Read a checked image back.

    :param image: body of a sealed file whose seal was checked.
    :raises CorruptRecordError: if it is not the record of this clip under this fingerprint, or holds anything that a
        record does not: links, virtual or external storage, other datasets, other types.
    """
    import h5py

    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_file_image(bytes(image))
    try:
        with h5py.File(h5py.h5f.open(_image_name().encode("ascii"), h5py.h5f.ACC_RDONLY, fapl=access)) as file:
            if set(file) != set(DTYPES):
                raise ValueError("unexpected objects")
            provenance = _checked_attributes(file, key, fingerprint)
            arrays = {name: _checked_array(file, name, len(image)) for name in DTYPES}
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, OverflowError) as error:
        raise CorruptRecordError(f"clip {short(key)} is not a valid record ({type(error).__name__})") from None
    except MemoryError:
        raise CacheError(f"clip {short(key)} cannot be read: there is too little memory") from None
    embeddings = ClipEmbeddings(
        arrays["embeddings"], arrays["times_s"], arrays["source_frame"], arrays["status"], provenance
    )
    try:
        check(embeddings, dim)
    except ValueError as error:
        raise CorruptRecordError(f"clip {short(key)}: {error}") from None
    return embeddings


def _image_name() -> str:
    """A name of its own for each image: HDF5 takes two images of one name, open in two threads, for one file."""
    return f"lusfx-{secrets.token_hex(12)}"


def _checked_attributes(file: h5py.File, key: str, fingerprint: str) -> dict[str, Fact]:
    if set(file.attrs) != ATTRIBUTES:
        raise ValueError("unexpected attributes")
    expected = {"format": FORMAT, "clip_key": key, "fingerprint": fingerprint}
    for name, value in expected.items():
        if bytes(file.attrs[name]).decode("ascii") != value:
            raise CorruptRecordError(f"clip {short(key)}: the record's {name} is another one")
    version = file.attrs["version"]
    if not isinstance(version, np.integer) or version != VERSION:
        raise CorruptRecordError(f"clip {short(key)}: the record has another format version")
    return provenance_of(bytes(file.attrs["provenance"]))


def _checked_array(file: h5py.File, name: str, image_bytes: int) -> NDArray[Any]:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError("unexpected link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError("unexpected storage")
    n_axes = 2 if name == "embeddings" else 1
    plain = dataset.dtype.str in DTYPES[name] and not dataset.dtype.metadata  # h5py says there what is an enumeration
    if not plain or len(dataset.shape) != n_axes or dataset.nbytes > image_bytes or len(dataset.attrs):
        raise ValueError("unexpected type or size")
    filters = dataset.id.get_create_plist()
    if any(filters.get_filter(n)[0] != h5py.h5z.FILTER_FLETCHER32 for n in range(filters.get_nfilters())):
        raise ValueError(
            "unexpected filter"
        )  # none was ever written, and each is a parser more that a stranger could reach
    array: NDArray[Any] = dataset[()]
    return array
