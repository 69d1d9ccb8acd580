"""A head's file with a true digest is still taken for hostile: nothing in it is executed, and all of it is checked."""

from __future__ import annotations

import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.contracts import Head
from lusfx.errors import TaskModelError


class Bomb:
    """Unpickled, it leaves a mark."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("bomb-went-off",))


def test_a_pickle_under_the_heads_name_is_not_executed(
    saved: Path, models: Any, head_file_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        models.with_true_digest(saved, head_file_name, pickle.dumps(Bomb(), protocol))
        message = models.refusal(saved)
        assert head_file_name.removeprefix("1-") in message or "LightGBM" in message
    assert not (tmp_path / "bomb-went-off").exists()
    pickle.loads(pickle.dumps(Bomb()))
    assert (tmp_path / "bomb-went-off").exists()  # it would have


def test_a_hostile_head_with_a_true_digest_is_refused(saved: Path, models: Any, head_file_name: str) -> None:
    content = (saved / head_file_name).read_bytes()
    for wrong in (b"", content[:-9], struct.pack("<Q", 1 << 62) + content[8:], b"\xff" * 100, content + content):
        models.with_true_digest(saved, head_file_name, wrong)
        models.refusal(saved)


def test_altered_bytes_with_a_true_digest_are_refused_or_another_sound_head(
    saved: Path, kind: str, models: Any, head_file_name: str
) -> None:
    """An author of another head may write one; what comes of it are probabilities or a refusal, and no other error."""
    content, generator = (saved / head_file_name).read_bytes(), np.random.default_rng(0)
    units, refused = models.units_of(kind), 0
    for _ in range(30):
        edited = bytearray(content)
        for _ in range(generator.integers(1, 4)):
            edited[generator.integers(len(edited))] = generator.integers(256)
        models.with_true_digest(saved, head_file_name, bytes(edited))
        try:
            scores = models.load(saved).score(units, models.fingerprint)
        except TaskModelError:
            refused += 1
        else:
            assert ((scores >= 0) & (scores <= 1)).all()
    assert refused


def test_a_head_for_features_of_another_length_is_refused(saved: Path, models: Any) -> None:
    models.edit_card(saved, {"features/n_features": models.n_features + 1})
    assert "(n, 12)" in models.refusal(saved)


def test_a_head_of_another_kind_is_refused(saved: Path, kind: str, models: Any, heads: dict[str, Head]) -> None:
    for name in sorted(set(heads) - {kind}):
        models.edit_card(saved, {"outcomes/0/head": {"name": name, "settings": {}}})
        models.refusal(saved)


def test_a_head_of_vectors_cannot_weigh_frames(logistic: Path, models: Any) -> None:
    """Nor the other way round: what a task gives its heads is settled by the card, and tried on loading."""
    models.edit_card(logistic, {"task/pooling": "attention"})
    assert "takes one vector a unit, and was given bags" in models.refusal(logistic)


def test_a_head_of_bags_cannot_take_vectors(models: Any, heads: dict[str, Head], tmp_path: Path) -> None:
    directory = tmp_path / "canary" / "b-lines"
    models.save(directory, models.make_facts("attention"), models.files_of(heads["attention"]))
    assert models.verify(directory) == []
    models.edit_card(directory, {"task/pooling": "mean"})
    assert "takes the rows of each unit as a bag" in models.refusal(directory)
