"""Trials of damage to the files of a cache: one bit turned over, the end lost, or a block of zeros.

``python -m tests.faults.flips WORK FIRST END``. The cache is made once, by extractions and a packing between them, and put
right again after each trial.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lusfx import plain_file
from lusfx.cache import Cache, Membership, memberships, pack, read_ledger, repair, stat_index, verify
from lusfx.engine.extraction.extract import extract
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.types import ClipEmbeddings
from tests.faults.archive import plain_encoder, same, write_site_key
from tests.faults.sources import sound_files
from tests.faults.spoil import blank, cut

SEED = 23
WORK_CACHE = "cache"
KINDS = ("loose clip", "pack", "loose clip", "pack", "run ledger", "stat index", "memberships index", "spec", "marker")
"""Of files, in turn: what holds embeddings comes more often."""
SINGLE_BITS = 0.8
REPAIR_EVERY = 40
"""So many trials, and one is also repaired and extracted again, where the file holds clips."""


@dataclass
class Outcome:
    """What a trial showed.

    :param noticed: whether ``lusfx cache verify`` or opening the cache told of it.
    :param lost: clips that were refused, or answers that were forgotten.
    """

    noticed: bool = False
    lost: int = 0
    repaired: bool = False
    problems: list[str] = field(default_factory=list)


class Bench:
    """A cache with loose clips, packs, ledgers and both indices, and what it held before anything was damaged."""

    def __init__(self, work: Path) -> None:
        self.work = work
        self.site_key = write_site_key(work)
        self.encoder = str(plain_encoder(work))
        self.exams = [work / "first", work / "second"]
        sound = sound_files()
        for number, folder in enumerate(self.exams):
            folder.mkdir()
            for one in sound[number::2]:
                (folder / one.name).write_bytes(one.content)
        self.files = sorted(path for folder in self.exams for path in folder.iterdir())
        # Here neither fresh files nor small ledgers may keep the indices from being written.
        plain_file.RACY_NS = -(10**18)
        memberships.WORTH_BYTES = 1
        self.directory = work / WORK_CACHE
        self.extract(self.exams[:1])
        pack(Cache.open(self.directory))
        self.extract(self.exams)
        cache = Cache.open(self.directory)
        self.members = cache.memberships()
        self.clips = self._read_all(cache)
        with cache.stat_index(self.site_key) as index:
            self.known = {path: index.lookup(path) for path in self.files}
        (store,) = cache.stores()
        self.targets = {
            "loose clip": sorted(store.files()),
            "pack": store.packs.files(),
            "run ledger": cache.ledgers(),
            "stat index": [self.directory / stat_index.FILE_NAME],
            "memberships index": [self.directory / memberships.FILE_NAME],
            "spec": [store.directory / "spec.json"],
            "marker": [self.directory / "cache.json"],
        }
        assert verify(cache).sound
        assert all(self.targets.values()), {kind: len(files) for kind, files in self.targets.items()}
        assert all(self.known.values())
        assert any(member.patient for member in self.members.values())
        self.contents = {path: path.read_bytes() for files in self.targets.values() for path in files}

    def extract(self, places: list[Path]) -> None:
        result = extract(places, self.directory, encoder=self.encoder, device="cpu", threads=1, workers=0,
                         site_key=self.site_key)  # fmt: skip
        assert not result.troubles, result.troubles

    def _read_all(self, cache: Cache) -> dict[str, ClipEmbeddings]:
        (store,) = cache.stores()
        return dict(store.read_all(sorted(store.keys())))

    def trial(self, number: int) -> dict[str, Any]:
        """Damage a file, look at the cache, and put the file right again."""
        random = np.random.default_rng((SEED, number))
        kind = KINDS[number % len(KINDS)]
        files = self.targets[kind]
        path = files[int(random.integers(len(files)))]
        content = self.contents[path]
        way, damaged = _damaged(content, random)
        path.write_bytes(damaged)
        outcome = Outcome()
        try:
            self._look(kind, path, outcome)
            if number // len(KINDS) % REPAIR_EVERY == 0 and kind in ("loose clip", "pack", "spec"):
                self._mend(kind, path, outcome)
        except Exception as error:
            outcome.problems.append(f"{type(error).__name__}: {error}")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return {
            "kind": kind, "way": way, "noticed": outcome.noticed, "lost": outcome.lost, "repaired": outcome.repaired,
            "problems": outcome.problems,
        }  # fmt: skip

    def _look(self, kind: str, path: Path, outcome: Outcome) -> None:
        try:
            cache = Cache.open(self.directory)
        except CacheError:
            outcome.noticed, outcome.lost = True, len(self.clips)
            if kind != "marker":
                outcome.problems.append("the cache cannot be opened")
            return
        findings = {finding.file: finding.code for finding in verify(cache).findings}
        others = findings.keys() - {path.relative_to(self.directory).as_posix()}
        outcome.noticed = bool(findings)
        if others:
            outcome.problems.append(f"sound files are found damaged: {sorted(others)}")
        if kind in ("loose clip", "pack", "spec") and not findings:
            outcome.problems.append("verifying found nothing")
        self._look_at_clips(cache, outcome)
        self._look_at_members(cache, kind, outcome)
        if kind == "stat index":
            self._look_at_index(cache, outcome)
        if kind == "run ledger":
            read_ledger(path)

    def _look_at_clips(self, cache: Cache, outcome: Outcome) -> None:
        """Each is what was written, or refused."""
        try:
            (store,) = cache.stores()
        except CorruptRecordError:
            outcome.lost += len(self.clips)
            return
        found: set[str] = set()
        lost: dict[str, CacheError] = {}
        for key, clip in store.read_all(self.clips, failed=lost.__setitem__):
            found.add(key)
            if not _exactly(clip, self.clips[key]):
                outcome.problems.append("a clip is read back as another one")
        outcome.lost += len(lost)
        if found | lost.keys() != self.clips.keys() or not store.keys() <= self.clips.keys():
            outcome.problems.append("clips came or went without a word")

    def _look_at_members(self, cache: Cache, kind: str, outcome: Outcome) -> None:
        members = cache.memberships()
        if not members.keys() <= self.members.keys():
            outcome.problems.append("a clip that there is not has a patient")
        for key, before in self.members.items():
            now = members.get(key, Membership())
            pairs = ((now.patient, before.patient), (now.exam, before.exam), (now.zone, before.zone))
            if any(after not in (None, known) for after, known in pairs):
                outcome.problems.append("a clip has another patient, exam or zone")
            if now != before:
                outcome.lost += 1
                if kind not in ("run ledger", "memberships index"):
                    outcome.problems.append("a clip lost its patient, exam or zone")

    def _look_at_index(self, cache: Cache, outcome: Outcome) -> None:
        with cache.stat_index(self.site_key) as index:
            for path in self.files:
                found = index.lookup(path)
                outcome.lost += found is None
                if found not in (None, self.known[path]):
                    outcome.problems.append("a file has another clip's key")

    def _mend(self, kind: str, path: Path, outcome: Outcome) -> None:
        """Repair, extract once more, and compare; then the cache is put back as it was."""
        kept = self.work / "kept"
        shutil.copytree(self.directory, kept)
        try:
            set_aside = repair(Cache.open(self.directory))
            if kind != "spec" and path.relative_to(self.directory).as_posix() not in {one.file for one in set_aside}:
                outcome.problems.append("repair set nothing aside")
            self.extract(self.exams)
            cache = Cache.open(self.directory)
            if not verify(cache).sound:
                outcome.problems.append("it is not sound after the repair")
            again = self._read_all(cache)
            if again.keys() != self.clips.keys() or not all(same(again[key], self.clips[key]) for key in again):
                outcome.problems.append("embeddings differ after the repair")
            outcome.repaired = True
        finally:
            shutil.rmtree(self.directory)
            kept.rename(self.directory)


def _damaged(content: bytes, random: np.random.Generator) -> tuple[str, bytes]:
    """One bit over, most of the time; what changes nothing is no damage."""
    chance = random.random()
    if chance >= SINGLE_BITS:
        way, spoil = ("cut", cut) if chance < (1 + SINGLE_BITS) / 2 else ("zeros", blank)
        spoilt = spoil(content, random)
        if spoilt != content:
            return way, spoilt
    flipped = bytearray(content)
    flipped[int(random.integers(len(content)))] ^= 1 << int(random.integers(8))
    return "bit", bytes(flipped)


def _exactly(found: ClipEmbeddings, expected: ClipEmbeddings) -> bool:
    return same(found, expected) and (
        np.array_equal(found.source_frame, expected.source_frame)
        and dict(found.provenance) == dict(expected.provenance)
        and found.embeddings.dtype == expected.embeddings.dtype
    )


def main(work: Path, first: int, end: int) -> None:
    place = work / f"from-{first}"
    place.mkdir()
    bench = Bench(place)
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        print(json.dumps(bench.trial(number)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
