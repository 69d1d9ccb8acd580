"""Whole archives read: by lusfx from packs and loose files, and by what others keep features in.

Each way ends with every value of every clip in memory of its own, clip by clip. lusfx has checked each clip by then; no other
way checks anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import h5py
import numpy as np

from lusfx.cache import Store
from lusfx.types import ClipEmbeddings

MEMORY_MAP = "np.memmap of the same bytes"
PACKS = "lusfx packs"
LOOSE = "lusfx loose clips"
NPY = "a .npy file a clip (np.load)"
ROW_CHUNKS = "an HDF5 file a clip, a chunk a row (h5py)"
"""As toolkits for whole-slide pathology lay their features out by default where they can grow."""


def read_store(store: Store, n_clips: int) -> None:
    """Every clip, checked, as training and scoring read it: the packs are looked into anew."""
    again = Store.open(store.directory)
    n_read = sum(1 for _, clip in again.read_all(again.keys()) if clip.n_frames)
    assert n_read == n_clips


def memory_maps(store: Store) -> Iterator[tuple[Path, int, tuple[int, int]]]:
    """File, offset and shape of the embeddings of each pack: what a memory map is made from."""
    store.packs.refresh()
    for pack in store.packs.opened:
        yield pack.path, pack.layout.offsets["embeddings"], (pack.layout.n_frames, pack.layout.dim)


def read_memory_maps(places: Sequence[tuple[Path, int, tuple[int, int]]], n_frames: int) -> None:
    """The same values from the same files by a plain memory map, clip by clip, unchecked: the bound of what can be."""
    for path, offset, shape in places:
        rows = np.memmap(path, np.float16, "r", offset, shape)
        for start in range(0, shape[0], n_frames):
            np.array(rows[start : start + n_frames])


def write_npy(folder: Path, clips: Sequence[ClipEmbeddings]) -> list[Path]:
    """A file a clip."""
    folder.mkdir()
    paths = [folder / f"{number}.npy" for number in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        np.save(path, clip.embeddings)
    return paths


def read_npy(paths: Sequence[Path]) -> None:
    """Every clip."""
    for path in paths:
        np.load(path)


def write_row_chunks(folder: Path, clips: Sequence[ClipEmbeddings]) -> list[Path]:
    """A file a clip, whose dataset may grow row by row."""
    folder.mkdir()
    paths = [folder / f"{number}.h5" for number in range(len(clips))]
    for path, clip in zip(paths, clips, strict=True):
        with h5py.File(path, "w") as file:
            dim = clip.embeddings.shape[1]
            file.create_dataset("features", data=clip.embeddings, chunks=(1, dim), maxshape=(None, dim))
    return paths


def read_row_chunks(paths: Sequence[Path]) -> None:
    """Every clip."""
    for path in paths:
        with h5py.File(path) as file:
            file["features"][()]
