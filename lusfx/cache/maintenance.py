"""Looking into a cache, checking it, and setting damage aside."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lusfx import durable
from lusfx.cache.folder import Folder, directories_in, names_in, no_directory
from lusfx.cache.keys import CLIP_KEY
from lusfx.cache.ledger import is_finished, is_held, read_ledger, without_damage
from lusfx.cache.memberships import SETTLED_S
from lusfx.cache.packing import salvage
from lusfx.cache.packs import PACKS
from lusfx.cache.store import CLIP_SUFFIX, CLIPS, RUNS, SPEC, Cache, Store
from lusfx.errors import CacheError, ClipNotCachedError, CorruptRecordError
from lusfx.messages import short, system_reason
from lusfx.site_key import same_patient

QUARANTINE = "quarantine"


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """What one fingerprint holds.

    :param encoder: what the latest run called it; its architecture where no run is on record.
    :param fps: how many frames of each second are encoded; None for all.
    :param n_clips: loose and packed, each once.
    :param n_packed: those of them that are in packs.
    :param n_bytes: on disk, seals included.
    """

    fingerprint: str
    encoder: str
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
    stores = [_store_info(store, cache.encoder_name(store.fingerprint)) for store in cache.stores()]
    patients = {same_patient(member.patient) for member in cache.memberships().values() if member.patient is not None}
    quarantined = names_in(cache.directory, QUARANTINE)
    return CacheInfo(stores, len(cache.ledgers()), len(patients), len(quarantined))


def _store_info(store: Store, encoder: str) -> StoreInfo:
    spec, loose = store.spec, list(store.files())
    n_clips, packs = len(store.keys()), store.packs.files()
    return StoreInfo(
        store.fingerprint,
        encoder,
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
    :param code: ``damaged-clip``, ``damaged-pack``, ``damaged-ledger``, ``damaged-spec``, ``unreadable-clip``,
        ``unreadable-pack``, ``unreadable-ledger``, ``no-directory`` (a link, or anything else in a directory's place) or
        ``unfinished-run``.
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
    findings = list(_no_directories(cache))
    linked = {finding.file for finding in findings}
    count = _Count(progress)
    for directory in cache.store_directories():
        here = directory.name
        if linked & {f"{here}/{CLIPS}", f"{here}/{PACKS}"}:
            continue
        try:
            store = Store.open(directory)
        except CorruptRecordError as error:
            # else it was only just begun
            if os.path.lexists(directory / SPEC) or any(directory.rglob(f"*{CLIP_SUFFIX}")):
                findings.append(Finding(f"{here}/{SPEC}", "damaged-spec", str(error)))
            continue
        for path in sorted(store.files()):
            findings += _findings(cache, path, "clip", partial(_check_clip, store, path, count))
        for path in store.packs.files():
            findings += _findings(cache, path, "pack", partial(_check_pack, store, path, count))
    ledgers = cache.ledgers() if RUNS not in linked else []
    for path in ledgers:
        findings += _findings(cache, path, "ledger", partial(_check_ledger, path))
    return Verification(count.n_clips, len(ledgers), findings)


def _no_directories(cache: Cache) -> Iterator[Finding]:
    """What has the name of a directory of the cache, and is none."""
    yield from _no_directories_in(cache, (), lambda name: name in (RUNS, QUARANTINE) or CLIP_KEY.fullmatch(name))
    for directory in cache.store_directories():
        here = (directory.name,)
        yield from _no_directories_in(cache, here, lambda name: name in (CLIPS, PACKS))
        if CLIPS in directories_in(cache.directory, *here):
            yield from _no_directories_in(cache, (*here, CLIPS), lambda name: len(name) == 2)


def _no_directories_in(cache: Cache, names: tuple[str, ...], wanted: Callable[[str], object]) -> Iterator[Finding]:
    directories = set(directories_in(cache.directory, *names))
    for name in names_in(cache.directory, *names):
        if wanted(name) and name not in directories:
            yield Finding("/".join((*names, name)), "no-directory", str(no_directory(*names, name)))


def _findings(cache: Cache, path: Path, what: str, check: Callable[[], Finding | None]) -> Iterator[Finding]:
    file = path.relative_to(cache.directory).as_posix()
    try:
        found = check()
    except (FileNotFoundError, ClipNotCachedError):
        return  # removed meanwhile by another process
    except CorruptRecordError as error:
        found = Finding(file, f"damaged-{what}", str(error))
    except CacheError as error:
        found = Finding(file, f"unreadable-{what}", str(error))
    if found:
        yield found


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


def _check_pack(store: Store, path: Path, count: _Count, pack_id: str | None = None) -> None:
    """Check every byte of a pack, and every clip as its readers do.

    :raises CorruptRecordError: saying how many clips are damaged.
    """
    pack = store.packs.open(path, pack_id)
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


def _check_ledger(path: Path) -> Finding | None:
    content = read_ledger(path)
    if content.n_damaged_lines:
        raise CorruptRecordError(f"{content.n_damaged_lines} damaged lines")
    if not content.adds_up:
        raise CorruptRecordError("the entries are not those that its totals count")
    if content.totals is None:
        detail = "the run was killed, or is still at work; its entries are sound"
        return Finding(f"{RUNS}/{path.name}", "unfinished-run", detail)
    return None


def repair(cache: Cache, left: Callable[[Finding], None] | None = None) -> list[Finding]:
    """Set damaged clips, packs and ledgers aside in ``CACHE/quarantine``, so that the next extraction encodes them again. The
    sound clips of a damaged pack are put into another one before, and the sound lines of a ledger stay where they are.

    Each file is looked at once more when its turn comes, and what was mended meanwhile is let be.

    :param left: told of what is damaged and was left where it is, with the reason.
    :returns: what was set aside, or put in place anew.
    """
    done = []
    for finding in verify(cache).findings:
        mend = MENDING.get(finding.code)
        if mend is None:
            continue
        try:
            if mend(cache, cache.directory / finding.file):
                done.append(finding)
        except (FileNotFoundError, ClipNotCachedError):
            continue  # set aside meanwhile by another process
        except _LeftError as reason:
            if left is not None:
                left(Finding(finding.file, finding.code, str(reason)))
        except OSError as error:
            raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
    return done


class _LeftError(Exception):
    """Something is damaged, and stays where it is."""


def _mend_clip(cache: Cache, path: Path) -> bool:
    store = Store.open(path.parents[2])
    nobody = _Count(None)
    if _is_sound(partial(_check_clip, store, path, nobody)):
        return False
    return _set_aside(cache, path, lambda moved: _is_sound(partial(store.read_from, moved, path.stem)))


def _mend_pack(cache: Cache, path: Path) -> bool:
    """Save the sound clips of a damaged pack, and set it aside unless it has been put in its place anew."""
    store = Store.open(path.parents[1])
    nobody = _Count(None)
    if _is_sound(partial(_check_pack, store, path, nobody)):
        return False
    try:
        if path in salvage(store, store.packs.open(path))[0]:
            return True
    except CorruptRecordError:
        pass  # nobody can say any more which clips it has
    return _set_aside(cache, path, lambda moved: _is_sound(partial(_check_pack, store, moved, nobody, path.stem)))


def _mend_ledger(cache: Cache, path: Path) -> bool:
    """Write a ledger anew without its damaged lines; the old one is kept in quarantine."""
    if _is_sound(partial(_check_ledger, path)):
        return False
    try:
        sound_lines = without_damage(path)
        if not is_finished(path) and is_held(path, SETTLED_S):
            raise _LeftError("a run is writing it. Repair it when the run has ended")
    except CorruptRecordError:
        return _set_aside(cache, path, lambda moved: _is_sound(partial(read_ledger, moved)))
    with _opened(cache, QUARANTINE, make=True) as quarantine, _opened(cache, RUNS) as runs:
        runs.keep(path.name, quarantine, _free_name(quarantine, path.name))
    durable.write_whole(path, sound_lines)
    return True


MENDING: dict[str, Callable[[Cache, Path], bool]] = {
    "damaged-clip": _mend_clip,
    "damaged-pack": _mend_pack,
    "damaged-ledger": _mend_ledger,
    "no-directory": lambda cache, path: _leave(),
}
"""By the code of a finding; whether the file was set aside, or put in place anew."""


def _leave() -> bool:
    raise _LeftError("it is a link or no directory. Look where it leads, and put a directory in its place")


def _is_sound(check: Callable[[], object]) -> bool:
    try:
        check()
    except CorruptRecordError:
        return False
    return True


def _set_aside(cache: Cache, path: Path, is_sound: Callable[[Path], bool]) -> bool:
    *names, name = path.relative_to(cache.directory).parts
    prefix = f"{short(names[0])}-" if CLIP_KEY.fullmatch(names[0]) else ""
    with _opened(cache, *names) as folder, _opened(cache, QUARANTINE, make=True) as quarantine:
        return folder.set_aside(name, quarantine, _free_name(quarantine, prefix + name), is_sound)


@contextmanager
def _opened(cache: Cache, *names: str, make: bool = False) -> Iterator[Folder]:
    try:
        with Folder.open(cache.directory, *names, make=make) as folder:
            yield folder
    except NotADirectoryError:
        raise no_directory(*names) from None


def _free_name(folder: Folder, name: str) -> str:
    """The name, or where it is taken one that begins with it."""
    return f"{name}-{secrets.token_hex(4)}" if name in folder.names() else name


def _size_of(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0  # removed meanwhile by another process
