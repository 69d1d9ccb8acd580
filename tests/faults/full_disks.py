"""Trials of disks that are full after so many pages: an extraction, or a packing, and then the same with room again.

``python -m tests.faults.full_disks WORK DISK STEP FIRST END``, where DISK is a small disk of its own.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from lusfx.durable import TEMPORARY_PREFIX
from tests.faults.ended_runs import Bench
from tests.faults.forks import finish, start

PAGE = 4096


def fill(disk: Path, n_pages: int) -> Path:
    """A file that leaves so many pages free."""
    filler = disk / "filler"
    filler.touch()
    free = os.statvfs(disk)
    filler.write_bytes(b"x" * max(0, free.f_bavail * free.f_frsize - n_pages * PAGE))
    return filler


def trial(bench: Bench, disk: Path, n_pages: int, *, packing: bool) -> dict[str, Any]:
    """Fill the disk, try, look; make room, and do it once more."""
    cache = disk / "cache"
    if packing:
        shutil.copytree(bench.clean, cache)
    else:
        cache.mkdir()
    filler = fill(disk, n_pages)
    do = bench.packing(cache) if packing else bench.extraction(cache, 0)
    ended = finish(*start(do))
    problems = list(ended.problems)
    if ended.code not in (0, 1):
        problems.append(f"ended with {ended.code}")
    if list(cache.rglob(f"{TEMPORARY_PREFIX}*")):
        problems.append("a temporary file is left")
    held = len(bench.state(cache, len(ended.words("settled")), problems))
    if packing and held != bench.n_sources:
        problems.append("packing lost clips")
    filler.unlink()
    if (again := finish(*start(do))).code != 0:
        problems.append(f"with room again it ended with {again.code}")
    bench.compare(cache, problems)
    shutil.rmtree(cache)
    return {"packing": packing, "pages": n_pages, "full": ended.code == 1, "held": held, "problems": problems}


def main(work: Path, disk: Path, step: int, first: int, end: int) -> None:
    place = work / f"from-{first}"
    place.mkdir()
    bench = Bench(place, with_workers=False)
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        try:
            facts = trial(bench, disk, number // 2 * step, packing=number % 2 == 1)
        except Exception as error:
            facts = {"problems": [f"{type(error).__name__}: {error}"]}
            shutil.rmtree(disk / "cache", ignore_errors=True)
            (disk / "filler").unlink(missing_ok=True)
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
