"""What an earlier version wrote is read, gives the answers that it gave then, and may be written to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, pack, verify
from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.task_model import load_task_model
from tests.golden.make import (
    ALL,
    CALIBRATIONS,
    FIRST,
    SAME_EMBEDDINGS,
    SAME_SCORES,
    Golden,
    clip_answers,
    head_specs,
    images,
    units_of,
)

pytestmark = pytest.mark.slow


def differences(golden: Golden, copy: Path) -> int:
    """Clips, task models and encoders whose answers are not the old ones; the cache before and after it is packed anew."""
    shutil.copytree(golden.cache, copy)
    wrong = 0
    for packed in (False, True):
        cache = Cache.open(copy)
        if packed:
            pack(cache)
        (store,) = cache.stores()
        found = {key: clip_answers(clip) for key, clip in store.read_all(sorted(store.keys()))}
        expected = golden.answers["clips"]
        wrong += sum(found.get(key) != expected.get(key) for key in found.keys() | expected.keys())
        wrong += not verify(cache).sound
        for head in CALIBRATIONS:
            model = load_task_model(golden.task_model(head), head_specs())
            scores = model.score(units_of(store, head), golden.answers["fingerprint"])[:, 0]
            wrong += not np.allclose(scores, golden.answers["probabilities"][head], rtol=0, atol=SAME_SCORES)
    encoder = open_directory(golden.encoder, EncoderRequest(str(golden.encoder), device="cpu", threads=1))
    return wrong + (
        not np.allclose(encoder.encode(images()), golden.answers["embeddings"], rtol=0, atol=SAME_EMBEDDINGS)
    )


def test_what_an_earlier_version_wrote_is_read(tmp_path: Path, measured: Callable[..., None]) -> None:
    wrong = sum(differences(golden, tmp_path / golden.directory.name) for golden in ALL)
    assert wrong == 0
    measured(
        "old files stay readable",
        {
            "clips": sum(len(golden.answers["clips"]) for golden in ALL),
            "task models": len(ALL) * len(CALIBRATIONS),
            "differences": wrong,
        },
    )


def test_a_difference_is_noticed(tmp_path: Path) -> None:
    changed = Golden(Path(shutil.copytree(FIRST.directory, tmp_path / "changed")))
    answers = (changed.directory / "answers.json").read_text()
    first = min(FIRST.answers["clips"])
    (changed.directory / "answers.json").write_text(answers.replace(first, "0" * len(first), 1))
    assert differences(changed, tmp_path / "copy") > 0
