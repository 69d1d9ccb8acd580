"""The clock does not matter: ten years off, or with all file times reset, the results are the same to the bit."""

from __future__ import annotations

import datetime as standard
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import lusfx
from lusfx.cache import Cache, ledger, read_ledger
from lusfx.contracts import Task
from lusfx.engine.training import result as training_result
from lusfx.engine.training.train import train_task
from lusfx.site_key import SiteKey
from lusfx.testing.small_cache import make_small_cache
from tests.faults.archive import plain_encoder
from tests.faults.sources import sound_files
from tests.golden.make import SECRET

pytestmark = pytest.mark.slow

ROW = "the clock does not matter"
YEAR_S = 365.25 * 24 * 3600
SHIFTS_S = (-10 * YEAR_S, 10 * YEAR_S)


class Lines(Task):
    """Lines, one answer a clip."""

    name = "lines"
    label_columns = ("lines",)


@pytest.fixture
def move_clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Moves the clock that the program sees; files keep the times that the file system gives them."""
    real_ns, real_s = time.time_ns, time.time

    def move(shift_s: float) -> None:
        class Shifted(standard.datetime):
            @classmethod
            def now(cls, tz: standard.tzinfo | None = None) -> Any:
                return standard.datetime.fromtimestamp(real_s() + shift_s, tz)

        monkeypatch.setattr(time, "time_ns", lambda: real_ns() + int(shift_s * 1e9))
        monkeypatch.setattr(time, "time", lambda: real_s() + shift_s)
        for module in (ledger, training_result):
            monkeypatch.setattr(module, "datetime", Shifted)

    return move


@pytest.fixture
def exams(tmp_path: Path) -> Path:
    folder = tmp_path / "exams"
    folder.mkdir()
    for one in sound_files()[::3]:
        (folder / one.name).write_bytes(one.content)
    return folder


def extract(exams: Path, cache: Path, encoder: Path) -> Any:
    return lusfx.extract([exams], cache, encoder=str(encoder), device="cpu", site_key=SiteKey(SECRET))


def arrays(cache: Path) -> dict[str, bytes]:
    """All that is stored of each clip, by its key."""
    (store,) = Cache.open(cache).stores()
    return {
        key: b"".join(np.ascontiguousarray(part).tobytes() for part in (clip.embeddings, clip.times_s, clip.status))
        for key, clip in store.read_all(sorted(store.keys()))
    }


def test_extraction_is_the_same_at_any_time(
    exams: Path, tmp_path: Path, move_clock: Callable[[float], None], measured: Callable[..., None]
) -> None:
    encoder = plain_encoder(tmp_path)
    n_clips = extract(exams, tmp_path / "now", encoder).counts["encoded"]
    expected = arrays(tmp_path / "now")
    assert len(expected) == n_clips > 3
    for number, shift_s in enumerate(SHIFTS_S):
        move_clock(shift_s)
        cache = tmp_path / f"then-{number}"
        assert extract(exams, cache, encoder).counts == {"encoded": n_clips}
        assert extract(exams, cache, encoder).counts == {"cached": n_clips}
        assert arrays(cache) == expected
    measured(ROW, {"clips": n_clips, "clocks": len(SHIFTS_S) + 1, "differences": 0})


@pytest.mark.parametrize("shift_s", SHIFTS_S)
def test_the_last_run_is_believed_whatever_the_clock_says(
    exams: Path, tmp_path: Path, move_clock: Callable[[float], None], shift_s: float
) -> None:
    """A manifest that corrects a patient's name, run after the clock was moved, decides."""
    encoder, cache = plain_encoder(tmp_path), tmp_path / "cache"
    clip = sorted(path.name for path in exams.iterdir() if path.suffix != ".dcm")[0]
    manifest = exams / "manifest.csv"
    for number, patient in enumerate(("wrong", "right", "right at last")):
        move_clock(shift_s * number)
        manifest.write_text(f"path,patient_id\n{clip},{patient}\n")
        lusfx.extract([manifest], cache, encoder=str(encoder), device="cpu", site_key=SiteKey(SECRET))
        (member,) = Cache.open(cache).memberships().values()
        assert member.patient == SiteKey(SECRET).patient(patient)
    ledgers = [read_ledger(path) for path in Cache.open(cache).ledgers()]
    assert len({content.header["run"] for content in ledgers if content.header}) == 3
    assert all(content.adds_up and content.totals for content in ledgers)


@pytest.mark.parametrize("reset_to_s", [0.0, 4e9])
def test_reset_file_times_cost_a_look_and_change_nothing(exams: Path, tmp_path: Path, reset_to_s: float) -> None:
    """As after a restore from a backup: all files have one time, the one of the year 1970 or one in the future."""
    encoder, cache = plain_encoder(tmp_path), tmp_path / "cache"
    n_clips = extract(exams, cache, encoder).counts["encoded"]
    expected = arrays(cache)
    for path in exams.iterdir():
        os.utime(path, (reset_to_s, reset_to_s))
    assert extract(exams, cache, encoder).counts == {"cached": n_clips}
    assert arrays(cache) == expected


@pytest.mark.parametrize("shift_s", SHIFTS_S)
def test_a_file_that_was_replaced_is_noticed_whatever_the_clock_says(
    exams: Path, tmp_path: Path, move_clock: Callable[[float], None], shift_s: float
) -> None:
    """Another content of the same length, at the same place, with the same modification time."""
    encoder, cache = plain_encoder(tmp_path), tmp_path / "cache"
    move_clock(shift_s)
    extract(exams, cache, encoder)
    victim = exams / "0.dcm"
    times = victim.stat()
    content = bytearray(victim.read_bytes())
    content[-100] ^= 0xFF
    victim.write_bytes(bytes(content))
    os.utime(victim, ns=(times.st_atime_ns, times.st_mtime_ns))
    counts = extract(exams, cache, encoder).counts
    assert counts["encoded"] == 1


@pytest.mark.usefixtures("few_resamples")
def test_training_is_the_same_at_any_time(tmp_path: Path, move_clock: Callable[[float], None]) -> None:
    """Heads, thresholds and figures; only the date in the card is another."""
    made = make_small_cache(tmp_path / "small", Lines(), n_patients=8, clips_per_patient=2)
    heads = []
    for number, shift_s in enumerate((0.0, SHIFTS_S[1])):
        move_clock(shift_s)
        out = tmp_path / f"model-{number}"
        train_task([Lines()], made.labels, made.cache, out, n_folds=2, n_repeats=1, site_key=made.site_key)
        heads.append([(out / name).read_bytes() for name in ("1-head.safetensors", "evidence.json")])
    assert heads[0] == heads[1]


def test_a_moved_copy_of_a_cache_is_the_same_cache(exams: Path, tmp_path: Path) -> None:
    """With times that are those of the copying."""
    encoder, cache = plain_encoder(tmp_path), tmp_path / "cache"
    extract(exams, cache, encoder)
    shutil.copytree(cache, tmp_path / "moved", copy_function=shutil.copyfile)
    assert arrays(tmp_path / "moved") == arrays(cache)
    assert set(extract(exams, tmp_path / "moved", encoder).counts) == {"cached"}
