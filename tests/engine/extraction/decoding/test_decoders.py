"""Decoding processes: what a file can do to them, and what that costs."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lusfx.config import PreprocessSpec
from lusfx.engine.extraction.decoding.clip import Ending, Event, Portion, Refusal
from lusfx.engine.extraction.decoding.decoders import ProcessDecoders, ThreadDecoder
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.sources import Source
from lusfx.errors import DecoderError
from lusfx.site_key import SiteKey
from tests.engine.extraction.decoding.conftest import SIZE, SPEC, children, events_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
DecodeAll = Callable[..., dict[str, list[Event]]]


def levels(events: list[Event]) -> list[int]:
    """First pixel of each readable frame."""
    return [int(image[0, 0]) for event in events if isinstance(event, Portion) for image in event.images]


def refusal(events: list[Event]) -> tuple[str, str]:
    (last,) = [event for event in events if not isinstance(event, Portion)]
    assert isinstance(last, Refusal), last
    return last.status, last.code


def test_processes_and_a_thread_decode_the_same(
    decode_all: DecodeAll, make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    scripts = ["1 2 x 3", " ".join(map(str, range(30))), "x x", "7 raise", "skip", "9"]
    apart = decode_all(*scripts, n_workers=2)
    here = events_of(ThreadDecoder(SPEC, site_key, Limits()), dict(zip(scripts, make_sources(*scripts), strict=True)))
    for script in scripts:
        assert len(apart[script]) == len(here[script])
        for one, other in zip(apart[script], here[script], strict=True):
            assert type(one) is type(other)
            if isinstance(one, Portion) and isinstance(other, Portion):
                for name in ("source_frame", "times_s", "status", "images"):
                    np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
            elif isinstance(one, Ending) and isinstance(other, Ending):
                for name in ("patient_key", "notes", "provenance", "beam_confidence"):
                    assert getattr(one, name) == getattr(other, name)
            else:
                assert refusal([one]) == refusal([other])


DEEDS = {
    "segfault": ("decoder-died", "the decoding process was ended by SIGSEGV on this file"),
    f"signal:{int(signal.SIGKILL)}": ("decoder-died", "the decoding process was ended by SIGKILL on this file"),
    "exit:7": ("decoder-died", "the decoding process ended with exit status 7 on this file"),
    "exit:0": ("decoder-died", "the decoding process ended with exit status 0 on this file"),
    "spin": ("timed-out", "no frame was decoded for 6 s"),
    f"signal:{int(signal.SIGSTOP)}": ("timed-out", "no frame was decoded for 6 s"),
    "gorge": ("out-of-memory", "decoding the clip takes more memory than a decoder may have"),
    "write": ("reader-error", "the reader failed with OSError"),
}


@pytest.mark.slow
def test_a_file_that_misbehaves_costs_itself_only(decode_all: DecodeAll) -> None:
    sound = [f"5 {number}" for number in range(len(DEEDS))]
    scripts = [script for pair in zip(sound, (f"3 {deed} 4" for deed in DEEDS), strict=True) for script in pair]
    events = decode_all(*scripts, n_workers=4, silence_s=6.0, memory_mb=256)
    for deed, (code, detail) in DEEDS.items():
        found = events[f"3 {deed} 4"]
        assert refusal(found) == ("failed", code), deed
        assert detail == found[-1].detail
    assert all(levels(events[script]) == [int(word) for word in script.split()] for script in sound)
    assert all(isinstance(events[script][-1], Ending) for script in sound)


def test_a_slow_file_is_not_a_stuck_one(decode_all: DecodeAll) -> None:
    script = " ".join(["1 sleep:0.4"] * 12)
    events = decode_all(script, silence_s=4.0)
    assert levels(events[script]) == [1] * 12


@pytest.mark.parametrize("deed", ["forever", "beat"])
def test_a_file_that_goes_on_for_ever_is_given_up(decode_all: DecodeAll, deed: str) -> None:
    """It is never silent. In the second case nothing but the run counts the time: the file has the process in its hands."""
    scripts = [f"1 {deed}", "2"]
    events = decode_all(*scripts, clip_s=4.0)
    assert refusal(events[scripts[0]]) == ("failed", "timed-out")
    assert events[scripts[0]][-1].detail == "decoding it takes more than 4 s in all"
    assert levels(events[scripts[1]]) == [2]


def test_waiting_for_a_slow_encoder_is_no_time_spent_on_a_clip(
    make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    jobs = Jobs(2, copy=lambda job: None)
    (source,) = make_sources(" ".join(map(str, range(20))))
    jobs.put(Job(source, "0" * 64, None), lambda: False)
    jobs.close()
    large = PreprocessSpec(size=512, beam="off")  # two images fill a portion, and a portion the socket
    limits, seen = Limits(clip_s=4.0), list[Event]()
    for _job, event in ProcessDecoders(large, site_key, 1, limits).run(jobs, lambda: False, lambda: True):
        time.sleep(0.45)
        seen.append(event)
    assert levels(seen) == list(range(20))
    assert isinstance(seen[-1], Ending)
    assert 0.45 * len(seen) > limits.clip_s


def test_what_a_reader_prints_goes_nowhere(decode_all: DecodeAll, capfd: pytest.CaptureFixture[str]) -> None:
    decode_all("1 print 2")
    out, err = capfd.readouterr()
    assert "SECRET" not in out + err


def test_decoders_wait_for_a_slow_encoder_and_are_not_taken_for_stuck(
    make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    jobs = Jobs(2, copy=lambda job: None)
    script = " ".join(str(n % 200) for n in range(4000))
    (source,) = make_sources(script)
    jobs.put(Job(source, "0" * 64, None), lambda: False)
    jobs.close()
    seen: list[Event] = []
    for _job, event in ProcessDecoders(SPEC, site_key, 1, Limits(silence_s=4.0)).run(jobs, lambda: False, lambda: True):
        if not seen:
            time.sleep(5.0)  # the socket is full, and the process waits
        seen.append(event)
    assert levels(seen) == [n % 200 for n in range(4000)]


def test_a_process_that_is_killed_before_it_begins_costs_nothing(
    make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    """As when the machine's own out-of-memory killer takes an idle one."""
    jobs = Jobs(4, copy=lambda job: None)
    sources = make_sources("1", "2")
    jobs.put(Job(sources[0], "0" * 64, None), lambda: False)
    seen: list[tuple[str, Event]] = []
    for job, event in ProcessDecoders(SPEC, site_key, 1, Limits()).run(jobs, lambda: False, lambda: True):
        seen.append((job.source.where, event))
        if isinstance(event, Ending) and len(seen) == 2:
            for pid in children():
                os.kill(pid, signal.SIGKILL)
            jobs.put(Job(sources[1], "1" * 64, None), lambda: False)
            jobs.close()
    assert [type(event) for _, event in seen] == [Portion, Ending, Portion, Ending]


def test_a_process_may_wait_for_its_next_job_as_long_as_it_takes(
    make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    jobs = Jobs(4, copy=lambda job: None)
    sources = make_sources("1", "2")
    jobs.put(Job(sources[0], "0" * 64, None), lambda: False)
    pids = []
    limits = Limits(silence_s=2.0)  # its own alarm rings after twice as long
    for _job, event in ProcessDecoders(SPEC, site_key, 1, limits).run(jobs, lambda: False, lambda: True):
        if isinstance(event, Ending):
            pids.append(children())
            if len(pids) == 1:
                time.sleep(5.0)
                jobs.put(Job(sources[1], "1" * 64, None), lambda: False)
                jobs.close()
    assert len(pids[0]) == 1
    assert pids == [pids[0]] * 2


def test_where_processes_cannot_start_the_run_says_what_to_do(
    decode_all: DecodeAll, monkeypatch: pytest.MonkeyPatch
) -> None:
    for no_python in ("/bin/false", "/nonexistent"):
        monkeypatch.setattr(sys, "executable", no_python)
        with pytest.raises(DecoderError, match="--workers 0"):
            decode_all("1", n_workers=2)


def test_a_run_that_stops_ends_its_processes_at_once(
    make_sources: Callable[..., list[Source]], site_key: SiteKey
) -> None:
    stop = threading.Event()
    patient = Limits(silence_s=3600.0)  # so that nothing else ends them
    jobs = Jobs(4, copy=lambda job: None)
    for number, source in enumerate(make_sources("tell spin", "tell hang")):
        jobs.put(Job(source, f"{number:064}", None), lambda: False)
    folder = source.path.parent
    thread = threading.Thread(
        target=lambda: list(ProcessDecoders(SPEC, site_key, 2, patient).run(jobs, stop.is_set, lambda: True)),
        daemon=True,
    )
    thread.start()
    wait_until(lambda: len(list(folder.glob("*.pid"))) == 2)
    assert len(children()) == 2
    stop.set()
    thread.join(timeout=120)
    assert not thread.is_alive()


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="reads the limits that Linux shows")
def test_a_process_has_limits_and_no_file_of_the_run(
    make_sources: Callable[..., list[Source]], site_key: SiteKey, tmp_path: Path
) -> None:
    jobs = Jobs(2, copy=lambda job: None)
    (source,) = make_sources("1 sleep:0.2 2")
    jobs.put(Job(source, "0" * 64, None), lambda: False)
    with (tmp_path / "open").open("w"):
        run = ProcessDecoders(SPEC, site_key, 1, Limits(memory_mb=300)).run(jobs, lambda: False, lambda: True)
        next(run)
        (pid,) = children()
        limits = Path(f"/proc/{pid}/limits").read_text()
        opened = [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
        maps = Path(f"/proc/{pid}/maps").read_text()
    run.close()
    rows = {line[:25].strip(): line[25:].split()[0] for line in limits.splitlines()[1:]}
    assert (rows["Max core file size"], rows["Max file size"]) == ("0", "0")
    assert rows["Max address space"] != "unlimited"
    assert int(rows["Max open files"]) <= 128
    assert sorted(name.partition(":")[0] for name in opened if "script" not in name) == [
        "/dev/null", "/dev/null", "/dev/null", "socket",
    ]  # fmt: skip
    assert not any(library in maps for library in ("libtorch", "onnxruntime", "libhdf5"))


def test_images_come_in_portions_that_are_not_large(decode_all: DecodeAll) -> None:
    script = " ".join(map(str, range(50)))
    portions = [event for event in decode_all(script)[script] if isinstance(event, Portion)]
    assert [len(portion.status) for portion in portions] == [8] * 6 + [2]
    assert portions[0].images.shape == (8, SIZE, SIZE)


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
