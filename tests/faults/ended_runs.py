"""Trials of runs that are ended: killed at a time or at a call that changes the file system, or asked to stop.

``python -m tests.faults.ended_runs WORK SCHEDULE FIRST END``, with a schedule such as ``extract*5,pack*4`` of
:data:`PLANS`.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

import lusfx.encoders.onnx_runtime
import lusfx.readers.dicom_pixels
import lusfx.readers.video  # noqa: F401 - imported once, and not by each of the runs
from lusfx.cache import Cache, clip_key, pack, read_ledger, verify
from lusfx.cli import main as command_line
from lusfx.durable import TEMPORARY_PREFIX
from lusfx.engine.extraction import pipeline
from lusfx.engine.extraction.decoding import clip, decoders
from lusfx.engine.extraction.decoding.jobs import Job
from lusfx.engine.extraction.decoding.process import WorkerProcess
from lusfx.engine.extraction.decoding.source_file import SourceFile
from lusfx.engine.extraction.extract import BATCH_SIZE, Progress, extract
from lusfx.plugins import load_registry
from lusfx.site_key import SiteKey
from lusfx.types import ClipEmbeddings
from tests.faults.archive import plain_encoder, same, write_site_key
from tests.faults.failing_disk import NEVER
from tests.faults.forks import Ended, finish, kill_decoder, run, start, tell
from tests.faults.sources import Sound, cine, dataset_of, sound_files

SEED = 29
PLANS = ("extract", "workers", "pack", "signals", "long", "decoders")
DECODER_EVERY = 8
"""So many signals, and one is sent to a run with a decoding process."""
PACK_BYTES = 1 << 10
"""So few that packing writes many packs."""
TOLERATED = ("unfinished-run", "damaged-ledger")
"""What a killed run may leave in its ledger: no totals, and the half of a last line."""
N_LONG, LONG_FRAMES = 24, 66
"""How many long clips there are, and how long they are: about as long as the pipeline may run ahead with short ones."""

MOST_TO_WRITE = pipeline.CLIPS_TO_WRITE + 2
"""Encoded clips that may not be in the cache yet: those that wait, the one that is written, the one that is handed over."""


def most_begun(n_frames: int, streams: int, n_decoders: int = 1) -> int:
    """Clips that a run may have begun and not stored, as its queues are made.

    :param n_frames: of the shortest clip.
    :param streams: of the encoder.
    """
    messages = pipeline.MESSAGES_AHEAD + 2  # one is being sent, and one handled
    # One waits for a stream, one is added before the oldest is waited for, one is being filled.
    batches = messages + streams + 3
    return n_decoders + -(-batches * BATCH_SIZE // n_frames) + n_decoders + MOST_TO_WRITE


def long_clips() -> Iterable[Sound]:
    """DICOM files of :data:`LONG_FRAMES` frames, which are decoded faster than they are encoded."""
    from pydicom import dcmwrite

    for number in range(N_LONG):
        frames = np.concatenate([cine(100 * number + part) for part in range(LONG_FRAMES // len(cine(0)))])
        written = io.BytesIO()
        dcmwrite(written, dataset_of(frames, number), enforce_file_format=True)
        yield Sound(f"{number}.dcm", written.getvalue())


def import_all() -> None:
    """Import what a run takes: a part of it waits until it is needed."""
    import onnxruntime  # noqa: F401

    load_registry()
    datetime.strptime("2000", "%Y")


class Bench:
    """A small archive, and what a clean run makes of it.

    :param sources: one of each format by default.
    """

    def __init__(self, work: Path, *, with_workers: bool, sources: Iterable[Sound] | None = None) -> None:
        import_all()
        self.work = work
        self.site_key: SiteKey = write_site_key(work)
        os.environ["LUSFX_SITE_KEY"] = str(work / "site.key")
        self.encoder = str(plain_encoder(work))
        self.exams = work / "exams"
        self.exams.mkdir()
        for one in sound_files() if sources is None else sources:
            (self.exams / one.name).write_bytes(one.content)
        self.names = {clip_key(path): path.name for path in self.exams.iterdir()}
        self.n_sources = len(self.names)
        self.clean = work / "clean"
        run(self.extraction(work / "first", 0), NEVER)  # the first time takes longer
        ended, self.seconds = self._timed(lambda: self.extraction(self.clean, 0))
        self.n_calls, self.streams = ended.n_calls, int(ended.done["streams"])
        self.clips = self.read_all(self.clean)
        self.shortest = min(clip.n_frames for clip in self.clips.values())
        assert (ended.code, len(self.clips)) == (0, self.n_sources), ended
        self.worker_seconds = 0.0
        if with_workers:
            beside, self.worker_seconds = self._timed(lambda: self.extraction(work / "beside", 1))
            assert beside.code == 0, beside
        copy = work / "packed"
        shutil.copytree(self.clean, copy)
        packed, self.pack_seconds = self._timed(lambda: self.packing(copy))
        self.n_pack_calls = packed.n_calls
        assert packed.code == 0, packed

    def _timed(self, do: Callable[[], Callable[[int], None]]) -> tuple[Ended, float]:
        started = time.monotonic()
        ended = run(do(), at=NEVER)
        return ended, time.monotonic() - started

    def extraction(
        self, cache: Path, workers: int, progress: Callable[[Progress], None] | None = None
    ) -> Callable[[int], None]:
        """A run that tells of each clip when its decoding begins, when it is encoded, and when it is settled.

        :param progress: what else is done after each settled clip.
        """

        def do(pipe: int) -> None:
            tell_of_clips(pipe)

            def settled(now: Progress) -> None:
                tell(pipe, "settled")
                if progress is not None:
                    progress(now)

            result = extract([self.exams], cache, encoder=self.encoder, device="cpu", threads=1, workers=workers,
                             site_key=self.site_key, progress=settled)  # fmt: skip
            codes = [trouble.code for trouble in result.troubles]
            tell(pipe, "done", json.dumps(dict(result.counts) | {"codes": codes, "streams": result.profile.streams}))

        return do

    def packing(self, cache: Path) -> Callable[[int], None]:
        def do(pipe: int) -> None:
            pack(Cache.open(cache), pack_bytes=PACK_BYTES)

        return do

    def command(self, cache: Path, workers: int) -> Callable[[int], None]:
        """The command itself, which listens to signals."""

        def do(pipe: int) -> None:
            tell_of_listening(pipe)
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
        share = random.random()
        if workers and number % 2:
            share = (1 + share) / 2  # for half of the time the decoding process starts, and nothing is begun
        longest = self.worker_seconds if workers else self.seconds
        ended = run(self.extraction(cache, workers), at, after_s=None if at_call else share * longest)
        problems = ended.problems + ["an orphan"] * ended.orphans
        held = self.state(cache, len(ended.words("settled")), problems)
        begun, encoded = ended.names("begun"), ended.names("encoded")
        if not held <= encoded <= begun:
            problems.append(f"{held} are there, {encoded} were encoded and {begun} begun")
        if len(encoded - held) > MOST_TO_WRITE * ended.killed:
            problems.append(f"{len(encoded - held)} clips were encoded and are not there")
        if len(begun - held) > most_begun(self.shortest, self.streams) * ended.killed:
            problems.append(f"{len(begun - held)} clips were begun and are not there")
        again = run(self.extraction(cache, workers), NEVER)
        counts = again.done.get("encoded", 0), again.done.get("cached", 0)
        if again.code != 0 or counts != (self.n_sources - len(held), len(held)):
            problems.append(
                f"the next run ended with {again.code}, and encoded and found {counts}; {len(held)} were there"
            )
        if again.names("begun") & held:
            problems.append("clips were decoded again though they were there")
        self.compare(cache, problems)
        return {"way": "call" if at_call else "time", "killed": ended.killed, "held": len(held), "clips": self.n_sources,
                "frames": self.shortest, "begun again": len(begun - held), "encoded again": len(encoded - held),
                "problems": problems}  # fmt: skip

    def killed_decoder(self, cache: Path, random: np.random.Generator, number: int) -> dict[str, Any]:
        """The run goes on: what its decoding process had in hand has failed, and the rest is done."""
        killed = False

        def attempt(after_s: float) -> Ended:
            nonlocal killed
            child, reading = start(self.extraction(cache, 1))
            killed = kill_decoder(child, after_s)
            return finish(child, reading)

        ended = self.hit(attempt, random.random() * self.worker_seconds, cache, number, lambda _: killed)
        problems = ended.problems + ["an orphan"] * ended.orphans
        held = self.state(cache, len(ended.words("settled")), problems)
        codes = ended.done.get("codes")
        if ended.code != 0 or codes not in ([], ["decoder-died"]) or len(held) + len(codes) != self.n_sources:
            problems.append(f"the run ended with {ended.code} and {codes}, and {len(held)} clips are there")
        noticed = len(ended.words("decoder")) - 1
        if noticed > int(killed) or len(codes or []) > noticed:
            problems.append(f"{noticed} more decoding processes were started")
        again = run(self.extraction(cache, 0), NEVER)
        if again.code != 0 or again.done["cached"] != len(held):
            problems.append(f"the next run ended with {again.code}: {again.done}")
        self.compare(cache, problems)
        return {"killed": noticed > 0, "failed": len(codes or []), "problems": problems}

    def killed_packing(self, cache: Path, random: np.random.Generator, number: int) -> dict[str, Any]:
        shutil.copytree(self.clean, cache)
        at_call = number % 2 == 0
        at = int(random.integers(self.n_pack_calls)) if at_call else NEVER
        ended = run(self.packing(cache), at, after_s=None if at_call else random.random() * self.pack_seconds)
        problems = list(ended.problems)
        held = self.state(cache, 0, problems)
        if len(held) != self.n_sources:
            problems.append(f"{self.n_sources - len(held)} clips are lost")
        if (again := run(self.packing(cache), NEVER)).code != 0:
            problems.append(f"the next packing ended with {again.code}")
        self.compare(cache, problems)
        (store,) = Cache.open(cache).stores()
        if list(store.files()):
            problems.append("clips were left loose")
        return {"way": "call" if at_call else "time", "killed": ended.killed, "held": len(held), "problems": problems}

    def asked_to_stop(self, cache: Path, random: np.random.Generator, number: int) -> dict[str, Any]:
        workers = int(number % DECODER_EVERY == DECODER_EVERY - 1)
        wanted = (signal.SIGINT, signal.SIGTERM)[number // 2 % 2]
        longest = self.worker_seconds if workers else self.seconds

        def attempt(after_s: float) -> Ended:
            return run(self.command(cache, workers), NEVER, after_s=after_s, number=wanted)

        ended = self.hit(attempt, random.random() * longest, cache, number, lambda ended: ended.code != 0)
        problems = ended.problems + ["an orphan"] * ended.orphans
        # Before and after the command listens, SIGTERM ends it at once, and there is nothing to tidy.
        deaf = ended.words(wanted.name)[-1:] != [["heard"]]
        if ended.code not in (0, 130) and not (deaf and ended.code == -signal.SIGTERM):
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

    def hit(
        self,
        attempt: Callable[[float], Ended],
        after_s: float,
        cache: Path,
        number: int,
        was_hit: Callable[[Ended], bool],
    ) -> Ended:
        """A run that something befell after so many seconds. The first trial of a plan is made again, and sooner, where the
        run was done before: how long it takes was measured when other work may have held the cores."""
        ended = attempt(after_s)
        while number == 0 and not was_hit(ended) and after_s > 0.01:
            shutil.rmtree(cache)
            after_s /= 2
            ended = attempt(after_s)
        return ended

    def state(self, cache: Path, n_acknowledged: int, problems: list[str]) -> set[str]:
        """Look at what an ended run left; the names of the clips that are there."""
        if not (cache / "cache.json").exists():
            if n_acknowledged:
                problems.append("a clip was acknowledged, and there is no cache")
            return set()
        opened = Cache.open(cache)
        torn = [finding.code for finding in verify(opened).findings if finding.code not in TOLERATED]
        if torn:
            problems.append(f"damaged: {torn}")
        entries = [entry for path in opened.ledgers() for entry in read_ledger(path).entries]
        clips = self.read_all(cache)
        recorded = {entry.clip for entry in entries if entry.status == "encoded"}
        if not recorded <= clips.keys():
            problems.append("a clip is recorded and not there")
        if cache != self.clean and len(entries) < n_acknowledged:
            problems.append(f"{n_acknowledged} were acknowledged, and {len(entries)} are recorded")
        if not all(same(clip, self.clips.get(key)) for key, clip in clips.items()):
            problems.append("a clip is not what a clean run makes of it")
        return {self.names[key] for key in clips}

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
            if plan == "decoders":
                return self.killed_decoder(cache, random, number)
            if plan == "long":
                return self.killed_extraction(cache, random, number // 2, number % 2)
            return self.killed_extraction(cache, random, number, int(plan == "workers"))
        except Exception as error:
            return {"problems": [f"{type(error).__name__}: {error}"]}
        finally:
            shutil.rmtree(cache, ignore_errors=True)


def tell_of_clips(pipe: int) -> None:
    """From now on this process tells of each clip that it begins to decode and that is encoded, and of decoding processes.

    It tells before it does so: what is told of and not done counts as if it was done.
    """
    begin, decode_there, hand_over = WorkerProcess.__init__, WorkerProcess.decode, pipeline.Pipeline._hand_over

    def decode(file: SourceFile, *rest: Any) -> Any:
        tell(pipe, "begun", file.path.name)
        return clip.decode(file, *rest)

    def start_decoder(worker: WorkerProcess, *arguments: Any) -> None:
        tell(pipe, "decoder")
        begin(worker, *arguments)

    def give(worker: WorkerProcess, job: Job) -> None:
        tell(pipe, "begun", job.source.path.name)
        decode_there(worker, job)

    def hand(run: pipeline.Pipeline, encoded: Any) -> None:
        tell(pipe, "encoded", encoded.job.source.path.name)
        hand_over(run, encoded)

    for owner, name, telling in (
        (decoders, "decode", decode),
        (WorkerProcess, "__init__", start_decoder),
        (WorkerProcess, "decode", give),
        (pipeline.Pipeline, "_hand_over", hand),
    ):
        setattr(owner, name, telling)


def tell_of_listening(pipe: int) -> None:
    """From now on this process tells of each signal whether it listens to it."""
    really_set = signal.signal

    def set_handler(number: int, handler: Any) -> Any:
        deaf = handler in (signal.SIG_DFL, signal.default_int_handler)
        if deaf:
            tell(pipe, signal.Signals(number).name, "deaf")
        before = really_set(number, handler)
        if not deaf:
            tell(pipe, signal.Signals(number).name, "heard")
        return before

    signal.signal = set_handler


def scheduled(schedule: str) -> list[tuple[str, int]]:
    """Each trial's plan, and its number there."""
    plans = [part.partition("*")[::2] for part in schedule.split(",")]
    return [(plan, number) for plan, count in plans for number in range(int(count))]


def is_long(plan: str, number: int) -> bool:
    """Whether a trial is made with long clips: half of those that kill a decoding process are."""
    return plan == "long" or (plan == "decoders" and number % 2 == 0)


def bench_of(place: Path, todo: list[tuple[str, int]], *, long: bool) -> Bench | None:
    """What the trials of one kind of clips need; None where there are none."""
    of_kind = [one for one in todo if is_long(*one) == long]
    if not of_kind:
        return None
    place.mkdir(parents=True)
    with_workers = any(
        plan in ("workers", "long", "decoders") or number >= DECODER_EVERY - 1 for plan, number in of_kind
    )
    return Bench(place, with_workers=with_workers, sources=long_clips() if long else None)


def main(work: Path, schedule: str, first: int, end: int) -> None:
    todo = scheduled(schedule)[first:end]
    benches = {
        long: bench_of(work / f"from-{first}-{'long' if long else 'short'}", todo, long=long) for long in (False, True)
    }
    for at, (plan, number) in enumerate(todo, start=first):
        print(f"begin {at}", flush=True)
        bench = benches[is_long(plan, number)]
        assert bench is not None
        print(json.dumps(bench.trial(plan, number) | {"plan": plan}), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], *map(int, sys.argv[3:]))
