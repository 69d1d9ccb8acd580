"""Files of earlier format versions are read, and give the answers that they gave when they were written."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, read_ledger, verify
from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.task_model import load_task_model, verify_task_model
from tests.golden.make import (
    ALL,
    CALIBRATIONS,
    SAME_EMBEDDINGS,
    SAME_SCORES,
    Golden,
    clip_answers,
    head_specs,
    images,
    units_of,
)


@pytest.fixture(params=ALL, ids=lambda golden: golden.directory.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    """Each set of golden files in turn. Not to be changed."""
    found: Golden = request.param
    return found


def test_the_clips_of_an_earlier_cache_are_read(golden: Golden) -> None:
    store = golden.store()
    assert store.fingerprint == golden.answers["fingerprint"]
    found = {key: clip_answers(clip) for key, clip in store.read_all(sorted(store.keys()))}
    assert found == golden.answers["clips"]


def test_the_ledger_of_an_earlier_cache_is_read(golden: Golden) -> None:
    cache = Cache.open(golden.cache)
    (ledger,) = (read_ledger(path) for path in cache.ledgers())
    assert (len(ledger.entries), ledger.n_damaged_lines, ledger.adds_up) == (len(golden.answers["clips"]), 0, True)
    assert len({member.patient for member in cache.memberships().values()}) == 4


def test_an_earlier_cache_is_found_sound(golden: Golden, tmp_path: Path) -> None:
    shutil.copytree(golden.cache, tmp_path / "cache")
    found = verify(Cache.open(tmp_path / "cache"))
    assert (found.sound, found.n_clips) == (True, len(golden.answers["clips"]))


@pytest.mark.parametrize("head", sorted(CALIBRATIONS))
def test_an_earlier_task_model_answers_as_it_did(golden: Golden, head: str) -> None:
    directory, specs = golden.task_model(head), head_specs()
    assert verify_task_model(directory, specs) == []
    model = load_task_model(directory, specs)
    probabilities = model.score(units_of(golden.store(), head), golden.answers["fingerprint"])[:, 0]
    np.testing.assert_allclose(probabilities, golden.answers["probabilities"][head], rtol=0, atol=SAME_SCORES)


def test_an_earlier_encoder_gives_the_embeddings_it_gave(golden: Golden) -> None:
    encoder = open_directory(golden.encoder, EncoderRequest(str(golden.encoder), device="cpu", threads=1))
    np.testing.assert_allclose(encoder.encode(images()), golden.answers["embeddings"], rtol=0, atol=SAME_EMBEDDINGS)


def test_the_own_encoder_of_an_earlier_task_model_gives_the_same(golden: Golden) -> None:
    own = load_task_model(golden.task_model("logistic"), head_specs()).own_encoder
    assert own is not None
    encoder = open_directory(own, EncoderRequest(str(own), device="cpu", threads=1))
    np.testing.assert_allclose(encoder.encode(images()), golden.answers["embeddings"], rtol=0, atol=SAME_EMBEDDINGS)
