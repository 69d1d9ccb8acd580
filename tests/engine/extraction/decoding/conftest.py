"""A reader that does what its file says, installed as a plugin where decoding processes find it, and the means to run it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from lusfx.config import PreprocessSpec
from lusfx.contracts import API_VERSION, Reader
from lusfx.engine.extraction.decoding import decoders
from lusfx.engine.extraction.decoding.clip import Event
from lusfx.engine.extraction.decoding.decoders import Decoders, ProcessDecoders
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.sources import Source
from lusfx.hookspecs import PROJECT
from lusfx.plugins import Registry, build_registry

SIZE = 16
SPEC = PreprocessSpec(size=SIZE, beam="off")
PLUGIN = f'''
import ctypes, itertools, os, signal, sys, time
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from lusfx.contracts import Reader
from lusfx.engine.extraction.decoding import wire
from lusfx.errors import SkippedClipError
from lusfx.hookspecs import hookimpl
from lusfx.types import ClipInfo, Frame, FrameStatus, TimeSource

LUSFX_API_VERSION = {API_VERSION}
SIZE = {SIZE}


class ScriptClip:
    """Each word is a grey level, a frame, or something that a decoder should not do."""

    notes = frozenset()

    def __init__(self, words, path):
        self.words, self.path = words, path
        self.info = ClipInfo("script", SIZE, SIZE, len(words), TimeSource.CONTAINER, patient_key="p-1")

    def frames(self):
        for index, word in enumerate(self.words):
            if word == "x":
                yield Frame(index, index / 10, None, FrameStatus.UNREADABLE)
                continue
            if word == "forever":
                for number in itertools.count(index):
                    time.sleep(0.02)
                    yield Frame(number, number / 10, np.full((SIZE, SIZE), 7, np.uint8))
            if not word.isdecimal():
                self.misbehave(*word.split(":"))
                continue
            yield Frame(index, index / 10, np.full((SIZE, SIZE), int(word), np.uint8))

    def misbehave(self, deed, argument="0"):
        if deed == "segfault":
            ctypes.string_at(0)
        elif deed == "signal":
            os.kill(os.getpid(), int(argument))
        elif deed == "exit":
            os._exit(int(argument))
        elif deed == "spin":
            while True:
                pass
        elif deed == "hang":
            time.sleep(10_000)
        elif deed == "beat":
            signal.setitimer(signal.ITIMER_REAL, 0)  # nor does its own alarm end it
            while True:
                time.sleep(0.02)
                os.write(int(sys.argv[1]), wire.pack(wire.ALIVE, {{}}))
        elif deed == "sleep":
            time.sleep(float(argument))
        elif deed == "gorge":
            hoard = []
            while True:
                hoard.append(np.ones(1 << 24, np.uint8))
        elif deed == "raise":
            raise RuntimeError("SECRET")
        elif deed == "skip":
            raise SkippedClipError("not-wanted", "it is not wanted")
        elif deed == "print":
            print("SECRET")
            print("SECRET", file=sys.stderr, flush=True)
            os.write(1, b"SECRET")
        elif deed == "write":
            Path(str(self.path) + ".copy").write_text("SECRET" * 10)
        elif deed == "tell":
            Path(str(self.path) + ".pid").touch()
        elif deed == "once":
            flag = Path(str(self.path) + ".flag")
            if not flag.exists():
                flag.touch()
                os._exit(1)


class ScriptReader(Reader):
    name, suffixes = "script", (".script",)

    @contextmanager
    def open(self, path, site_key):
        yield ScriptClip(path.read_text().split(), path)


@hookimpl
def lusfx_register_readers():
    return [ScriptReader()]
'''


def install_script_reader(folder: Path) -> Path:
    """Lay the plugin as pip would, and return the module's file."""
    module = folder / "script_reader.py"
    module.write_text(PLUGIN)
    metadata = folder / "script_reader-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: script-reader\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[lusfx]\nscript_reader = script_reader\n")
    return module


def install_script_registry(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The registry of an environment in which the plugin is installed; decoding processes find it, too.

    :param folder: a new one.
    """
    folder.mkdir()
    install_script_reader(folder)
    monkeypatch.syspath_prepend(str(folder))
    registry = build_registry(entry_points(group=PROJECT))
    sys.modules.pop("script_reader")  # the next test has a file of its own
    monkeypatch.setattr(decoders, "load_registry", lambda: registry)
    return registry


@pytest.fixture
def script_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Reader:
    """The plugin's reader, on the path that decoding processes are given. This process's registry does not know it."""
    site = tmp_path / "site"
    site.mkdir()
    spec = importlib.util.spec_from_file_location("script_reader", install_script_reader(site))
    assert spec is not None
    assert spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(sys, "path", [str(site), *sys.path])
    reader: Reader = module.ScriptReader()
    return reader


@pytest.fixture
def make_sources(script_reader: Reader, tmp_path: Path) -> Callable[..., list[Source]]:
    """Sources of the given scripts."""

    def make(*scripts: str) -> list[Source]:
        sources = []
        for number, script in enumerate(scripts):
            path = tmp_path / f"{number}.script"
            path.write_text(script)
            sources.append(Source(path, f"file {number + 1}", script_reader))
        return sources

    return make


@pytest.fixture
def decode_all(make_sources: Callable[..., list[Source]], site_key: Any) -> Callable[..., dict[str, list[Event]]]:
    """Decodes scripts in processes; returns each one's events."""

    def run(*scripts: str, n_workers: int = 1, **limits: float) -> dict[str, list[Event]]:
        processes = ProcessDecoders(SPEC, site_key, n_workers, Limits(**limits))
        return events_of(processes, dict(zip(scripts, make_sources(*scripts), strict=True)))

    return run


def events_of(who: Decoders, sources: dict[str, Source]) -> dict[str, list[Event]]:
    """What decoders say of sources that all differ."""
    jobs = Jobs(len(sources) + 1, copy=lambda job: None)
    names: dict[Job, str] = {}
    for number, (name, source) in enumerate(sources.items()):
        job = Job(source, f"{number:064}", None)
        names[job] = name
        jobs.put(job, lambda: False)
    jobs.close()
    events: dict[str, list[Event]] = {name: [] for name in sources}
    for job, event in who.run(jobs, lambda: False, lambda: True):
        events[names[job]].append(event)
    return events


@pytest.fixture(autouse=True)
def no_child_is_left() -> Iterator[None]:
    """Whatever happens to decoding processes, none outlives the run."""
    yield
    assert children() == []


def children() -> list[int]:
    """Process ids of this process's decoding processes."""
    found = []
    for status in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = status.read_bytes().split(b"\0")
            parent = int(status.with_name("stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if b"lusfx.engine.extraction.decoding.worker" in words and parent == os.getpid():
            found.append(int(status.parent.name))
    return found
