"""Looks of patients, and a ruler for synthetic frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.synth import DEVICES, Habitus, PatientLook, SyntheticClip

HABITUS = Habitus(wall_mm=22, fat_share=0.4, n_fascia=3, echo_db=-40, texture_db=3, bend=0.2, seed=5)
Ruler = Callable[[SyntheticClip, float, float], NDArray[np.float64]]


@pytest.fixture
def convex() -> PatientLook:
    """A patient beneath a convex array."""
    return PatientLook(DEVICES["synthetic-console"], "convex", 110, 0, 0.02, HABITUS)


@pytest.fixture
def linear() -> PatientLook:
    """The same beneath a linear array, whose columns are beam lines."""
    return PatientLook(DEVICES["synthetic-console"], "linear", 75, 2, 0.02, HABITUS)


@pytest.fixture
def between() -> Ruler:
    """Grey levels between two depths (mm below the face's middle) in the columns of a linear beam: ``(n, rows, columns)``."""

    def cut(clip: SyntheticClip, shallow_mm: float, deep_mm: float) -> NDArray[np.float64]:
        first, last = (round(clip.face_px[1] + depth * clip.px_per_mm) for depth in (shallow_mm, deep_mm))
        columns = np.nonzero(clip.inside.any(axis=0))[0]
        return clip.frames[:, first:last, columns[0] + 2 : columns[-1] - 1].astype(np.float64)

    return cut
