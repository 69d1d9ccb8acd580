"""The packs of one store: which there are, and which of them holds a clip."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Set
from contextlib import suppress
from pathlib import Path

from lusfx.cache.folder import names_in
from lusfx.cache.keys import CLIP_KEY
from lusfx.cache.pack import Pack
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.types import ClipEmbeddings

PACKS = "packs"
PACK_SUFFIX = ".h5"
TRIES = 16
"""Looks at packs that others replace at the same time."""


class Packs:
    """What is known of the packs in a directory. Packs come and go while others read: :meth:`refresh` looks again.

    :param directory: ``CACHE/<fingerprint>/packs``, there or not.
    :param dim: length of an embedding.
    """

    def __init__(self, directory: Path, fingerprint: str, dim: int) -> None:
        self.directory = directory
        self.fingerprint = fingerprint
        self.dim = dim
        self.damaged: dict[Path, CorruptRecordError] = {}
        """Files that cannot be opened as packs. What they hold counts as missing until they are repaired."""
        self._packs: dict[Path, Pack] = {}
        self._places: dict[str, tuple[Pack, int]] = {}

    def __contains__(self, key: str) -> bool:
        """Whether a known pack holds a clip."""
        return key in self._places

    @property
    def opened(self) -> list[Pack]:
        """All packs that are known and can be read, in order of name."""
        return list(self._packs.values())

    def files(self) -> list[Path]:
        """The files of all packs, damaged ones included, in order of name."""
        found = self._listed()
        # Until it holds still: a pack may be put in place, and those that it replaces removed, while names are listed.
        while (again := self._listed()) != found:
            found = again
        return found

    def open(self, path: Path, pack_id: str | None = None) -> Pack:
        """Look into one of the files.

        :param pack_id: of the pack, where the file has another name.
        :raises FileNotFoundError, CorruptRecordError, CacheError: as :meth:`Pack.open` does.
        """
        return Pack.open(path, self.fingerprint, self.dim, pack_id)

    def refresh(self) -> None:
        """Look which packs there are now.

        :raises CacheError: if one cannot be read at present: what it holds must not be taken for missing.
        """
        for _ in range(TRIES):
            packs: dict[Path, Pack] = {}
            damaged: dict[Path, CorruptRecordError] = {}
            try:
                for path in self.files():
                    try:
                        packs[path] = self._packs.get(path) or self.open(path)
                    except CorruptRecordError as error:
                        damaged[path] = error
            except FileNotFoundError:
                continue  # merged with others since it was listed
            self.damaged = damaged
            if packs.keys() != self._packs.keys():
                self._packs = packs
                self._places = {key: (pack, n) for pack in packs.values() for n, key in enumerate(pack.keys)}
            return
        raise CacheError("the packs of the cache change faster than they can be looked into, or one is a broken link")

    def keys(self) -> Set[str]:
        """Keys of all packed clips that are known."""
        return self._places.keys()

    def size_of(self, key: str) -> int | None:
        """Bytes of a packed clip's embeddings; None if no known pack holds it."""
        place = self._places.get(key)
        return None if place is None else place[0].n_bytes_of(place[1])

    def read(self, key: str) -> ClipEmbeddings | None:
        """A clip, from whichever pack has it sound; None if no known pack holds it.

        :raises CorruptRecordError: if it is damaged in all of them.
        :raises CacheError: if it cannot be read at present.
        """
        for _ in range(TRIES):
            damage: CorruptRecordError | None = None
            try:
                for pack, number in self._holders(key):
                    try:
                        return pack.read(number)
                    except CorruptRecordError as error:
                        damage = error
            except FileNotFoundError:  # merged with others, and theirs has all of its clips
                self.refresh()
                continue
            if damage is not None:
                raise damage
            break
        return None

    def read_all(self, keys: Iterable[str]) -> Iterator[tuple[str, ClipEmbeddings]]:
        """Those of the clips that a known pack holds and gives sound, pack by pack in the order in which they lie."""
        wanted: dict[Pack, list[int]] = defaultdict(list)
        for key in keys:
            if (place := self._places.get(key)) is not None:
                wanted[place[0]].append(place[1])
        for pack, numbers in wanted.items():
            with suppress(FileNotFoundError):
                for number, embeddings in pack.read_all(sorted(numbers)):
                    if not isinstance(embeddings, CacheError):
                        yield pack.keys[number], embeddings

    def _holders(self, key: str) -> Iterator[tuple[Pack, int]]:
        """Every known pack that holds a clip, and its number there."""
        place = self._places.get(key)
        if place is None:
            return
        yield place
        for pack in self.opened:
            if pack is not place[0] and key in pack.keys:
                yield pack, pack.keys.index(key)

    def _listed(self) -> list[Path]:
        store = self.directory.parent
        names = names_in(store.parent, store.name, self.directory.name)
        return [self.directory / name for name in names if is_pack_name(name)]


def is_pack_name(name: str) -> bool:
    """Whether a file of this name is a pack: the SHA-256 of its content, and an ending."""
    return name.endswith(PACK_SUFFIX) and CLIP_KEY.fullmatch(name.removesuffix(PACK_SUFFIX)) is not None
