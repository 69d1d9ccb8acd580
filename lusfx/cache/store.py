"""The cache: embeddings on disk, by fingerprint and clip. Content-addressed, written once, never edited in place."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lusfx.cache import record, sealed
from lusfx.cache.folder import directories_in, names_in, no_directory
from lusfx.cache.keys import CLIP_KEY
from lusfx.cache.ledger import LEDGER_SUFFIX, Membership, RunLedger, read_header
from lusfx.cache.memberships import memberships
from lusfx.cache.packs import PACKS, Packs
from lusfx.cache.stat_index import FILE_NAME as STAT_INDEX
from lusfx.cache.stat_index import StatIndex
from lusfx.config import FeatureSpec, canonical_json
from lusfx.durable import TEMPORARY_PREFIX
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.messages import short, system_reason
from lusfx.plain_file import NotPlainError, read_plain_file
from lusfx.site_key import SiteKey, SiteKeyError
from lusfx.types import ClipEmbeddings

FORMAT = "lusfx-cache"
VERSION = 1
"""Of a cache as it is begun. Older programs read no other, and would not see the clips of a pack."""
PACKED_VERSION = 2
"""Of a cache that may have packs."""
MARKER = "cache.json"
SPEC = "spec.json"
CLIPS = "clips"
RUNS = "runs"
CLIP_SUFFIX = ".h5"
MAX_MARKER_BYTES = 4096
MAX_SPEC_BYTES = 1 << 20
MAX_NAME_LENGTH = 500
"""Of what a feature spec calls a part of the encoder."""
WRITE_SPEC_ANEW = "Run lusfx extract with the encoder that made it: that writes the spec anew"


class Store:
    """The embeddings of one fingerprint.

    :param directory: ``CACHE/<fingerprint>``.
    :param spec: the feature spec that the fingerprint is the digest of.
    """

    def __init__(self, directory: Path, spec: FeatureSpec) -> None:
        self.directory = directory
        self.spec = spec
        self.fingerprint = spec.fingerprint
        self.packs = Packs(directory / PACKS, self.fingerprint, spec.encoder.dim)

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Open an existing store and check that its spec is the one that its name is the digest of.

        :raises CorruptRecordError: if it is not, or a directory of the store is a link.
        """
        for name in ("", CLIPS, PACKS):
            if (directory / name).is_symlink():
                raise no_directory(directory.name, *([name] if name else []))
        try:
            content = read_plain_file(directory / SPEC, MAX_SPEC_BYTES)
            spec = FeatureSpec.model_validate_json(content)
        except (OSError, ValidationError):
            raise CorruptRecordError(
                f"the feature spec of {short(directory.name)} is missing or damaged. {WRITE_SPEC_ANEW}"
            ) from None
        names = (spec.encoder.architecture, spec.encoder.layer)
        said = all(len(name) <= MAX_NAME_LENGTH and name.isprintable() for name in names)
        if not said or spec.fingerprint != directory.name or spec.canonical_json().encode("ascii") != content:
            raise CorruptRecordError(
                f"the feature spec of {short(directory.name)} is not the one it was made with. {WRITE_SPEC_ANEW}"
            )
        return cls(directory, spec)

    def path_of(self, key: str) -> Path:
        """Where a clip's own file lies, or would lie."""
        if not CLIP_KEY.fullmatch(key):
            raise ValueError("a clip key is 64 hexadecimal digits")
        return self.directory / CLIPS / key[:2] / (key + CLIP_SUFFIX)

    def __contains__(self, key: str) -> bool:
        if self._has_file(key) or key in self.packs:
            return True
        self.packs.refresh()
        return key in self.packs

    def keys(self) -> set[str]:
        """Keys of all clips, loose and packed, by one look at the directories."""
        # Loose ones first: a clip moves from there into a pack, and never back.
        loose = {key for _, key in self._entries()}
        self.packs.refresh()
        return loose | self.packs.keys()

    def files(self) -> Iterator[Path]:
        """Files of all loose clips; temporary ones, and what lies where no reader looks for it, are not among them."""
        return (folder / (key + CLIP_SUFFIX) for folder, key in self._entries())

    def size_of(self, key: str) -> int:
        """About how many bytes a clip's embeddings have, without reading them; 0 if it is not here."""
        packed = self.packs.size_of(key)
        if packed is not None:
            return packed
        try:
            return self.path_of(key).lstat().st_size
        except OSError:
            return 0

    def _entries(self) -> Iterator[tuple[Path, str]]:
        here = (self.directory.parent, self.directory.name, CLIPS)
        for digits in directories_in(*here):
            for name in names_in(*here, digits):
                key = name.removesuffix(CLIP_SUFFIX)
                if key != name and key.startswith(digits) and CLIP_KEY.fullmatch(key):
                    yield self.directory / CLIPS / digits, key

    def _has_file(self, key: str) -> bool:
        path = self.path_of(key)
        try:
            return stat.S_ISREG(path.lstat().st_mode) and not path.parent.is_symlink()
        except OSError:
            return False

    def write(self, key: str, embeddings: ClipEmbeddings) -> None:
        """Store a clip; durable on return. Writing one that is there replaces it with the same content.

        :raises CacheError: if the disk refuses, or the store's directory is gone.
        :raises ValueError: if the arrays do not belong together or a readable frame is not finite.
        """
        record.check(embeddings, self.spec.encoder.dim)
        image = record.encode(key, self.fingerprint, embeddings, self.spec.stored_dtype)
        head = sealed.seal(image)
        record.decode(sealed.open_seal(head + image), key, self.fingerprint, self.spec.encoder.dim)
        sealed.write_whole(self.path_of(key), head, image, within=self.directory)

    def read(self, key: str) -> ClipEmbeddings:
        """Read a clip, checked whole, wherever it is sound.

        :raises ClipNotCachedError: if it is not here.
        :raises CorruptRecordError: if it is nowhere what was written.
        :raises CacheError: if it cannot be read at present (permissions, a network disk that is gone).
        """
        damage: CorruptRecordError | None = None
        # Packed since the packs were looked at, a clip has lost its own file: so they are looked at once more.
        for way in (self.packs.read, self._read_file, self._read_from_new_packs):
            try:
                embeddings = way(key)
            except CorruptRecordError as error:
                damage = damage or error
                continue
            if embeddings is not None:
                return embeddings
        if damage is not None:
            raise damage
        perhaps = " A damaged pack may hold it. See: lusfx cache verify." if self.packs.damaged else ""
        raise ClipNotCachedError(
            f"clip {short(key)} has no embeddings of {short(self.fingerprint)}.{perhaps} "
            "Run: lusfx extract SOURCES --cache DIR"
        )

    def read_all(
        self, keys: Iterable[str], failed: Callable[[str, CacheError], None] | None = None
    ) -> Iterator[tuple[str, ClipEmbeddings]]:
        """Read clips in the order that is fastest: pack by pack, as they lie there, and then the loose ones.

        :param keys: one that is named twice is read once.
        :param failed: told of a clip that is missing or damaged, which is then left out; None to stop there.
        :raises ClipNotCachedError, CorruptRecordError: where ``failed`` is None.
        :raises CacheError: if a clip cannot be read at present.
        """
        rest = dict.fromkeys(keys)
        self.packs.refresh()
        for key, embeddings in self.packs.read_all(list(rest)):
            del rest[key]
            yield key, embeddings
        for key in rest:
            try:
                yield key, self.read(key)
            except (ClipNotCachedError, CorruptRecordError) as error:
                if failed is None:
                    raise
                failed(key, error)

    def read_loose(self, key: str) -> ClipEmbeddings:
        """Read a clip from its own file, whether or not a pack has it as well.

        :raises ClipNotCachedError, CorruptRecordError, CacheError: as :meth:`read` does.
        """
        embeddings = self._read_file(key)
        if embeddings is None:
            raise ClipNotCachedError(f"clip {short(key)} has no file of its own")
        return embeddings

    def read_from(self, path: Path, key: str) -> ClipEmbeddings:
        """Read a clip from a file, whatever that is called.

        :raises FileNotFoundError: if it is not there.
        :raises CorruptRecordError, CacheError: as :meth:`read` does.
        """
        dim = self.spec.encoder.dim
        try:
            body = sealed.open_seal(sealed.read(path, sealed.SEAL_BYTES + record.max_bytes(dim)))
        except FileNotFoundError:
            raise
        except OSError as error:
            raise sealed.cannot_read(f"clip {short(key)}", error) from None
        except CorruptRecordError:
            raise CorruptRecordError(
                f"clip {short(key)} is damaged on disk. Run: lusfx cache repair, then extract it again"
            ) from None
        return record.decode(body, key, self.fingerprint, dim)

    def _read_from_new_packs(self, key: str) -> ClipEmbeddings | None:
        self.packs.refresh()
        return self.packs.read(key)

    def _read_file(self, key: str) -> ClipEmbeddings | None:
        """A loose clip; None if it has no file."""
        path = self.path_of(key)
        if path.parent.is_symlink():
            return None
        try:
            return self.read_from(path, key)
        except FileNotFoundError:
            return None


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache directory, checked to be one."""

    directory: Path

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> Cache:
        """Open a cache, or begin one in a directory that is missing or empty. Any number of processes may do so at once.

        :raises CacheError: if it is no cache, or one of a newer format; nothing is written then.
        """
        marker = directory / MARKER
        try:
            # Listed before the marker is looked for: another process that begins this cache writes the marker first.
            present = names_in(directory) if create else []
            if not marker.exists():
                if not create:
                    raise CacheError("there is no cache in this directory. Run: lusfx extract SOURCES --cache DIR")
                if not all(name.startswith(TEMPORARY_PREFIX) for name in present):
                    raise CacheError("the directory is neither empty nor a cache; name another one")
                sealed.write_whole(marker, _marker(VERSION))
            facts = json.loads(read_plain_file(marker, MAX_MARKER_BYTES))
        except NotPlainError:
            facts = None
        except OSError as error:
            raise CacheError(f"the cache cannot be opened: {system_reason(error)}") from None
        except (ValueError, RecursionError):
            facts = None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise CacheError(f"the directory is not a cache: its {MARKER} is damaged or foreign")
        version = facts.get("version")
        if type(version) is not int or not 0 <= version < 1 << 31:
            raise CacheError(f"the directory is not a cache: its {MARKER} is damaged or foreign")
        if version not in (VERSION, PACKED_VERSION):
            raise CacheError(
                f"the cache has format version {version}, this lusfx reads {VERSION} and {PACKED_VERSION}. "
                "Use the lusfx that wrote it, or name another directory"
            )
        return cls(directory)

    def allow_packs(self) -> None:
        """Raise the cache's format version, if it has no packs yet: older programs refuse it from then on."""
        marker = self.directory / MARKER
        if read_plain_file(marker, MAX_MARKER_BYTES) != _marker(PACKED_VERSION):
            sealed.write_whole(marker, _marker(PACKED_VERSION))

    def stores(self) -> list[Store]:
        """All stores, in order of fingerprint. One that another process is about to begin is not yet among them."""
        return [Store.open(path) for path in self.store_directories() if (path / SPEC).exists()]

    def store_directories(self) -> list[Path]:
        """Directories of all stores, damaged ones included, in order of fingerprint."""
        return [self.directory / name for name in directories_in(self.directory) if CLIP_KEY.fullmatch(name)]

    def store(self, spec: FeatureSpec) -> Store:
        """The store of a feature spec; made if there is none. A damaged ``spec.json`` is written anew: its directory's
        name proves what it was.
        """
        directory = self.directory / spec.fingerprint
        try:
            return Store.open(directory)
        except CorruptRecordError:
            sealed.write_whole(directory / SPEC, spec.canonical_json().encode("ascii"), within=self.directory)
        return Store.open(directory)

    def find(self, beginning: str) -> Store:
        """The store whose fingerprint begins so.

        :raises CacheError: if none or several do.
        """
        return Store.open(self.directory_of(beginning))

    def directory_of(self, beginning: str) -> Path:
        """The directory of the store whose fingerprint begins so, be it damaged or not.

        :raises CacheError: if none or several do, or the beginning is empty.
        """
        if not beginning:
            raise CacheError("an empty text is the beginning of no fingerprint")  # an unset variable of a shell
        directories = self.store_directories()
        found = [path for path in directories if path.name.startswith(beginning)]
        if len(found) == 1:
            return found[0]
        held = ", ".join(short(path.name) for path in directories) or "none"
        raise CacheError(f"{len(found)} fingerprints in the cache begin with {beginning[:64]}; it holds: {held}")

    def stat_index(self, site_key: SiteKey) -> StatIndex:
        """The stat index of this cache, to be used as a context."""
        return StatIndex(self.directory / STAT_INDEX, site_key)

    def start_run(
        self,
        fingerprint: str,
        encoder: str,
        site_key: SiteKey | None = None,
        *,
        other_site_key: bool = False,
        seen: Sequence[str] = (),
    ) -> RunLedger:
        """Begin the ledger of a run, to be used as a context.

        :param site_key: that the run's pseudonyms are made with.
        :param other_site_key: whether it may be another than that of earlier runs.
        :param seen: names of data sets that the encoder has seen.
        :raises SiteKeyError: if it is and may not.
        """
        if site_key is not None and not other_site_key:
            self.require_site_key(site_key)
        check = None if site_key is None else site_key.check
        return RunLedger.start(self.directory / RUNS, fingerprint, encoder, check, seen)

    def require_site_key(self, site_key: SiteKey) -> None:
        """Refuse a site key that no run was made with, where runs say theirs: patients would get other pseudonyms.

        :raises SiteKeyError: with what to do.
        """
        known = self.site_keys()
        if known and site_key.check not in known:
            raise SiteKeyError(
                "the cache was extracted with another site key, which gives patients other pseudonyms. Set LUSFX_SITE_KEY to "
                "the key file that was used then. If that is not to be had, see 'Moving a cache' in docs/how-to-deploy.md"
            )

    def site_keys(self) -> set[str]:
        """Checks of the site keys that the runs' pseudonyms are made with; runs of before do not say theirs."""
        return {header["site_key"] for header in self._headers() if header["site_key"] is not None}

    def encoder_name(self, fingerprint: str) -> str:
        """What the latest run called the encoder of a fingerprint; its architecture where no run is on record."""
        names = self.encoder_names().get(fingerprint)
        return names[0] if names else self.find(fingerprint).spec.encoder.architecture

    def encoder_names(self) -> dict[str, list[str]]:
        """What runs called the encoder of each fingerprint, each name once and the latest first."""
        names: dict[str, dict[str, None]] = {}
        for header in self._headers():
            names.setdefault(header["fingerprint"], {})[header["encoder"]] = None
        return {fingerprint: list(called) for fingerprint, called in names.items()}

    def seen_by_encoder(self, fingerprint: str) -> set[str]:
        """Names of data sets that the encoder of a fingerprint has seen, as far as runs knew."""
        return {name for header in self._headers() if header["fingerprint"] == fingerprint for name in header["seen"]}

    def _headers(self) -> list[dict[str, Any]]:
        """What all runs said of themselves, the latest first; a ledger without a sound header is left out."""
        return [header for path in reversed(self.ledgers()) if (header := read_header(path)) is not None]

    def ledgers(self) -> list[Path]:
        """Files of all runs, oldest first."""
        return [self.directory / RUNS / name for name in names_in(self.directory, RUNS) if name.endswith(LEDGER_SUFFIX)]

    def memberships(self) -> dict[str, Membership]:
        """Which patient, exam and zone each clip belongs to, by what the latest run that knew it said."""
        return memberships(self.directory, self.ledgers())


def _marker(version: int) -> bytes:
    return canonical_json({"format": FORMAT, "version": version}).encode("ascii")
