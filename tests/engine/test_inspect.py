"""A picture of one frame, drawn where a clip is decoded."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

import lusfx.engine.inspect as module
from lusfx.engine.extraction.decoding.jobs import Job
from lusfx.engine.extraction.decoding.process import WorkerProcess
from lusfx.engine.inspect import Inspection, inspect
from lusfx.errors import SkippedClipError, UnreadableClipError, UsageError
from lusfx.site_key import SiteKey
from lusfx.synth import write_archive
from tests.engine.extraction.decoding.conftest import children, install_script_registry

posix = pytest.mark.skipif(os.name != "posix", reason="decoding processes are POSIX")
WORKERS = [0, pytest.param(1, marks=[posix, pytest.mark.slow])]


@pytest.fixture
def scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of scripts, whose reader is installed."""
    registry = install_script_registry(tmp_path / "site", monkeypatch)
    monkeypatch.setattr(module, "load_registry", lambda: registry)
    return tmp_path


def drawn(clip: Path, out: Path, site_key: SiteKey, frame: int = 0) -> Inspection:
    result = inspect(clip, out, frame=frame, site_key=site_key)
    assert children() == []
    return result


@posix
@pytest.mark.slow
def test_a_process_draws_what_this_process_draws(
    tmp_path: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_archive(tmp_path / "exams", n_patients=2, clips_per_patient=1, n_frames=4, seed=7)
    for number, clip in enumerate(sorted((tmp_path / "exams").rglob("*.dcm"))):
        found = []
        for workers in ("0", "1"):
            monkeypatch.setenv("LUSFX_WORKERS", workers)
            out = tmp_path / f"{number}-{workers}.png"
            found.append((drawn(clip, out, site_key, frame=2), out.read_bytes()))
        assert found[0] == found[1]
        assert found[0][0].beam_shape != "unknown"


@pytest.mark.parametrize("workers", WORKERS)
def test_a_frame_is_drawn(scripts: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch, workers: int) -> None:
    monkeypatch.setenv("LUSFX_WORKERS", str(workers))
    clip = scripts / "a.script"
    clip.write_text("10 x 200")
    result = drawn(clip, scripts / "out.png", site_key, frame=2)
    assert (result.info.reader, result.info.n_frames_declared, result.info.patient_key) == ("script", 3, "p-1")
    with Image.open(scripts / "out.png") as picture:
        assert picture.size == (1440, 386)
        assert picture.getpixel((180, 206)) == (200, 200, 200)


@pytest.mark.parametrize("workers", WORKERS)
@pytest.mark.parametrize(
    ("script", "frame", "kind", "code"),
    [
        ("1 x", 1, UnreadableClipError, "no-frames"),
        ("1 2", 2, UnreadableClipError, "no-frames"),
        ("1 skip", 1, SkippedClipError, "not-wanted"),
        ("1 raise", 1, UnreadableClipError, "reader-error"),
    ],
)
def test_a_clip_without_that_frame_is_an_error(
    scripts: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch, workers: int, script: str, frame: int,
    kind: type[UnreadableClipError], code: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("LUSFX_WORKERS", str(workers))
    clip = scripts / "a.script"
    clip.write_text(script)
    with pytest.raises(kind) as raised:
        drawn(clip, scripts / "out.png", site_key, frame)
    assert raised.value.code == code
    assert "SECRET" not in str(raised.value)
    assert not (scripts / "out.png").exists()


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("deed", "code"), [("segfault", "decoder-died"), ("spin", "timed-out"), ("gorge", "out-of-memory")]
)
def test_a_file_that_ends_its_decoder_is_an_error(
    scripts: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch, deed: str, code: str
) -> None:
    for name, value in {"WORKERS": 3, "DECODER_TIMEOUT_S": 4, "DECODER_MEMORY_MB": 300}.items():
        monkeypatch.setenv(f"LUSFX_{name}", str(value))
    clip = scripts / "a.script"
    clip.write_text(f"1 {deed}")
    with pytest.raises(UnreadableClipError) as raised:
        drawn(clip, scripts / "out.png", site_key)
    assert raised.value.code == code
    assert children() == []


@posix
@pytest.mark.slow
def test_a_decoder_that_sends_no_picture_is_not_believed(
    scripts: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that a file has made its own may decode where it was asked to draw."""
    monkeypatch.setenv("LUSFX_WORKERS", "1")
    ask = WorkerProcess.decode

    def ask_otherwise(self: WorkerProcess, job: Job) -> None:
        ask(self, replace(job, drawn_frame=None))
        self.job = job

    monkeypatch.setattr(WorkerProcess, "decode", ask_otherwise)
    clip = scripts / "a.script"
    clip.write_text("1 2")
    with pytest.raises(UnreadableClipError) as raised:
        drawn(clip, scripts / "out.png", site_key)
    assert raised.value.code == "decoder-died"


def test_a_picture_that_cannot_be_written_is_a_usage_error(scripts: Path, site_key: SiteKey) -> None:
    clip = scripts / "a.script"
    clip.write_text("1")
    with pytest.raises(UsageError, match="cannot be written"):
        drawn(clip, clip / "out.png", site_key)
    drawn(clip, scripts / "absent" / "out.png", site_key)
    assert (scripts / "absent" / "out.png").exists()
