"""Clips in hand: what they keep, and how batches are shared among them."""

from __future__ import annotations

import numpy as np

from lusfx.engine.extraction.clip_in_hand import Batch, ClipInHand, Filler
from lusfx.engine.extraction.decoding.clip import Portion
from lusfx.engine.extraction.decoding.jobs import Job


def clip() -> ClipInHand:
    return ClipInHand(Job(None, "", None))  # of no source


def test_a_clip_keeps_no_images() -> None:
    """Nor the message that they came in: a long clip would keep a gigabyte in memory."""
    message = np.zeros(4 * 17 + 4 * 256, np.uint8)
    held = clip()
    held.add(
        Portion(
            message[:32].view(np.int64),
            message[32:64].view(np.float64),
            message[64:68],
            message[68:].reshape(4, 16, 16),
        )
    )
    (portion,) = held.portions
    assert held.n_readable == 4
    assert portion.images.nbytes == 0
    for array in (portion.source_frame, portion.times_s, portion.status):
        assert not np.shares_memory(array, message)


def test_batches_are_full_whatever_the_portions() -> None:
    sent: list[Batch] = []
    filler = Filler(4, 1, sent.append)
    one, other = clip(), clip()
    for owner, values in ((one, [1, 2, 3]), (other, [4, 5, 6, 7, 8, 9]), (one, [10])):
        filler.add(np.array(values, np.uint8).reshape(-1, 1, 1), owner)
    filler.flush()
    filler.flush()
    assert [batch.images.ravel().tolist() for batch in sent] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    shares = [(owner is one, batch.images[share].ravel().tolist()) for batch in sent for owner, share in batch.shares()]
    assert shares == [(True, [1, 2, 3]), (False, [4]), (False, [5, 6, 7, 8]), (False, [9]), (True, [10])]
