"""Memory and time are bounded: files and readers that would take all of either cost themselves only."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lusfx.engine.extraction.decoding.limits import MAX_FRAMES
from tests.engine.extraction.decoding.conftest import install_script_reader
from tests.faults import memory
from tests.faults.archive import lusfx, plain_encoder, write_site_key
from tests.faults.children import ROOT
from tests.faults.sources import HEADER_LIES, deflate_bomb, lied, png_bomb, sound_files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not memory.AVAILABLE, reason="memory is measured as Linux counts it"),
]

MEMORY_MB = 300
DECODER_AT_REST_MIB = 150
RUN_MIB = 600
DEEDS = {
    "gorge": "out-of-memory",
    "segfault": "decoder-died",
    "spin": "timed-out",
    "hang": "timed-out",
    "exit:3": "decoder-died",
    "signal:9": "decoder-died",
    "raise": "reader-error",
    "forever": "timed-out",
    "beat": "timed-out",
}
CLIP_S = 25
"""In the full form, where two of the deeds above go on and are never silent: more than any of the other files takes."""


def test_memory_and_time_are_bounded(
    tmp_path: Path, trials: Callable[[int, int], int], measured: Callable[..., None]
) -> None:
    write_site_key(tmp_path)
    encoder, exams, site = plain_encoder(tmp_path), tmp_path / "exams", tmp_path / "site"
    for folder in (exams, site):
        folder.mkdir()
    install_script_reader(site)
    sound = sound_files()
    for one in sound:
        (exams / one.name).write_bytes(one.content)
    deeds = list(DEEDS.items())[: trials(2, len(DEEDS))]
    n_times, timeout_s = trials(1, 3), trials(60, 5)  # the short form runs beside others, and none of its files waits
    expected = Counter([code for _, code in deeds] * n_times)
    for number in range(n_times):
        for deed, _ in deeds:
            (exams / f"{number}-{deed.partition(':')[0]}.script").write_text(f"1 2 {deed} 3")
    n_frames = trials(500, MAX_FRAMES)
    (exams / "long.script").write_text("9 " * n_frames)
    if n_times > 1:
        (exams / "too-long.script").write_text("8 " * (MAX_FRAMES + 1))
        expected["too-long"] = 1
    bombs = _bombs(trials(8, 512), [one.content for one in sound if one.suffix == ".dcm"][: trials(1, 9)])
    for name, content in bombs.items():
        (exams / name).write_bytes(content)
    path = os.pathsep.join([str(ROOT), str(site)])
    cache = tmp_path / "cache"
    with memory.Meter(cache) as meter:
        run = lusfx(
            tmp_path, "extract", exams, "--cache", cache, "--encoder", encoder, "--device", "cpu", "--json", "--workers", 2,
            PYTHONPATH=path, LUSFX_DECODER_TIMEOUT_S=str(timeout_s), LUSFX_DECODER_MEMORY_MB=str(MEMORY_MB),
            LUSFX_DECODER_CLIP_S=str(trials(3600, CLIP_S)),
        )  # fmt: skip
    assert run.code == 3, run.err[-2000:]
    codes = Counter(run.codes().values())
    assert codes >= expected
    for one in sound:
        assert run.embeddings_of(exams / one.name) is not None, one.name
    found = run.embeddings_of(exams / "long.script")
    assert found is not None
    assert found.n_frames == n_frames
    assert meter.decoder_mib > 0
    assert meter.decoder_mib < DECODER_AT_REST_MIB + MEMORY_MB
    assert 0 < meter.run_mib < RUN_MIB
    measured(
        "memory and time are bounded",
        {
            "good": len(sound) + 1,
            "deeds": n_times * len(deeds),
            "bombs": len(bombs),
            "frames": n_frames,
            "codes": dict(sorted(codes.items())),
            "memory_mb": MEMORY_MB,
            "timeout_s": timeout_s,
            "clip_s": CLIP_S,
            "decoder_mib": round(meter.decoder_mib),
            "run_mib": round(meter.run_mib),
        },
    )


def _bombs(inflated_mib: int, dicoms: list[bytes]) -> dict[str, bytes]:
    """Images and deflated files that grow a thousandfold, and headers that promise what there is not."""
    side = int(np.sqrt(inflated_mib * memory.MIB))
    bombs = {"bomb.png": png_bomb(side, side), "bomb.dcm": deflate_bomb(inflated_mib)}
    for number, content in enumerate(dicoms):
        for lie, (keyword, value) in enumerate(HEADER_LIES):
            told = lied(content, keyword, value)
            if told is not None:
                bombs[f"lie-{number}-{lie}.dcm"] = told
    return bombs
