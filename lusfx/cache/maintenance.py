"""Looking into a cache, checking it, setting damage aside, and tidying it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lusfx.cache.ledger import read_ledger
from lusfx.cache.packing import salvage
from lusfx.cache.store import CLIP_SUFFIX, SPEC, Cache, Store
from lusfx.config import FeatureSpec
from lusfx.durable import TEMPORARY_PREFIX, make_directory
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.messages import short, system_reason
from lusfx.patience import insist, remove, replace
from lusfx.site_key import same_patient

QUARANTINE = "quarantine"
ABANDONED_S = 3600
"""A temporary file this old was left by a run that was killed: writing one takes milliseconds, and a pack seconds."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What one fingerprint holds.

    :param fps: how many frames of each second are encoded; None for all.
    :param n_clips: loose and packed, each once.
    :param n_packed: those of them that are in packs.
    :param n_bytes: on disk, seals included.
    """

    fingerprint: str
    architecture: str
    dim: int
    stored_dtype: str
    fps: float | None
    n_clips: int
    n_packed: int
    n_packs: int
    n_bytes: int


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What a cache holds."""

    stores: list[StoreInfo]
    n_runs: int
    n_patients: int
    n_quarantined: int

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def info(cache: Cache) -> CacheInfo:
    """Count what a cache holds, without reading any clip."""
    stores = [_store_info(store) for store in cache.stores()]
    patients = {same_patient(member.patient) for member in cache.memberships().values() if member.patient is not None}
    quarantined = list((cache.directory / QUARANTINE).glob("*"))
    return CacheInfo(stores, len(cache.ledgers()), len(patients), len(quarantined))


def _store_info(store: Store) -> StoreInfo:
    spec, loose = store.spec, list(store.files())
    n_clips, packs = len(store.keys()), store.packs.files()
    return StoreInfo(
        store.fingerprint,
        spec.encoder.architecture,
        spec.encoder.dim,
        spec.stored_dtype,
        spec.preprocess.fps,
        n_clips,
        len(store.packs.keys()),
        len(packs),
        sum(_size_of(path) for path in [*loose, *packs]),
    )


@dataclass(frozen=True, slots=True)
class Finding:
    """Something in a cache that is not as it was written.

    :param file: relative to the cache; holds keys only.
    :param code: ``damaged-clip``, ``damaged-pack``, ``unreadable-clip``, ``unreadable-pack``, ``damaged-spec``,
        ``damaged-ledger`` or ``unfinished-run``.
    """

    file: str
    code: str
    detail: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What a check of the whole cache found. A run that was killed is told, but is no damage."""

    n_clips: int
    n_runs: int
    findings: list[Finding]

    @property
    def sound(self) -> bool:
        return all(finding.code == "unfinished-run" for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"sound": self.sound}


def verify(cache: Cache, progress: Callable[[int], None] | None = None) -> Verification:
    """Read everything and check it.

    :param progress: called with the number of clips checked so far.
    """
    findings: list[Finding] = []
    count = _Count(progress)
    for directory in cache.store_directories():
        try:
            store = Store.open(directory)
        except CorruptRecordError as error:
            if (directory / SPEC).exists() or any(directory.rglob(f"*{CLIP_SUFFIX}")):  # else it was only just begun
                findings.append(Finding(f"{directory.name}/{SPEC}", "damaged-spec", str(error)))
            continue
        for path in [*sorted(store.files()), *store.packs.files()]:
            check = _check_pack if path.parent == store.packs.directory else _check_clip
            file = path.relative_to(cache.directory).as_posix()
            what = "pack" if check is _check_pack else "clip"
            try:
                check(store, path, count)
            except (FileNotFoundError, ClipNotCachedError):
                continue  # removed meanwhile by another process
            except CorruptRecordError as error:
                findings.append(Finding(file, f"damaged-{what}", str(error)))
            except CacheError as error:
                findings.append(Finding(file, f"unreadable-{what}", str(error)))
    ledgers = cache.ledgers()
    return Verification(
        count.n_clips, len(ledgers), findings + [f for path in ledgers for f in _ledger_findings(cache, path)]
    )


@dataclass(slots=True)
class _Count:
    """Clips checked so far."""

    progress: Callable[[int], None] | None
    n_clips: int = 0

    def add(self, n_clips: int) -> None:
        self.n_clips += n_clips
        if self.progress is not None:
            self.progress(self.n_clips)


def _check_clip(store: Store, path: Path, count: _Count) -> None:
    try:
        store.read_loose(path.stem)
    except ClipNotCachedError:
        raise
    except CacheError:
        count.add(1)
        raise
    count.add(1)


def _check_pack(store: Store, path: Path, count: _Count) -> None:
    """Check every byte of a pack, and every clip as its readers do.

    :raises CorruptRecordError: saying how many clips are damaged.
    """
    pack = store.packs.open(path)
    n_damaged = 0
    for _, embeddings in pack.read_all(range(len(pack.keys))):
        count.add(1)
        if isinstance(embeddings, CorruptRecordError):
            n_damaged += 1
        elif isinstance(embeddings, CacheError):
            raise embeddings
    if n_damaged:
        raise CorruptRecordError(f"{n_damaged} of the pack's {len(pack.keys)} clips are damaged")
    pack.verify()


def _ledger_findings(cache: Cache, path: Path) -> Iterator[Finding]:
    content = read_ledger(path)
    file = path.relative_to(cache.directory).as_posix()
    if content.n_damaged_lines:
        yield Finding(file, "damaged-ledger", f"{content.n_damaged_lines} damaged lines")
    elif not content.adds_up:
        yield Finding(file, "damaged-ledger", "the entries are not those that its totals count")
    elif content.totals is None:
        yield Finding(file, "unfinished-run", "the run was killed, or is still at work; its entries are sound")


def repair(cache: Cache) -> list[Finding]:
    """Set damaged clips and packs aside in ``CACHE/quarantine``, so that the next extraction encodes them again. The sound
    clips of a damaged pack are put into another one before.

    :returns: what was set aside.
    """
    damaged = [finding for finding in verify(cache).findings if finding.code in ("damaged-clip", "damaged-pack")]
    for finding in damaged:
        source = cache.directory / finding.file
        try:
            if finding.code == "damaged-pack" and _mended(source):
                continue
            _set_aside(cache, source)
        except FileNotFoundError:
            continue  # set aside meanwhile by another process
        except OSError as error:
            raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
    return damaged


def _mended(path: Path) -> bool:
    """Save the sound clips of a damaged pack; whether they are all, and the pack has been put in its place anew."""
    store = Store.open(path.parents[1])
    try:
        pack = store.packs.open(path)
    except CorruptRecordError:
        return False  # nobody can say any more which clips it has
    return path in salvage(store, pack)[0]


def _set_aside(cache: Cache, path: Path) -> None:
    quarantine = cache.directory / QUARANTINE
    make_directory(quarantine)
    fingerprint = path.relative_to(cache.directory).parts[0]
    replace(path, quarantine / f"{short(fingerprint)}-{path.name}")


@dataclass(frozen=True, slots=True)
class Miss:
    """A store that holds the clip under another feature spec.

    :param differing: dotted field name -> (value there, value wanted).
    """

    fingerprint: str
    differing: dict[str, tuple[Any, Any]]


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a clip is a hit or a miss.

    :param verdict: ``hit``, ``damaged``, ``other-fingerprint`` or ``never-encoded``.
    """

    clip: str
    fingerprint: str
    verdict: str
    misses: list[Miss]

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def explain(cache: Cache, key: str, spec: FeatureSpec) -> Explanation:
    """Say why the cache does or does not hold a clip's embeddings of a feature spec, naming the fields that differ."""
    misses = []
    verdict = "never-encoded"
    for store in cache.stores():
        if key not in store:
            continue
        if store.fingerprint != spec.fingerprint:
            misses.append(Miss(store.fingerprint, spec_difference(store.spec, spec)))
            continue
        try:
            store.read(key)
            verdict = "hit"
        except CorruptRecordError:
            verdict = "damaged"
    if verdict == "never-encoded" and misses:
        verdict = "other-fingerprint"
    return Explanation(key, spec.fingerprint, verdict, misses)


def spec_difference(one: FeatureSpec, other: FeatureSpec) -> dict[str, tuple[Any, Any]]:
    """Dotted names of the fields in which two feature specs differ, with both values."""
    left, right = dict(_flat(one.model_dump(mode="json"))), dict(_flat(other.model_dump(mode="json")))
    return {
        name: (left.get(name), right.get(name))
        for name in sorted(left.keys() | right.keys())
        if left.get(name) != right.get(name)
    }


def _flat(value: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, item in value.items():
        if isinstance(item, dict):
            yield from _flat(item, f"{prefix}{name}.")
        else:
            yield prefix + name, item


@dataclass(frozen=True, slots=True)
class Removal:
    """What tidying removed, or would remove."""

    files: list[str]
    n_bytes: int
    dry_run: bool

    def as_dict(self) -> dict[str, Any]:
        return {"removed": self.files, "bytes": self.n_bytes, "dry_run": self.dry_run}


def gc(cache: Cache, *, fingerprints: Sequence[str] = (), dry_run: bool = False) -> Removal:
    """Remove temporary files of killed runs, what is in quarantine, the files of clips that are in a pack as well, and the
    stores of fingerprints that are named.

    :param fingerprints: beginnings of fingerprints whose embeddings are no longer wanted.
    """
    unwanted = sorted({cache.directory_of(beginning) for beginning in fingerprints})
    doomed = [path for path in cache.directory.rglob(f"{TEMPORARY_PREFIX}*") if _abandoned(path)]
    doomed += sorted((cache.directory / QUARANTINE).glob("*"))
    for directory in cache.store_directories():
        doomed += _packed_as_well(directory) if directory not in unwanted else []
    for directory in unwanted:
        doomed += sorted(path for path in directory.rglob("*") if not path.is_dir())
    doomed = list(dict.fromkeys(doomed))
    n_bytes = sum(_size_of(path) for path in doomed)
    if not dry_run:
        _remove(doomed, unwanted)
    names = [path.relative_to(cache.directory).as_posix() for path in doomed]
    return Removal(names, n_bytes, dry_run)


def _packed_as_well(directory: Path) -> list[Path]:
    """Files of loose clips that a pack holds sound: left by a packing that was killed."""
    try:
        store = Store.open(directory)
    except CorruptRecordError:
        return []
    loose = {path.stem: path for path in store.files()}
    store.packs.refresh()
    return sorted(loose[key] for key, _ in store.packs.read_all(loose))


def _remove(files: list[Path], directories: list[Path]) -> None:
    """Remove files, a store's spec last, so that a killed removal leaves a store that can still be opened; then the
    directories, and no other empty one: a run may be about to write into it.
    """
    try:
        for path in sorted(files, key=lambda path: path.name == SPEC):
            remove(path)
        for top in directories:
            for directory in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
                insist(directory.rmdir)
    except OSError as error:
        raise CacheError(f"the cache cannot be tidied: {system_reason(error)}") from None


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # removed meanwhile by another process


def _abandoned(path: Path) -> bool:
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_S
    except OSError:
        return False
