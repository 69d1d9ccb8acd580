"""The cache: embeddings on disk, by fingerprint and clip. Content-addressed, written once, never edited in place."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from lusfx.cache import record, sealed
from lusfx.cache.keys import CLIP_KEY
from lusfx.cache.ledger import LEDGER_SUFFIX, Membership, RunLedger, read_ledger
from lusfx.cache.stat_index import FILE_NAME as STAT_INDEX
from lusfx.cache.stat_index import StatIndex
from lusfx.config import FeatureSpec, canonical_json
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings

FORMAT = "lusfx-cache"
VERSION = 1
MARKER = "cache.json"
SPEC = "spec.json"
CLIPS = "clips"
RUNS = "runs"
CLIP_SUFFIX = ".h5"


class Store:
    """The embeddings of one fingerprint.

    :param directory: ``CACHE/<fingerprint>``.
    :param spec: the feature spec that the fingerprint is the digest of.
    """

    def __init__(self, directory: Path, spec: FeatureSpec) -> None:
        self.directory = directory
        self.spec = spec
        self.fingerprint = spec.fingerprint

    @classmethod
    def open(cls, directory: Path) -> Store:
        """Open an existing store and check that its spec is the one that its name is the digest of.

        :raises CorruptRecordError: if it is not.
        """
        try:
            spec = FeatureSpec.model_validate_json((directory / SPEC).read_bytes())
        except (OSError, ValidationError):
            raise CorruptRecordError(f"the feature spec of {directory.name[:12]} is missing or damaged") from None
        if spec.fingerprint != directory.name:
            raise CorruptRecordError(f"the feature spec of {directory.name[:12]} is not the one it was made with")
        return cls(directory, spec)

    def path_of(self, key: str) -> Path:
        """Where a clip's file lies, or would lie."""
        if not CLIP_KEY.fullmatch(key):
            raise ValueError("a clip key is 64 hexadecimal digits")
        return self.directory / CLIPS / key[:2] / (key + CLIP_SUFFIX)

    def __contains__(self, key: str) -> bool:
        return self.path_of(key).is_file()

    def keys(self) -> set[str]:
        """Keys of all clips, by one look at the directories."""
        return {path.stem for path in self.files()}

    def files(self) -> Iterator[Path]:
        """Files of all clips; temporary ones are not among them."""
        for folder in _subdirectories(self.directory / CLIPS):
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.name.endswith(CLIP_SUFFIX) and CLIP_KEY.fullmatch(entry.name[: -len(CLIP_SUFFIX)]):
                        yield Path(entry.path)

    def write(self, key: str, clip: ClipEmbeddings) -> None:
        """Store a clip; durable on return. Writing one that is there replaces it with the same content.

        :raises CacheError: if the disk refuses.
        :raises ValueError: if the arrays do not belong together or a readable frame is not finite.
        """
        record.check(clip, self.spec.encoder.dim)
        image = record.encode(key, self.fingerprint, clip, self.spec.stored_dtype)
        head = sealed.seal(image)
        record.decode(sealed.open_seal(head + image), key, self.fingerprint, self.spec.encoder.dim)
        sealed.write_whole(self.path_of(key), head, image)

    def read(self, key: str) -> ClipEmbeddings:
        """Read a clip, checked whole.

        :raises ClipNotCachedError: if it is not here.
        :raises CorruptRecordError: if its file is not what was written.
        """
        try:
            content = self.path_of(key).read_bytes()
        except FileNotFoundError:
            raise ClipNotCachedError(
                f"clip {key[:12]} has no embeddings of {self.fingerprint[:12]}. Run: lusfx extract SOURCES --cache DIR"
            ) from None
        except OSError as error:
            raise CorruptRecordError(f"clip {key[:12]} cannot be read: {os.strerror(error.errno or 0)}") from None
        try:
            body = sealed.open_seal(content)
        except CorruptRecordError:
            raise CorruptRecordError(
                f"clip {key[:12]} is damaged on disk. Run: lusfx cache repair, then extract it again"
            ) from None
        return record.decode(body, key, self.fingerprint, self.spec.encoder.dim)


@dataclass(frozen=True, slots=True)
class Cache:
    """A cache directory, checked to be one."""

    directory: Path

    @classmethod
    def open(cls, directory: Path, *, create: bool = False) -> Cache:
        """Open a cache, or begin one in a directory that is missing or empty.

        :raises CacheError: if it is no cache, or one of a newer format; nothing is written then.
        """
        marker = directory / MARKER
        try:
            if not marker.exists():
                if not create:
                    raise CacheError("there is no cache in this directory. Run: lusfx extract SOURCES --cache DIR")
                if directory.exists() and any(directory.iterdir()):
                    raise CacheError("the directory is neither empty nor a cache; name another one")
                sealed.write_whole(marker, canonical_json({"format": FORMAT, "version": VERSION}).encode())
            facts = json.loads(marker.read_bytes())
        except OSError as error:
            raise CacheError(f"the cache cannot be opened: {os.strerror(error.errno or 0)}") from None
        except ValueError:
            facts = None
        if not isinstance(facts, dict) or facts.get("format") != FORMAT:
            raise CacheError(f"the directory is not a cache: its {MARKER} is damaged or foreign")
        if facts.get("version") != VERSION:
            raise CacheError(
                f"the cache has format version {facts.get('version')}, this lusfx reads {VERSION}. Use the lusfx that "
                "wrote it, or name another directory"
            )
        return cls(directory)

    def stores(self) -> list[Store]:
        """All stores, in order of fingerprint."""
        return [Store.open(path) for path in _subdirectories(self.directory) if CLIP_KEY.fullmatch(path.name)]

    def store(self, spec: FeatureSpec) -> Store:
        """The store of a feature spec; made if there is none."""
        directory = self.directory / spec.fingerprint
        if not (directory / SPEC).exists():
            sealed.write_whole(directory / SPEC, spec.canonical_json().encode("ascii"))
        return Store.open(directory)

    def find(self, beginning: str) -> Store:
        """The store whose fingerprint begins so.

        :raises CacheError: if none or several do.
        """
        stores = self.stores()
        found = [store for store in stores if store.fingerprint.startswith(beginning)]
        if len(found) == 1:
            return found[0]
        held = ", ".join(store.fingerprint[:12] for store in stores) or "none"
        raise CacheError(f"{len(found)} fingerprints in the cache begin with {beginning[:64]}; it holds: {held}")

    def stat_index(self, site_key: SiteKey) -> StatIndex:
        """The stat index of this cache, to be used as a context."""
        return StatIndex(self.directory / STAT_INDEX, site_key)

    def start_run(self, fingerprint: str, encoder: str) -> RunLedger:
        """Begin the ledger of a run, to be used as a context."""
        return RunLedger.start(self.directory / RUNS, fingerprint, encoder)

    def encoder_name(self, fingerprint: str) -> str:
        """What the latest run called the encoder of a fingerprint; its architecture where no run is on record."""
        for path in reversed(self.ledgers()):
            header = read_ledger(path).header
            if header is not None and header["fingerprint"] == fingerprint:
                return str(header["encoder"])
        return self.find(fingerprint).spec.encoder.architecture

    def ledgers(self) -> list[Path]:
        """Files of all runs, oldest first."""
        return sorted((self.directory / RUNS).glob(f"*{LEDGER_SUFFIX}"))

    def memberships(self) -> dict[str, Membership]:
        """Which patient, exam and zone each clip belongs to, by what the latest run that knew it said."""
        members: dict[str, Membership] = {}
        for path in self.ledgers():
            for entry in read_ledger(path).entries:
                if entry.clip is not None:
                    members[entry.clip] = entry.membership.or_else(members.get(entry.clip))
        return members


def _subdirectories(directory: Path) -> list[Path]:
    try:
        with os.scandir(directory) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False))
    except FileNotFoundError:
        return []
