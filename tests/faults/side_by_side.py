"""Rounds of extractions at once over one archive and one cache, in some with a packing, or with locks that fail or do nothing.

``python -m tests.faults.side_by_side WORK FIRST END``
"""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lusfx.cache import Cache, read_ledger, verify
from tests.faults.ended_runs import Bench
from tests.faults.forks import Ended, finish, start

LOCKS = ("failing", "doing nothing", "sound")
CROWDS = (2, 8)


def without_locks(do: Callable[[int], None], locks: str) -> Callable[[int], None]:
    """The same where file locks fail, or say that they are had and are not, as on some network file systems."""
    if locks == "sound":
        return do

    def refuse(*arguments: Any, **more: Any) -> Any:
        raise OSError(37, "no locks available")

    def refused(*arguments: Any, **more: Any) -> Any:
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_LOCK
        raise error

    connect = sqlite3.connect

    def unlocked(database: Any, *arguments: Any, **more: Any) -> Any:
        place = database if str(database).startswith("file:") else Path(database).absolute().as_uri()
        more["uri"] = True
        return connect(f"{place}{'&' if '?' in place else '?'}vfs=unix-none", *arguments, **more)

    def done(pipe: int) -> None:
        fcntl.flock = fcntl.lockf = refuse if locks == "failing" else lambda *_: None
        sqlite3.connect = refused if locks == "failing" else unlocked
        do(pipe)

    return done


def half_of(bench: Bench) -> Path:
    """A cache with every second clip loose in it."""
    half = Path(shutil.copytree(bench.clean, bench.work / "half"))
    (store,) = Cache.open(half).stores()
    for path in sorted(store.files())[::2]:
        path.unlink()
    for ledger in Cache.open(half).ledgers():
        ledger.unlink()
    return half


def round_of(bench: Bench, half: Path, cache: Path, number: int) -> dict[str, Any]:
    """One round, half of whose clips a packing finds there; then one more extraction, which must find all that there is."""
    n_runs, locks, packs = CROWDS[number % 2], LOCKS[number // 2 % 3], number % 4 < 2
    if packs:
        shutil.copytree(half, cache)
    works = [without_locks(bench.extraction(cache, 0), locks) for _ in range(n_runs)]
    works += [without_locks(bench.packing(cache), locks)] * packs
    ended = [finish(*begun) for begun in [start(do) for do in works]]
    problems = [f"one ended with {one.code}" for one in ended if one.code != 0]
    opened = Cache.open(cache)
    found = verify(opened)
    if not found.sound:
        problems.append(f"damaged: {[finding.code for finding in found.findings]}")
    bench.compare(cache, problems)
    recorded = [entry for path in opened.ledgers() for entry in read_ledger(path).entries]
    if len(recorded) < n_runs * bench.n_sources:
        problems.append(f"{len(recorded)} sources are recorded by {n_runs} runs")
    again: Ended = finish(*start(bench.extraction(cache, 0)))
    if again.done.get("cached") != bench.n_sources:
        problems.append(f"the next run told {again.done}")
    return {"runs": n_runs, "locks": locks, "packing": packs, "problems": problems}


def main(work: Path, first: int, end: int) -> None:
    place = work / f"from-{first}"
    place.mkdir()
    bench = Bench(place, with_workers=False)
    half = half_of(bench)
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        cache = place / f"cache-{number}"
        try:
            facts = round_of(bench, half, cache, number)
        except Exception as error:
            facts = {"problems": [f"{type(error).__name__}: {error}"]}
        shutil.rmtree(cache, ignore_errors=True)
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
