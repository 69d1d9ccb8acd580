"""Removing what a cache no longer needs: no link is followed, and no directory entered that is not the cache's."""

from __future__ import annotations

import errno
import stat
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from lusfx.cache.folder import Folder, no_directory
from lusfx.cache.maintenance import QUARANTINE
from lusfx.cache.packs import PACKS
from lusfx.cache.store import CLIPS, RUNS, SPEC, Cache, Store
from lusfx.durable import TEMPORARY_PREFIX
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import system_reason

ABANDONED_S = 3600
"""A temporary file this old was left by a run that was killed: writing one takes milliseconds, and a pack seconds."""
DIRECTORY = "a directory"
UNKNOWN = "an unknown encoder"


@dataclass(slots=True)
class Removal:
    """What tidying removed, or would remove.

    :param files: names relative to the cache.
    :param left: likewise of what lies where something was to be removed and is not removed, with the reason.
    :param features: names of the encoders whose features were asked to be removed, by fingerprint.
    """

    dry_run: bool
    files: list[str] = field(default_factory=list)
    n_bytes: int = 0
    left: dict[str, str] = field(default_factory=dict)
    features: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return {
            "removed": self.files,
            "bytes": self.n_bytes,
            "features": self.features,
            "left": self.left,
            "dry_run": self.dry_run,
        }


def gc(cache: Cache, *, fingerprints: Sequence[str] = (), dry_run: bool = False) -> Removal:
    """Remove temporary files of killed runs, what is in quarantine, the files of clips that are in a pack as well, and the
    stores of fingerprints that are named.

    A directory in the place of a file is left and named, and so is a link in the place of a directory.

    :param fingerprints: beginnings of fingerprints whose embeddings are no longer wanted.
    :raises CacheError: if the disk refuses.
    """
    unwanted = sorted({cache.directory_of(beginning).name for beginning in fingerprints})
    names_of = cache.encoder_names() if unwanted else {}  # not of the store: its spec may be what is broken
    features = {name: names_of.get(name, [UNKNOWN])[0] for name in unwanted}
    tidying = _Tidying(cache, Removal(dry_run, features=features))
    try:
        for names in tidying.directories():
            tidying.remove_abandoned(names)
        tidying.empty(QUARANTINE)
        for directory in cache.store_directories():
            if directory.name not in unwanted:
                tidying.remove_packed_as_well(directory.name)
        for name in unwanted:
            tidying.remove_store(name)
    except OSError as error:
        raise CacheError(f"the cache cannot be tidied: {system_reason(error)}") from None
    return tidying.removal


@dataclass(slots=True)
class _Tidying:
    """Removes what it is told to, and keeps the account of it."""

    cache: Cache
    removal: Removal
    _seen: set[str] = field(default_factory=set)

    def directories(self) -> Iterator[tuple[str, ...]]:
        """Where temporary files may lie: all directories of a cache but the quarantine, by their names on the way down."""
        yield ()
        yield (RUNS,)
        for store in self.cache.store_directories():
            yield from self._of_store(store.name)

    def _of_store(self, store: str) -> Iterator[tuple[str, ...]]:
        yield (store,)
        yield (store, PACKS)
        yield (store, CLIPS)
        with suppress(FileNotFoundError, NotADirectoryError), Folder.open(self.cache.directory, store, CLIPS) as clips:
            yield from ((store, CLIPS, name) for name in clips.names() if len(name) == 2 and clips.is_directory(name))

    def remove_abandoned(self, names: tuple[str, ...]) -> None:
        """Temporary files of killed runs in one directory."""
        for folder in self._opened(names):
            for name in folder.names():
                if name.startswith(TEMPORARY_PREFIX) and _is_abandoned(folder, name):
                    self._remove(folder, names, name)

    def empty(self, *names: str) -> None:
        """All files of one directory."""
        for folder in self._opened(names):
            for name in folder.names():
                self._remove(folder, names, name)

    def remove_packed_as_well(self, store_name: str) -> None:
        """Files of loose clips that a pack holds sound, left by a packing that was killed."""
        try:
            store = Store.open(self.cache.directory / store_name)
            loose = {path.stem: path for path in store.files()}
            store.packs.refresh()
        except CorruptRecordError:
            return
        # Each is removed as soon as its pack has given the clip.
        for key, _ in store.packs.read_all(loose):
            names = loose[key].parent.relative_to(self.cache.directory).parts
            for folder in self._opened(names):
                self._remove(folder, names, loose[key].name)

    def remove_store(self, store: str) -> None:
        """A store with all its files, the spec last, so that a killed removal leaves a store that can still be opened; then its
        directories, and no other empty one: a run may be about to write into it.
        """
        directories = list(self._of_store(store))
        for names in reversed(directories[1:]):
            for folder in self._opened(names):
                for name in folder.names():
                    if (*names, name) not in directories:
                        self._remove(folder, names, name)
            self._remove_directory(names)
        for folder in self._opened((store,)):
            for name in sorted(folder.names(), key=lambda name: name == SPEC):
                if (store, name) not in directories:
                    self._remove(folder, (store,), name)
        self._remove_directory((store,))

    def _opened(self, names: Sequence[str]) -> Iterator[Folder]:
        """The directory, if it is there; what is none is left and named."""
        try:
            with Folder.open(self.cache.directory, *names) as folder:
                yield folder
        except FileNotFoundError:
            pass
        except NotADirectoryError:
            self.removal.left["/".join(names)] = str(no_directory(*names))

    def _remove(self, folder: Folder, names: Sequence[str], name: str) -> None:
        """A file, a link or whatever is no directory."""
        place = "/".join((*names, name))
        try:
            status = folder.kind(name)
            if stat.S_ISDIR(status.st_mode):
                self.removal.left[place] = DIRECTORY
                return
            if not self.removal.dry_run:
                folder.remove(name)
        except FileNotFoundError:
            return  # removed meanwhile by another process
        except IsADirectoryError:
            self.removal.left[place] = DIRECTORY
            return
        if place not in self._seen:  # a dry run finds some files twice
            self._seen.add(place)
            self.removal.files.append(place)
            self.removal.n_bytes += status.st_size

    def _remove_directory(self, names: Sequence[str]) -> None:
        if self.removal.dry_run:
            return
        for folder in self._opened(names[:-1]):
            try:
                if folder.is_directory(names[-1]):
                    folder.remove_empty(names[-1])
            except OSError as error:
                if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                    raise
                self.removal.left["/".join(names)] = f"{DIRECTORY} that is not empty"


def _is_abandoned(folder: Folder, name: str) -> bool:
    try:
        return time.time() - folder.kind(name).st_mtime > ABANDONED_S
    except FileNotFoundError:
        return False
