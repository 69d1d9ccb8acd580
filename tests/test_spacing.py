"""Frames that are evenly spaced over a clip."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.spacing import evenly_spaced


@pytest.mark.parametrize(("n", "wanted"), [(1, 1), (1, 16), (16, 16), (17, 16), (100, 16), (5, 1), (1000, 3)])
def test_evenly_spaced_frames_are_as_many_as_wanted_and_different(n: int, wanted: int) -> None:
    chosen = evenly_spaced(n, wanted)
    assert len(chosen) == min(n, wanted)
    assert len(set(chosen.tolist())) == len(chosen)
    assert chosen[0] == 0
    if wanted > 1:
        assert chosen[-1] == n - 1
        assert np.ptp(np.diff(chosen)) <= 1 if len(chosen) > 1 else True


def test_all_frames_are_taken_where_there_are_no_more() -> None:
    assert evenly_spaced(5, 5).tolist() == evenly_spaced(5, 9).tolist() == [0, 1, 2, 3, 4]
    assert evenly_spaced(0, 3).tolist() == []


def test_positions_are_rounded_to_the_nearest() -> None:
    assert evenly_spaced(10, 3).tolist() == [0, 4, 9]
    assert evenly_spaced(11, 4).tolist() == [0, 3, 7, 10]
