"""Trials of a disk that fails, and of a program that is killed, at each call that changes the file system.

``python -m tests.faults.failing_disk WORK STEP FIRST END``; of all trials each STEP-th is made. A trial is one operation, one
way to fail and one call, counted from the operation's beginning. It is made in a process of its own, which may die; then this
one looks at what is left.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np

from lusfx import durable, patience
from lusfx.cache import Cache, LedgerEntry, Membership, read_ledger, verify
from lusfx.errors import ClipNotCachedError, LusfxError
from lusfx.tables import read_table, write_table
from lusfx.task_model import TaskModelFacts, load_task_model, save_task_model
from lusfx.types import ClipEmbeddings
from tests.golden.make import DIM, FIRST, head_specs

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
CHANGES = frozenset(
    {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod"}
)
WAYS = ("killed", "fails once", "full from then on", "broken from then on")
NEVER = -1
KEY = "cd" * 32
FAILED = 77
"""Exit status of an operation that failed with an error that it is allowed to fail with."""


class FailingDisk:
    """Counts the calls that change the file system, and at one of them does what it is told.

    :param at: number of the call, from 0.
    :param way: one of :data:`WAYS`.
    """

    def __init__(self, at: int, way: str) -> None:
        self.at, self.way, self.n_calls = at, way, 0
        self.really_write, self.really_sync = os.write, os.fsync
        os.write, os.fsync = self._write, self._sync
        sys.addaudithook(self._hear)

    def _hear(self, event: str, arguments: tuple[Any, ...]) -> None:
        opens = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITING
        if opens and str(arguments[0]).startswith("/dev/"):
            return
        if opens or event in CHANGES:
            self._call(may_tidy=event in ("os.remove", "os.rmdir"))

    def _write(self, descriptor: int, content: Any) -> int:
        if self.n_calls == self.at:  # a part arrives
            self.really_write(descriptor, bytes(content)[: len(content) // 2])
        self._call()
        return self.really_write(descriptor, content)

    def _sync(self, descriptor: int) -> None:
        self._call()
        self.really_sync(descriptor)

    def _call(self, *, may_tidy: bool = False) -> None:
        """:param may_tidy: whether a full disk still allows it."""
        number, self.n_calls = self.n_calls, self.n_calls + 1
        if number == self.at and self.way == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        if number == self.at and self.way == "fails once":
            raise OSError(errno.EIO, "input/output error")
        if number >= self.at and self.way == "full from then on" and not may_tidy:
            raise OSError(errno.ENOSPC, "no space left on device")
        if number >= self.at and self.way == "broken from then on":
            raise OSError(errno.EROFS, "read-only file system")


@dataclass(frozen=True)
class Operation:
    """Something that lusfx writes.

    :param prepare: makes what is there before.
    :param do: the operation.
    :param state: what is there, as text; it raises where something is neither old nor new.
    :param allowed: errors that it may fail with.
    """

    name: str
    prepare: Callable[[Path], None]
    do: Callable[[Path], None]
    state: Callable[[Path], str]
    allowed: tuple[type[BaseException], ...] = (LusfxError,)


# ---- what is written ------------------------------------------------------------------------------------------------


def _nothing(place: Path) -> None:
    """Nothing has to be there."""


def _file_state(place: Path) -> str:
    return (place / "file").read_bytes().decode()[:3]


def _clip() -> ClipEmbeddings:
    return ClipEmbeddings(np.ones((3, DIM), np.float32), np.zeros(3), np.arange(3), np.zeros(3, np.uint8), {})


def _begin_cache(place: Path) -> None:
    Cache.open(place / "cache", create=True)


def _write_clip(place: Path) -> None:
    cache = Cache.open(place / "cache")
    spec = FIRST.store().spec
    store = cache.store(spec)
    store.write(KEY, _clip())
    with cache.start_run(store.fingerprint, "golden") as ledger:
        ledger.record(LedgerEntry("s-0", "encoded", KEY, Membership("p-0", "e-0", "L1"), n_frames=3))
        ledger.finish(not_reached=0)


def _cache_state(place: Path) -> str:
    """What is recorded as encoded is there, and all that is there is sound."""
    cache = Cache.open(place / "cache")
    findings = [finding.code for finding in verify(cache).findings]
    torn = [code for code in findings if code not in ("unfinished-run", "damaged-ledger")]
    if torn or findings.count("damaged-ledger") > 1:
        raise AssertionError(f"the cache is damaged: {findings}")
    recorded = [entry.clip for path in cache.ledgers() for entry in read_ledger(path).entries]
    stores = cache.stores()
    held = bool(stores) and KEY in stores[0]
    if recorded and not held:
        raise AssertionError("a clip is recorded and not there")
    try:
        if stores:
            stores[0].read(KEY)
    except ClipNotCachedError:
        pass
    return f"held: {held}, recorded: {bool(recorded)}"


def _facts(old: bool) -> TaskModelFacts:
    model = load_task_model(FIRST.task_model("logistic" if old else "mlp"), head_specs())
    return TaskModelFacts.model_validate({name: getattr(model.card, name) for name in TaskModelFacts.model_fields})


def _save_model(place: Path, *, old: bool) -> None:
    source = FIRST.task_model("logistic" if old else "mlp")
    files = {file.name: file.read_bytes() for file in source.glob("1-*")}
    evidence = json.loads((source / "evidence.json").read_text())
    encoder = source / "encoder" if old else None
    save_task_model(place / "model", _facts(old), files, evidence, "<title>model</title>", encoder)


def _model_state(place: Path) -> str:
    return load_task_model(place / "model", head_specs()).card.outcomes[0].head.name


def _table_state(place: Path) -> str:
    return str(len(read_table(place / "table.csv")))


def _write_rows(place: Path, n_rows: int) -> None:
    write_table(place / "table.csv", {"a": "integer"}, [{"a": number} for number in range(n_rows)])


def _directory_state(place: Path) -> str:
    return "there" if (place / "a" / "b" / "c").is_dir() else "missing"


OPERATIONS = (
    Operation(
        "a file over an older one",
        lambda place: durable.write_whole(place / "file", b"old " * 5000),
        lambda place: durable.write_whole(place / "file", b"new " * 3000, b"new " * 3000),
        _file_state,
        (OSError,),
    ),
    Operation(
        "directories",
        _nothing,
        lambda place: durable.make_directory(place / "a" / "b" / "c"),
        _directory_state,
        (OSError,),
    ),
    Operation("a clip and its ledger", _begin_cache, _write_clip, _cache_state),
    Operation(
        "a task model over an older one",
        lambda place: _save_model(place, old=True),
        lambda place: _save_model(place, old=False),
        _model_state,
    ),
    Operation(
        "a table over an older one",
        lambda place: _write_rows(place, 3),
        lambda place: _write_rows(place, 5000),
        _table_state,
    ),
)


# ---- the trials -----------------------------------------------------------------------------------------------------


def attempt(operation: Operation, place: Path, at: int, way: str) -> tuple[int, int]:
    """Do an operation in a process of its own: its status, and how many calls it made (0 where it was killed)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child:
        os.close(writing)
        with os.fdopen(reading) as stream:
            said = stream.read()
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), int(said or 0)
    os.close(reading)
    disk = FailingDisk(at, way)
    status = 1
    try:
        operation.do(place)
        status = 0
    except operation.allowed:
        status = FAILED
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
    disk.really_write(writing, str(disk.n_calls).encode())
    os._exit(status)


def left_behind(place: Path) -> list[str]:
    """Temporary files and directories. An old task model is kept where nobody knows whether the new one is durable."""
    names = (path.name for path in place.rglob("*"))
    return sorted(name for name in names if name.startswith(".") and not name.endswith(".old"))


def trial(operation: Operation, place: Path, at: int, way: str) -> dict[str, Any]:
    """Fail at one call, look at what is left, and do it again without failing."""
    operation.prepare(place)
    old = operation.state(place)
    status, n_calls = attempt(operation, place, at, way)
    problems = []
    if status not in (0, FAILED, -signal.SIGKILL):
        problems.append(f"ended with status {status}")
    try:
        found = operation.state(place)
    except Exception as error:
        problems.append(f"{type(error).__name__}: {error}")
        found = "neither"
    if way == "fails once" and status == FAILED and left_behind(place):
        problems.append(f"left behind: {left_behind(place)}")
    again, _ = attempt(operation, place, NEVER, "killed")
    try:
        new = operation.state(place)
    except Exception as error:
        problems.append(f"afterwards {type(error).__name__}: {error}")
        new = "neither"
    if again != 0:
        problems.append(f"doing it again ended with status {again}")
    reached = status != 0 or n_calls > at
    return {
        "operation": operation.name, "way": way, "call": at, "reached": reached, "status": status, "old": old, "found": found,
        "new": new, "problems": problems,
    }  # fmt: skip


def plan() -> Iterator[tuple[Operation, str, int]]:
    """Every operation, every way to fail, every call until the operation has no more of them."""
    for operation in OPERATIONS:
        n_calls = _n_calls(operation)
        for way in WAYS:
            for at in range(n_calls):
                yield operation, way, at


def _n_calls(operation: Operation) -> int:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        operation.prepare(Path(folder))
        status, n_calls = attempt(operation, Path(folder), NEVER, "killed")
    assert status == 0, operation.name
    return n_calls


def main(work: Path, step: int, first: int, end: int) -> None:
    patience.PAUSES_S = (0.0,) * len(patience.PAUSES_S)  # of hundreds of trials each would wait
    planned = list(plan())[::step]
    for number in count(first):
        if number >= end:
            return
        print(f"begin {number}", flush=True)
        if number >= len(planned):
            print(json.dumps({"past the end": len(planned)}), flush=True)
            continue
        operation, way, at = planned[number]
        place = work / str(number)
        place.mkdir(parents=True)
        facts = trial(operation, place, at, way)
        shutil.rmtree(place)
        print(json.dumps(facts), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
