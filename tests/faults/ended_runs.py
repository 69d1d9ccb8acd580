"""Trials of runs that are ended: killed at a time or at a call that changes the file system, or asked to stop.

``python -m tests.faults.ended_runs WORK SCHEDULE FIRST END``, with a schedule such as ``extract*5,pack*4`` of
:data:`PLANS`. Each run is a process of its own, forked from this one, which has imported what it takes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import lusfx.encoders.onnx_runtime
import lusfx.engine.pipeline
import lusfx.readers.dicom_pixels
import lusfx.readers.video  # noqa: F401 - imported once, and not by each of the runs
from lusfx.cache import Cache, pack, read_ledger, verify
from lusfx.cli import main as command_line
from lusfx.durable import TEMPORARY_PREFIX
from lusfx.engine.extract import Progress, extract
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings
from tests.faults.archive import plain_encoder, same, write_site_key
from tests.faults.failing_disk import NEVER, FailingDisk
from tests.faults.sources import sound_files

SEED = 29
PLANS = ("extract", "workers", "pack", "signals")
LONGEST_END_S = 30
DECODER_EVERY = 8
"""So many signals, and one is sent to a run with a decoding process."""
PACK_BYTES = 1 << 10
"""So few that packing writes many packs."""
TOLERATED = ("unfinished-run", "damaged-ledger")
"""What a killed run may leave in its ledger: no totals, and the half of a last line."""


@dataclass
class Ended:
    """How a run ended.

    :param code: exit code, negative for a signal.
    :param told: what it wrote into its pipe.
    :param seconds: from the signal to the end of the process.
    :param orphans: its decoding processes that outlived it by more than two seconds.
    """

    code: int
    told: bytes
    seconds: float = 0.0
    orphans: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def counts(self) -> tuple[int, int]:
        """Sources encoded and found cached, of an extraction that came to its end; negative of another."""
        words = self.told.rpartition(b":")[0].replace(b".", b"").split()
        return (int(words[0]), int(words[1])) if len(words) == 2 else (-1, -1)


class Bench:
    """A small archive, and what a clean run makes of it."""

    def __init__(self, work: Path, *, with_workers: bool) -> None:
        self.work = work
        self.site_key: SiteKey = write_site_key(work)
        os.environ["LUSFX_SITE_KEY"] = str(work / "site.key")
        self.encoder = str(plain_encoder(work))
        self.exams = work / "exams"
        self.exams.mkdir()
        for one in sound_files():
            (self.exams / one.name).write_bytes(one.content)
        self.n_sources = len(list(self.exams.iterdir()))
        self.clean = work / "clean"
        ended, self.seconds = self._timed(lambda: self.extraction(self.clean, 0))
        self.n_calls = int(ended.told.rpartition(b":")[2])
        self.clips = self.read_all(self.clean)
        assert (ended.code, len(self.clips)) == (0, self.n_sources), ended
        self.worker_seconds = 0.0
        if with_workers:
            beside, self.worker_seconds = self._timed(lambda: self.extraction(work / "beside", 1))
            assert beside.code == 0, beside
        copy = work / "packed"
        shutil.copytree(self.clean, copy)
        packed, self.pack_seconds = self._timed(lambda: self.packing(copy))
        self.n_pack_calls = int(packed.told.rpartition(b":")[2])
        assert packed.code == 0, packed

    def _timed(self, do: Callable[[], Callable[[int], None]]) -> tuple[Ended, float]:
        started = time.monotonic()
        ended = run(do(), at=NEVER)
        return ended, time.monotonic() - started

    def extraction(self, cache: Path, workers: int) -> Callable[[int], None]:
        """A run that says one byte a settled source."""

        def do(pipe: int) -> None:
            def tell(progress: Progress) -> None:
                os.write(pipe, b".")

            result = extract([self.exams], cache, encoder=self.encoder, device="cpu", threads=1, workers=workers,
                             site_key=self.site_key, progress=tell)  # fmt: skip
            os.write(pipe, f"{result.counts['encoded']} {result.counts['cached']}".encode())

        return do

    def packing(self, cache: Path) -> Callable[[int], None]:
        def do(pipe: int) -> None:
            pack(Cache.open(cache), pack_bytes=PACK_BYTES)

        return do

    def command(self, cache: Path, workers: int) -> Callable[[int], None]:
        """The command itself, which listens to signals."""

        def do(pipe: int) -> None:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
            sys.argv = ["lusfx", "extract", str(self.exams), "--cache", str(cache), "--encoder", self.encoder, "--device",
                        "cpu", "--threads", "1", "--workers", str(workers), "--json"]  # fmt: skip
            command_line()

        return do

    def read_all(self, cache: Path) -> dict[str, ClipEmbeddings]:
        """All clips of a cache; it raises where one cannot be read."""
        clips: dict[str, ClipEmbeddings] = {}
        for store in Cache.open(cache).stores():
            clips |= dict(store.read_all(sorted(store.keys())))
        return clips

    # ---- the trials ---------------------------------------------------------------------------------------------------

    def killed_extraction(self, cache: Path, random: np.random.Generator, number: int, workers: int) -> dict[str, Any]:
        at_call = workers == 0 and number % 2 == 0
        at = int(random.integers(self.n_calls)) if at_call else NEVER
        longest = self.worker_seconds if workers else self.seconds
        ended = run(self.extraction(cache, workers), at, after_s=None if at_call else random.random() * longest)
        problems = ended.problems + ["an orphan"] * ended.orphans
        held = self.state(cache, ended.told.count(b"."), problems)
        again = run(self.extraction(cache, workers), NEVER)
        n_encoded, n_cached = again.counts
        if again.code != 0 or n_encoded + n_cached != self.n_sources:
            problems.append(f"the next run ended with {again.code}: {again.told!r}")
        if n_encoded != self.n_sources - held:
            problems.append(f"{n_encoded} encoded again though {held} of {self.n_sources} were there")
        self.compare(cache, problems)
        killed = ended.code == -signal.SIGKILL
        return {"way": "call" if at_call else "time", "killed": killed, "held": held, "problems": problems}

    def killed_packing(self, cache: Path, random: np.random.Generator, number: int) -> dict[str, Any]:
        shutil.copytree(self.clean, cache)
        at_call = number % 2 == 0
        at = int(random.integers(self.n_pack_calls)) if at_call else NEVER
        ended = run(self.packing(cache), at, after_s=None if at_call else random.random() * self.pack_seconds)
        problems = list(ended.problems)
        held = self.state(cache, 0, problems)
        if held != self.n_sources:
            problems.append(f"{self.n_sources - held} clips are lost")
        if (again := run(self.packing(cache), NEVER)).code != 0:
            problems.append(f"the next packing ended with {again.code}")
        self.compare(cache, problems)
        (store,) = Cache.open(cache).stores()
        if list(store.files()):
            problems.append("clips were left loose")
        return {"way": "call" if at_call else "time", "killed": ended.code == -signal.SIGKILL, "held": held,
                "problems": problems}  # fmt: skip

    def asked_to_stop(self, cache: Path, random: np.random.Generator, number: int) -> dict[str, Any]:
        workers = int(number % DECODER_EVERY == DECODER_EVERY - 1)
        wanted = (signal.SIGINT, signal.SIGTERM)[number // 2 % 2]
        longest = self.worker_seconds if workers else self.seconds
        ended = run(self.command(cache, workers), NEVER, after_s=random.random() * longest, number=wanted)
        problems = ended.problems + ["an orphan"] * ended.orphans
        # Before the command listens to SIGTERM, the signal ends it at once, and there is nothing to tidy.
        if ended.code not in (0, 130) and ended.code != -wanted:
            problems.append(f"ended with {ended.code}")
        if cache.exists() and list(cache.rglob(f"{TEMPORARY_PREFIX}*")):
            problems.append("a temporary file is left")
        self.state(cache, 0, problems)
        again = run(self.extraction(cache, 0), NEVER)
        if again.code != 0:
            problems.append(f"the next run ended with {again.code}")
        self.compare(cache, problems)
        return {"signal": wanted.name, "code": ended.code, "workers": workers, "seconds": round(ended.seconds, 3),
                "problems": problems}  # fmt: skip

    def state(self, cache: Path, n_acknowledged: int, problems: list[str]) -> int:
        """Look at what an ended run left; the number of clips that are there."""
        if not (cache / "cache.json").exists():
            if n_acknowledged:
                problems.append("a clip was acknowledged, and there is no cache")
            return 0
        opened = Cache.open(cache)
        torn = [finding.code for finding in verify(opened).findings if finding.code not in TOLERATED]
        if torn:
            problems.append(f"damaged: {torn}")
        entries = [entry for path in opened.ledgers() for entry in read_ledger(path).entries]
        clips = self.read_all(cache)
        recorded = {entry.clip for entry in entries if entry.outcome == "encoded"}
        if not recorded <= clips.keys():
            problems.append("a clip is recorded and not there")
        if cache != self.clean and len(entries) < n_acknowledged:
            problems.append(f"{n_acknowledged} were acknowledged, and {len(entries)} are recorded")
        if not all(same(clip, self.clips.get(key)) for key, clip in clips.items()):
            problems.append("a clip is not what a clean run makes of it")
        return len(clips)

    def compare(self, cache: Path, problems: list[str]) -> None:
        """Note where a cache does not hold what a clean run makes."""
        clips = self.read_all(cache)
        if clips.keys() != self.clips.keys() or not all(same(clips[key], self.clips[key]) for key in clips):
            problems.append("afterwards the embeddings differ from a clean run's")

    def trial(self, plan: str, number: int) -> dict[str, Any]:
        random = np.random.default_rng((SEED, PLANS.index(plan), number))
        cache = self.work / f"cache-{number}"
        try:
            if plan == "pack":
                return self.killed_packing(cache, random, number)
            if plan == "signals":
                return self.asked_to_stop(cache, random, number)
            return self.killed_extraction(cache, random, number, int(plan == "workers"))
        except Exception as error:
            return {"problems": [f"{type(error).__name__}: {error}"]}
        finally:
            shutil.rmtree(cache, ignore_errors=True)


def run(
    do: Callable[[int], None], at: int, *, after_s: float | None = None, number: signal.Signals = signal.SIGKILL
) -> Ended:
    """Do something in a process of its own, and end it.

    :param at: the call that changes the file system at which it is killed, or :data:`NEVER`.
    :param after_s: seconds after which it is sent the signal; None to let it be.
    """
    child, reading = start(do, at)
    if after_s is not None:
        time.sleep(after_s)
        os.kill(child, number)  # not yet waited for, so nobody else has its number
    return finish(child, reading)


def start(do: Callable[[int], None], at: int = NEVER) -> tuple[int, int]:
    """Begin it; its process id, and where to read what it tells."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _child(do, at, writing)
    os.close(writing)
    return child, reading


def finish(child: int, reading: int) -> Ended:
    """Wait for its end.

    :returns: with a colon and the number of its calls at the end of what it told, where it came to its end.
    """
    asked, problems = time.monotonic(), list[str]()
    with os.fdopen(reading, "rb") as stream:
        code = _wait(child, problems)
        seconds = time.monotonic() - asked
        orphans = _orphans(child)
        os.set_blocking(stream.fileno(), False)
        told = stream.read() or b""
    return Ended(code, told, seconds, orphans, problems)


def _child(do: Callable[[int], None], at: int, pipe: int) -> None:
    disk = FailingDisk(at, "killed")
    code = 1
    try:
        do(pipe)
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except KeyboardInterrupt:
        code = 130
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    disk.really_write(pipe, b":%d" % disk.n_calls)
    os._exit(code)


def _wait(child: int, problems: list[str]) -> int:
    deadline = time.monotonic() + LONGEST_END_S
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > deadline:
            problems.append("it does not end")
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGKILL
        time.sleep(0.001)


def _orphans(parent: int) -> int:
    """Decoding processes of a parent that are there two seconds after it."""
    deadline = time.monotonic() + 2
    while (n := _n_decoders(parent)) and time.monotonic() < deadline:
        time.sleep(0.02)
    return n


def _n_decoders(parent: int) -> int:
    n = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = path.read_bytes().split(b"\0")
            n += b"lusfx.engine.decoding.worker" in words and str(parent).encode() in words
    return n


def scheduled(schedule: str) -> list[tuple[str, int]]:
    """Each trial's plan, and its number there."""
    plans = [part.partition("*")[::2] for part in schedule.split(",")]
    return [(plan, number) for plan, count in plans for number in range(int(count))]


def main(work: Path, schedule: str, first: int, end: int) -> None:
    place = work / f"from-{first}"
    place.mkdir()
    todo = scheduled(schedule)[first:end]
    bench = Bench(place, with_workers=any(plan == "workers" or number >= DECODER_EVERY - 1 for plan, number in todo))
    for at, (plan, number) in enumerate(todo, start=first):
        print(f"begin {at}", flush=True)
        print(json.dumps(bench.trial(plan, number) | {"plan": plan}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
