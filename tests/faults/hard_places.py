"""Trials of caches that cannot be written: another user's, read-only, or gone while a run goes on.

``python -m tests.faults.hard_places WORK FIRST END``, by root, who can become another user; WORK must be open to that one.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from lusfx.cache import Cache, verify
from lusfx.engine.extraction.extract import Progress
from lusfx.errors import CacheError
from tests.faults.ended_runs import Bench
from tests.faults.forks import Ended, finish, start, tell

NOBODY = 65534
REFUSED = "refused"
READING, EXTRACTING = 0, 1
"""Numbers of the ordinary user's trials; in the others the cache is gone after so many sources less two."""


def as_nobody(do: Callable[[int], None]) -> Callable[[int], None]:
    """The same by a user who owns nothing."""

    def done(pipe: int) -> None:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)
        do(pipe)

    return done


def or_refused(do: Callable[[int], None]) -> Callable[[int], None]:
    """The same, telling where an error of the cache ends it."""

    def done(pipe: int) -> None:
        try:
            do(pipe)
        except CacheError:
            tell(pipe, REFUSED)

    return done


def tree(directory: Path) -> dict[str, tuple[int, bytes]]:
    """Names, change times and contents of all files."""
    files = (path for path in directory.rglob("*") if path.is_file())
    return {str(path.relative_to(directory)): (path.stat().st_ctime_ns, path.read_bytes()) for path in files}


def let_read(directory: Path) -> None:
    """Let everybody read a directory and what is below, and nobody write."""
    for path in [directory, *directory.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)


def of_another_user(bench: Bench, cache: Path, *, extracting: bool) -> list[str]:
    shutil.copytree(bench.clean, cache)
    for directory in (cache, bench.exams, Path(bench.encoder)):
        let_read(directory)
    before = tree(cache)

    def read(pipe: int) -> None:
        assert verify(Cache.open(cache)).sound
        assert len(Cache.open(cache).memberships()) == bench.n_sources
        problems: list[str] = []
        bench.compare(cache, problems)
        assert not problems

    ended = finish(*start(as_nobody(or_refused(bench.extraction(cache, 0) if extracting else read))))
    problems = ended.problems + [f"ended with {ended.code}"] * (ended.code != 0)
    if bool(ended.words(REFUSED)) != extracting:
        problems.append("it was not refused" if extracting else "it was refused")
    if tree(cache) != before:
        problems.append("the cache was changed")
    return problems


def gone(bench: Bench, cache: Path, n_sources: int) -> list[str]:
    """The cache is moved away once so many sources are settled, and put back after the run."""
    elsewhere = cache.with_name(cache.name + "-elsewhere")

    def move(progress: Progress) -> None:
        if progress.settled == n_sources:
            cache.rename(elsewhere)

    ended: Ended = finish(*start(or_refused(bench.extraction(cache, 0, move))))
    problems = ended.problems + [f"ended with {ended.code}"] * (ended.code != 0)
    if cache.exists():
        problems.append("something was begun in the place of the cache")
    held = bench.state(elsewhere, min(n_sources, len(ended.words("settled"))), problems)
    if len(held) < bench.n_sources and not ended.words(REFUSED):
        problems.append("clips are missing, and nothing was said")
    elsewhere.rename(cache)
    if (again := finish(*start(bench.extraction(cache, 0)))).code != 0:
        problems.append(f"the next run ended with {again.code}")
    bench.compare(cache, problems)
    return problems


def main(place: Path, first: int, end: int) -> None:
    place.chmod(0o755)
    bench = Bench(place, with_workers=False)
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        cache = place / f"cache-{number}"
        try:
            if number in (READING, EXTRACTING):
                problems = of_another_user(bench, cache, extracting=number == EXTRACTING)
            else:
                problems = gone(bench, cache, number - 1)
        except Exception as error:
            problems = [f"{type(error).__name__}: {error}"]
        print(json.dumps({"problems": problems}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
