"""Packing: loose clips into large files, which are read many times as fast.

There are no locks. A clip's own file is removed only once a pack that has it lies durable in its place and was read back
whole; a pack is removed only once another one has all its clips. Two that pack at once write some clips twice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx import durable
from lusfx.cache.folder import Folder, remove_file
from lusfx.cache.pack import Pack, checksum_of
from lusfx.cache.pack_layout import CHECKSUM_BYTES, KEY_DIGITS, MAX_CLIPS, SEAL_BYTES, whole_pack
from lusfx.cache.packs import PACK_SUFFIX
from lusfx.cache.store import Cache, Store
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.messages import system_reason
from lusfx.types import ClipEmbeddings

PACK_BYTES = 128 << 20
"""Embeddings in a pack, which are held in memory while it is made: thousands of clips of seconds."""
NOT_GIVEN_BACK = "the disk does not give back what was written to it: no clip was removed"


@dataclass(slots=True)
class Packing:
    """What packing did.

    :param clips: loose clips that are in packs now, and nowhere else.
    :param packs: packs written.
    :param n_bytes: on disk, of these.
    :param merged: smaller packs whose clips are in these now.
    :param damaged: keys of loose clips that are not what was written; they were left where they are.
    """

    clips: int = 0
    packs: int = 0
    n_bytes: int = 0
    merged: int = 0
    damaged: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line that adds up."""
        found = self.clips + len(self.damaged)
        line = f"{found} loose clips = {self.clips} packed + {len(self.damaged)} damaged"
        merged = f", {self.merged} smaller ones among them" if self.merged else ""
        return f"{line}; packs written: {self.packs}, of {self.n_bytes / 1e6:.1f} MB{merged}"

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx cache pack --json`` prints."""
        return asdict(self)


def pack(
    cache: Cache,
    *,
    fingerprints: Sequence[str] = (),
    progress: Callable[[int, int], None] | None = None,
    pack_bytes: int = PACK_BYTES,
) -> Packing:
    """Put the loose clips of a cache into packs, together with those of packs that are not half full.

    Others may read, extract and pack at the same time, and a run that is killed loses nothing.

    :param fingerprints: beginnings of the fingerprints to pack; none for all.
    :param progress: called with the number of clips written or found packed, and that of all to be packed.
    :param pack_bytes: most bytes of embeddings in a pack, but for one clip that has more.
    :raises CacheError: if the disk is full, read-only or gone, or does not give back what was written to it.
    """
    directories = {cache.directory_of(beginning) for beginning in fingerprints}
    stores = [Store.open(path) for path in sorted(directories)] if fingerprints else cache.stores()
    result = Packing()
    packers = [_Packer(store, result, pack_bytes) for store in stores]
    n_clips = sum(len(packer.keys) for packer in packers)
    if n_clips:
        cache.allow_packs()
    done = 0
    for packer in packers:
        for n_more in packer.run():
            done += n_more
            if progress is not None:
                progress(done, n_clips)
    return result


def salvage(store: Store, pack: Pack, pack_bytes: int = PACK_BYTES) -> tuple[set[Path], int]:
    """Put the sound clips of a damaged pack into another one. The damaged file stays as it is.

    :returns: the packs written, the damaged pack's own name among them where no clip was hurt; and the number of clips lost.
    :raises FileNotFoundError: if the pack is not there any more.
    :raises CacheError: as :func:`pack` does.
    """
    clips = [(pack.keys[number], embeddings) for number, embeddings in pack.read_all(range(len(pack.keys)))]
    sound = [(key, embeddings) for key, embeddings in clips if not isinstance(embeddings, CacheError)]
    written = {write_pack(store, sound)[0]} if sound else set()
    return written, len(clips) - len(sound)


def write_pack(store: Store, clips: Sequence[tuple[str, ClipEmbeddings]]) -> tuple[Path, int]:
    """Put a pack in place, durable and read back whole.

    :param clips: at least one; embeddings of one type, as they are to be stored.
    :returns: the pack's file, and its size in bytes.
    :raises CacheError: as :func:`pack` does.
    """
    layout, body = whole_pack(
        store.fingerprint, store.spec.encoder.dim, clips[0][1].embeddings.dtype.itemsize, _datasets(clips)
    )
    path = store.packs.directory / (layout.body_sha256.hex() + PACK_SUFFIX)
    try:
        durable.make_directory(path.parent, store.directory)
        with durable.whole_file(path) as descriptor:
            durable.write_all(descriptor, layout.seal())
            for part in body:
                durable.write_all(descriptor, part)
    except OSError as error:
        raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
    try:
        store.packs.open(path).verify()
    except FileNotFoundError:
        # Others have merged it already, with all of its clips; or found it damaged, and set it aside.
        if not _are_packed(store, [key for key, _ in clips]):
            raise CacheError(NOT_GIVEN_BACK) from None
    except CorruptRecordError:
        _remove_damaged(store, path)
        raise CacheError(NOT_GIVEN_BACK) from None
    return path, SEAL_BYTES + layout.body_bytes


@dataclass(slots=True)
class _Bucket:
    """Clips of one type that will be a pack."""

    clips: list[tuple[str, ClipEmbeddings]] = field(default_factory=list)
    n_bytes: int = 0

    def add(self, key: str, embeddings: ClipEmbeddings) -> None:
        self.clips.append((key, embeddings))
        self.n_bytes += embeddings.embeddings.nbytes


class _Packer:
    """Packs one store.

    :param keys: of the clips to be packed, in order.
    """

    def __init__(self, store: Store, result: Packing, pack_bytes: int) -> None:
        self._store = store
        self._result = result
        self._pack_bytes = pack_bytes
        self._loose = {path.stem for path in store.files()}
        store.packs.refresh()
        small = {pack for pack in store.packs.opened if 2 * pack.n_bytes < pack_bytes and _sound(pack)}
        self._merging = small if self._loose or len(small) > 1 else set()
        self._merged_from = {key: (pack, n) for pack in self._merging for n, key in enumerate(pack.keys)}
        others = (pack for pack in store.packs.opened if pack not in self._merging)
        self._packed_already = {key: (pack, n) for pack in others for n, key in enumerate(pack.keys)}
        self.keys = sorted(self._loose | self._merged_from.keys())

    def run(self) -> Iterator[int]:
        """Pack; yields how many clips were settled since."""
        buckets: dict[str, _Bucket] = {}
        written = set()
        for key in self.keys:
            embeddings = self._clip_to_pack(key)
            if embeddings is None:
                yield 1
                continue
            kind = embeddings.embeddings.dtype.str
            bucket = buckets.setdefault(kind, _Bucket())
            is_full = len(bucket.clips) == MAX_CLIPS or bucket.n_bytes + embeddings.embeddings.nbytes > self._pack_bytes
            if bucket.clips and is_full:
                written.add(self._write(bucket))
                yield len(bucket.clips)
                bucket = buckets[kind] = _Bucket()
            bucket.add(key, embeddings)
        for bucket in buckets.values():
            written.add(self._write(bucket))
            yield len(bucket.clips)
        for pack in self._merging:
            if pack.path not in written:  # merging may end in the very pack that it began with
                _remove(self._store, pack.path)
        self._result.packs += len(written)
        self._result.merged += len(self._merging)

    def _clip_to_pack(self, key: str) -> ClipEmbeddings | None:
        """A clip; None if it is in a pack that stays, or cannot be packed."""
        if key in self._packed_already:
            pack, number = self._packed_already[key]
            with suppress(FileNotFoundError, CorruptRecordError):
                pack.read(number)
                self._forget_loose(key)
                return None
        if key in self._merged_from:
            pack, number = self._merged_from[key]
            try:
                return pack.read(number)
            except FileNotFoundError:  # others have merged it meanwhile, with all of its clips
                self._merging.discard(pack)  # what has its name from now on was written by others
                return None
            except CorruptRecordError:
                self._merging.discard(pack)
        try:
            return self._store.read_loose(key)
        except ClipNotCachedError:  # others have packed it meanwhile
            return None
        except CorruptRecordError:
            self._result.damaged.append(key)
            return None

    def _write(self, bucket: _Bucket) -> Path:
        """Put a pack in place, and remove the files of its clips."""
        path, n_bytes = write_pack(self._store, bucket.clips)
        for key, _ in bucket.clips:
            self._forget_loose(key)
        self._result.n_bytes += n_bytes
        return path

    def _forget_loose(self, key: str) -> None:
        if key in self._loose:
            _remove(self._store, self._store.path_of(key))
            self._result.clips += 1


def _datasets(clips: Sequence[tuple[str, ClipEmbeddings]]) -> dict[str, list[NDArray[Any]]]:
    facts = [
        json.dumps(dict(embeddings.provenance), sort_keys=True, allow_nan=False).encode("ascii")
        for _, embeddings in clips
    ]
    checksums = b"".join(
        checksum_of(embeddings.embeddings, embeddings.times_s, embeddings.source_frame, embeddings.status, text)
        for (_, embeddings), text in zip(clips, facts, strict=True)
    )
    return {
        "clip_key": [np.array([key for key, _ in clips], f"S{KEY_DIGITS}")],
        "first_frame": [_starts([embeddings.n_frames for _, embeddings in clips])],
        "first_provenance": [_starts([len(text) for text in facts])],
        "checksum": [np.frombuffer(checksums, np.uint8).reshape(-1, CHECKSUM_BYTES)],
        "provenance": [np.frombuffer(text, np.uint8) for text in facts],
        "times_s": [embeddings.times_s for _, embeddings in clips],
        "source_frame": [embeddings.source_frame for _, embeddings in clips],
        "status": [embeddings.status for _, embeddings in clips],
        "embeddings": [embeddings.embeddings for _, embeddings in clips],
    }


def _starts(lengths: Sequence[int]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype("<i8")


def _sound(pack: Pack) -> bool:
    try:
        pack.verify()
    except (FileNotFoundError, CorruptRecordError):
        return False
    return True


def _are_packed(store: Store, keys: Sequence[str]) -> bool:
    """Whether packs give all of these clips now."""
    store.packs.refresh()
    try:
        return all(store.packs.read(key) is not None for key in keys)
    except CorruptRecordError:
        return False


def _remove(store: Store, path: Path) -> None:
    try:
        remove_file(store.directory.parent, path)
    except OSError as error:
        raise CacheError(f"the cache cannot be tidied: {system_reason(error)}") from None


def _remove_damaged(store: Store, path: Path) -> None:
    """Remove a pack that cannot be read back, unless another process has written it sound meanwhile, and relies on it."""

    def is_sound(moved: Path) -> bool:
        try:
            store.packs.open(moved, path.stem).verify()
        except CorruptRecordError:
            return False
        return True

    cache, (*names, name) = store.directory.parent, path.relative_to(store.directory.parent).parts
    damaged = f"{durable.TEMPORARY_PREFIX}{name}"
    with suppress(FileNotFoundError), Folder.open(cache, *names) as folder:
        if folder.set_aside(name, folder, damaged, is_sound):
            folder.remove(damaged)
