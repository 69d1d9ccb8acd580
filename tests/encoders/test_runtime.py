"""How an encoder takes its threads."""

from __future__ import annotations

import pytest

from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, runtime
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.encoders.runtime import Threads


@pytest.mark.parametrize(
    ("number", "streams", "each"), [(1, 1, 1), (2, 2, 1), (8, 8, 1), (9, 8, 1), (16, 8, 2), (64, 8, 8), (0, 3, 1)]
)
def test_threads_are_batches_beside_one_another_and_then_more_for_each(
    monkeypatch: pytest.MonkeyPatch, number: int, streams: int, each: int
) -> None:
    monkeypatch.setattr(runtime, "available_cores", lambda: 3)
    assert Threads.of(number) == Threads(streams, each)


def test_torch_has_one_stream_and_the_others_one_a_thread() -> None:
    pytest.importorskip("torch")
    opened = [DirectoryEncoder(BUNDLED / DEFAULT_ENCODER, "cpu", 2, runtime=name) for name in ("onnxruntime", "torch")]
    assert [encoder.streams for encoder in opened] == [2, 1]
