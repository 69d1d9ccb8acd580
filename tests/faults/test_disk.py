"""What is on disk is old or new and never half: killed, failed or filled up at every call that changes the file system."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lusfx.cache import Cache, verify
from tests.faults.archive import extract, plain_encoder, write_site_key
from tests.faults.children import run_trials
from tests.faults.sources import sound_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the trials need processes that can be killed"),
]

ROW = "writing is whole or not at all"
MOST_TRIALS = 1000
SMALL_DISK_KIB, FILLER_KIB = 512, 440


def test_whatever_ends_a_write_leaves_the_old_or_the_new(
    trials: Callable[[int, int], int], measured: Callable[..., None], tmp_path: Path
) -> None:
    step = trials(17, 1)
    done = []
    for trial in run_trials("tests.faults.failing_disk", [tmp_path, step], MOST_TRIALS, longest_s=120):
        assert trial.ended == "well", trial
        if "past the end" in trial.facts:
            break
        done.append(trial.facts)
    broken = [facts for facts in done if facts["problems"]]
    assert not broken, broken[:5]
    assert all(facts["reached"] for facts in done)
    between = "held: True, recorded: False"  # a clip is recorded once it is durable
    assert all(facts["found"] in (facts["old"], facts["new"], between) for facts in done)
    ways = Counter(facts["way"] for facts in done)
    operations = {facts["operation"] for facts in done}
    assert (len(ways), len(operations)) == (4, 5)
    measured(
        ROW,
        {"trials": len(done), "operations": len(operations), "ways": dict(ways), "neither old nor new": len(broken)},
    )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of half a megabyte, which only root can make."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK_KIB}k", "tmpfs", str(place)], capture_output=True, check=False
    ) if shutil.which("mount") else None  # fmt: skip
    if made is None or made.returncode != 0:
        pytest.skip("a small disk can be mounted by root on Linux only")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_full_disk_ends_a_run_with_one_line_and_no_damage(
    small_disk: Path, tmp_path: Path, measured: Callable[..., None]
) -> None:
    write_site_key(tmp_path)
    encoder, exams = plain_encoder(tmp_path), tmp_path / "exams"
    exams.mkdir()
    sound = sound_files()
    for one in sound:
        (exams / one.name).write_bytes(one.content)
    cache = small_disk / "cache"
    cache.mkdir()
    (tmp_path / "cache").symlink_to(cache)
    (small_disk / "filler").write_bytes(b"x" * FILLER_KIB * 1024)
    full = extract(tmp_path, exams, encoder)
    assert full.code == 1, full.err
    assert "No space left on device" in full.err
    assert len(full.err.strip().splitlines()) == 1
    n_before = verify(Cache.open(cache)).n_clips
    assert verify(Cache.open(cache)).sound
    assert n_before < len(sound)
    (small_disk / "filler").unlink()
    again = extract(tmp_path, exams, encoder)
    assert again.code == 0, again.err
    assert again.facts["encoded"] + again.facts["cached"] == len(sound)
    found = verify(Cache.open(cache))
    assert (found.sound, found.n_clips) == (True, len(sound))
    measured("a full disk", {"clips": len(sound), "encoded before": n_before, "damaged": 0})


def test_disks_that_are_full_after_so_many_pages_lose_nothing(
    small_disk: Path, tmp_path: Path, trials: Callable[[int, int], int], measured: Callable[..., None]
) -> None:
    n_trials = trials(4, 50)
    done = list(run_trials("tests.faults.full_disks", [tmp_path, small_disk, trials(6, 1)], n_trials, longest_s=120))
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    assert len(done) == n_trials
    full = [trial.facts for trial in done if trial.facts["full"]]
    assert full
    packings = sum(facts["packing"] for facts in full)
    measured("full disks", {"trials": n_trials, "full": len(full), "packings": packings, "lost": len(broken)})


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can become another user")
def test_a_cache_that_cannot_be_written_is_read_and_left_alone(
    trials: Callable[[int, int], int], measured: Callable[..., None]
) -> None:
    n_trials = trials(4, 23)
    with tempfile.TemporaryDirectory() as work:  # pytest's own are closed to other users
        done = list(run_trials("tests.faults.hard_places", [work], n_trials, longest_s=120))
    broken = [trial for trial in done if trial.ended != "well" or trial.facts["problems"]]
    assert not broken, broken[:5]
    assert len(done) == n_trials
    measured("caches that cannot be written", {"gone": n_trials - 2, "wrong": len(broken)})
