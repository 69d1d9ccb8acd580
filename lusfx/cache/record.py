"""One clip's embeddings as an HDF5 image, and back.

The image holds four datasets, ``embeddings``, ``times_s``, ``source_frame`` and ``status``, a row a frame each, and the
root attributes ``format``, ``version``, ``clip_key``, ``fingerprint`` and ``provenance`` (JSON).
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from lusfx.cache import half_precision
from lusfx.errors import CorruptRecordError
from lusfx.messages import short
from lusfx.types import ClipEmbeddings, FrameStatus

if TYPE_CHECKING:
    import h5py

FORMAT: Final = "lusfx-clip"
VERSION: Final = 1
CHUNK_ROWS = 256
"""Measured: a chunk a row reads thirty times slower than this."""

DTYPES: Final[Mapping[str, tuple[str, ...]]] = {
    "embeddings": ("<f2", "<f4"),
    "times_s": ("<f8",),
    "source_frame": ("<i8",),
    "status": ("|u1",),
}


def check(embeddings: ClipEmbeddings, dim: int) -> None:
    """Refuse what must never be written.

    :raises ValueError: if shapes disagree, there is no frame, a row that claims to be OK is not finite, or one that does
        not has values: a reader that forgets to look at the status must get NaN, never a vector.
    """
    if embeddings.embeddings.dtype.str not in DTYPES["embeddings"]:
        raise ValueError(f"embeddings are {embeddings.embeddings.dtype}, expected float16 or float32")
    n_frames = len(embeddings.status)
    if n_frames == 0 or embeddings.embeddings.shape != (n_frames, dim):
        raise ValueError(
            f"embeddings have shape {embeddings.embeddings.shape}, expected (n_frames, {dim}) with n_frames > 0"
        )
    for name in ("times_s", "source_frame", "status"):
        if getattr(embeddings, name).shape != (n_frames,):
            raise ValueError(f"{name} has shape {getattr(embeddings, name).shape}, expected ({n_frames},)")
    if not np.isfinite(embeddings.embeddings[embeddings.status == FrameStatus.OK]).all():
        raise ValueError("a readable frame has an embedding that is not finite")
    if not np.isnan(embeddings.embeddings[embeddings.status != FrameStatus.OK]).all():
        raise ValueError("a frame that could not be read has an embedding")


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
    except (OSError, KeyError, ValueError, RuntimeError, TypeError) as error:
        raise CorruptRecordError(f"clip {short(key)} is not a valid record ({type(error).__name__})") from None
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


def _checked_attributes(file: h5py.File, key: str, fingerprint: str) -> dict[str, Any]:
    expected = {"format": FORMAT, "clip_key": key, "fingerprint": fingerprint}
    for name, value in expected.items():
        if bytes(file.attrs[name]).decode("ascii") != value:
            raise CorruptRecordError(f"clip {short(key)}: the record's {name} is another one")
    if int(file.attrs["version"]) != VERSION:
        raise CorruptRecordError(f"clip {short(key)}: the record has format version {int(file.attrs['version'])}")
    provenance = json.loads(bytes(file.attrs["provenance"]))
    if not isinstance(provenance, dict):
        raise TypeError("provenance is not an object")
    return provenance


def _checked_array(file: h5py.File, name: str, image_bytes: int) -> NDArray[Any]:
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError("unexpected link")
    dataset = file[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.is_virtual or dataset.external:
        raise ValueError("unexpected storage")
    n_axes = 2 if name == "embeddings" else 1
    if dataset.dtype.str not in DTYPES[name] or len(dataset.shape) != n_axes or dataset.nbytes > image_bytes:
        raise ValueError("unexpected type or size")
    array: NDArray[Any] = dataset[()]
    return array
