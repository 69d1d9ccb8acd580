"""Looks of patients, and a ruler for synthetic frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from lusfx.synth import PatientLook

Profile = Callable[[NDArray[np.uint8], PatientLook], tuple[NDArray[np.float64], NDArray[np.float64]]]


@pytest.fixture(params=[True, False], ids=["convex", "linear"])
def look(request: pytest.FixtureRequest) -> PatientLook:
    """A patient under each of the two transducers."""
    return PatientLook(convex=request.param, depth_mm=110, wall_mm=22, gain_db=0, attenuation_db_mm=0.15)


@pytest.fixture
def linear_look() -> PatientLook:
    """A linear array's picture: columns are beam lines."""
    return PatientLook(convex=False, depth_mm=110, wall_mm=22, gain_db=0, attenuation_db_mm=0.15)


@pytest.fixture
def axial_profile() -> Profile:
    """Depths (mm) and mean grey along the beam's axis, where rows are depths whatever the transducer."""

    def measure(frames: NDArray[np.uint8], look: PatientLook) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        middle = frames.shape[2] // 2
        grey = frames[:, :, middle - 20 : middle + 21].mean(axis=(0, 2))
        rows = np.nonzero(grey)[0]
        grey = grey[rows[0] : rows[-1] + 1]
        return np.linspace(0, look.depth_mm, len(grey)), grey

    return measure
