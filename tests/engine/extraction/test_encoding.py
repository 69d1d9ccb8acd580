"""Batches beside one another: in their order, bounded, and with the first failure told."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.config import EncoderIdentity, PreprocessSpec
from lusfx.contracts import Encoder
from lusfx.engine.extraction.clip_in_hand import Batch
from lusfx.engine.extraction.encoding import EncodingStreams
from lusfx.errors import EncoderError

STREAMS = 3


class Slow(Encoder):
    """The embedding of an image is its level. Black takes long; white fails."""

    name, runtime, streams = "slow", "numpy", STREAMS
    preprocess = PreprocessSpec(size=16, beam="off")
    identity = EncoderIdentity(
        architecture="slow", weights_sha256="00" * 32, layer="x", pooling="none", dim=1, channels=1, mean=(0,), std=(1,)
    )

    def __init__(self) -> None:
        self.let_go = threading.Event()
        self.most_at_once = self._at_once = 0
        self._counting = threading.Lock()

    def encode(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        with self._counting:
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        level = int(images[0, 0, 0])
        if level == 0:
            assert self.let_go.wait(120)
        time.sleep(0.01)
        with self._counting:
            self._at_once -= 1
        if level == 255:
            raise EncoderError("white")
        return images[:, 0, :1].astype(np.float32)


class Loading(Slow):
    """Remembers on which thread it was loaded."""

    loaded_on = ""

    def warm_up(self) -> None:
        self.loaded_on = threading.current_thread().name


def batch(level: int) -> Batch:
    return Batch(np.full((2, 16, 16), level, np.uint8), [])


@contextmanager
def opened(encoder: Encoder) -> Iterator[tuple[EncodingStreams, threading.Event]]:
    told = threading.Event()
    streams = EncodingStreams(encoder, 4, told.set)
    try:
        yield streams, told
    finally:
        streams.close()


def test_batches_come_back_in_their_order_whichever_is_done_first() -> None:
    encoder = Slow()
    with opened(encoder) as (streams, told):
        assert list(streams.begin(batch(0))) == list(streams.begin(batch(1))) == list(streams.begin(batch(2))) == []
        assert told.wait(120)
        assert list(streams.done()) == []  # the first is not done
        assert not streams.hungry
        encoder.let_go.set()
        found = list(streams.rest())
        assert streams.hungry
    assert [int(one.embeddings[0, 0]) for one in found] == [0, 1, 2]
    assert all(one.seconds > 0 and one.embeddings.shape == (2, 1) for one in found)
    assert 1 < encoder.most_at_once <= STREAMS


def test_no_more_are_in_hand_than_the_threads_and_one() -> None:
    encoder = Slow()
    encoder.let_go.set()
    with opened(encoder) as (streams, _):
        given = [list(streams.begin(batch(level))) for level in range(1, 9)]
        assert [len(found) for found in given] == [0] * (STREAMS + 1) + [1] * (8 - STREAMS - 1)
        assert len(list(streams.rest())) == STREAMS + 1


def test_a_failure_comes_in_its_turn_and_what_no_thread_has_begun_is_dropped() -> None:
    encoder = Slow()
    with opened(encoder) as (streams, _):
        for level in (7, 255, 0, 0):
            assert list(streams.begin(batch(level))) == []
        rest = streams.rest()
        assert int(next(rest).embeddings[0, 0]) == 7
        with pytest.raises(EncoderError, match="white"):
            next(rest)
        encoder.let_go.set()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("lusfx-encode")]


def test_an_encoder_is_warmed_up_where_it_encodes() -> None:
    encoder = Loading()
    with opened(encoder) as (streams, _):
        streams.warm_up()
    assert encoder.loaded_on.startswith("lusfx-encode")


def test_an_encoder_with_nothing_to_load_needs_no_warm_up() -> None:
    with opened(Slow()) as (streams, _):
        streams.warm_up()
