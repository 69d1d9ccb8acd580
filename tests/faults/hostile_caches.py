"""Trials of caches that were copied from a stranger: in the place of a file or a directory lies something else.

``python -m tests.faults.hostile_caches WORK FIRST END``. The cache is made once; each trial plants one thing in it, gives it to
the commands, one after the other, and puts the cache right again. Whoever started this notices a command that waits or
takes all memory.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from lusfx.cache import Cache, Store
from lusfx.cli import group
from lusfx.errors import LusfxError
from tests.faults.flips import Bench

MEMORY_BYTES = 8 << 30
SPARSE_BYTES = 40 << 30


def fifo(place: Path, victim: Path) -> None:
    os.mkfifo(place)


def endless(place: Path, victim: Path) -> None:
    place.symlink_to("/dev/zero")


def holes(place: Path, victim: Path) -> None:
    with place.open("wb") as file:
        file.truncate(SPARSE_BYTES)


def directory(place: Path, victim: Path) -> None:
    place.mkdir()
    (place / "thesis.txt").write_text("precious")


def link_to_file(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "thesis.txt")


def link_to_directory(place: Path, victim: Path) -> None:
    place.symlink_to(victim)


def nowhere(place: Path, victim: Path) -> None:
    place.symlink_to(victim / "missing")


def circle(place: Path, victim: Path) -> None:
    place.symlink_to(place.name)


PLANTS: tuple[Callable[[Path, Path], None], ...] = (
    fifo, endless, holes, directory, link_to_file, link_to_directory, nowhere, circle,
)  # fmt: skip
PLACES = (
    "marker", "spec", "run ledger", "memberships index", "stat index", "stat index's journal", "loose clip", "pack",
    "runs", "store", "clips", "digits", "packs", "quarantine", "temporary file",
)  # fmt: skip
N_TRIALS = len(PLANTS) * len(PLACES)
NEEDS_A_PERSON = {"marker", "runs", "store", "clips", "digits", "packs", "quarantine"}
"""What repairing and extracting leave as it is: nobody but its owner knows where it belongs."""


class HostileBench(Bench):
    """Plants things in the cache."""

    def __init__(self, work: Path) -> None:
        super().__init__(work)
        self.kept = work / "kept"
        shutil.copytree(self.directory, self.kept)
        self.victim = work / "victim"
        self.victim.mkdir()
        for name in ("thesis.txt", ".tmp-1-old"):
            (self.victim / name).write_text("precious")
            os.utime(self.victim / name, (0, 0))
        os.environ["LUSFX_SITE_KEY"] = str(work / "site.key")

    def trial(self, number: int) -> dict[str, Any]:
        """Plant one thing, run everything, and put the cache right again."""
        place, plant = PLACES[number % len(PLACES)], PLANTS[number // len(PLACES)]
        path = self._path_of(place)
        outside = _state_of(self.victim)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.parent.mkdir(exist_ok=True)
        plant(path, self.victim)
        os.utime(path, (0, 0), follow_symlinks=False)
        problems = [problem for command in self._commands() for problem in self._run(command)]
        problems += self._read()
        is_directory_in_place = plant is directory and place in (
            "clips",
            "digits",
            "packs",
            "runs",
            "quarantine",
            "store",
        )
        if place not in NEEDS_A_PERSON and not (place == "spec" and plant is directory) and not is_directory_in_place:
            problems += [f"not mended: {problem}" for problem in self._run(["verify"], allowed=(0,))]
        if _state_of(self.victim) != outside:
            problems.append("something outside of the cache was changed")
        if plant is directory and place != "quarantine" and not list(self.directory.rglob("thesis.txt")):
            problems.append("what lay in a directory is gone")
        shutil.rmtree(self.directory)
        shutil.copytree(self.kept, self.directory)
        return {"place": place, "plant": plant.__name__, "problems": problems}

    def _path_of(self, place: str) -> Path:
        store = self.targets["spec"][0].parent
        if place in self.targets:
            return self.targets[place][0]
        clip = self.targets["loose clip"][0]
        return {
            "stat index's journal": self.directory / "stat-index.sqlite-journal",
            "runs": self.directory / "runs",
            "store": store,
            "clips": store / "clips",
            "digits": clip.parent,
            "packs": store / "packs",
            "quarantine": self.directory / "quarantine",
            "temporary file": clip.parent / ".tmp-1-old",
        }[place]

    def _commands(self) -> list[list[str]]:
        extract = ["extract", *map(str, self.exams), "--encoder", self.encoder, "--workers", "0"]
        return [["info"], ["verify"], ["explain", str(self.files[0]), "--encoder", self.encoder], ["gc", "--dry-run"],
                ["gc"], ["pack"], extract, ["repair"], extract, ["pack"], ["gc"], ["repair"]]  # fmt: skip

    def _run(self, command: list[str], allowed: tuple[int, ...] = (0, 1, 3)) -> list[str]:
        arguments = command if command[0] == "extract" else ["cache", *command]
        result = CliRunner().invoke(group, [*arguments, "--cache", str(self.directory)])
        raised = result.exception
        if raised is not None and not isinstance(raised, SystemExit | LusfxError):
            return [f"{command[0]}: {type(raised).__name__}: {raised}"]
        code = raised.exit_code if isinstance(raised, LusfxError) else result.exit_code
        return [] if code in allowed else [f"{command[0]}: exit code {code}: {result.output[-300:]}"]

    def _read(self) -> list[str]:
        """What scoring and training do."""
        try:
            cache = Cache.open(self.directory)
            cache.memberships()
            for store in cache.stores():
                self._read_store(store)
        except LusfxError:
            pass
        except Exception as error:
            return [f"reading: {type(error).__name__}: {error}"]
        return []

    def _read_store(self, store: Store) -> None:
        for key, clip in store.read_all(sorted(store.keys()), failed=lambda key, error: None):
            assert clip.n_frames == self.clips[key].n_frames


def _state_of(folder: Path) -> list[tuple[str, bytes, int]]:
    return sorted((path.name, path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir())


def main(work: Path, first: int, end: int) -> None:
    place = work / f"from-{first}"
    place.mkdir()
    bench = HostileBench(place)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    for number in range(first, end):
        print(f"begin {number}", flush=True)
        print(json.dumps(bench.trial(number)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
