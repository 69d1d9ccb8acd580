"""Beams of known geometry, drawn with what makes real ones hard to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray


@dataclass(frozen=True)
class Sector:
    """A convex sector in frames of 300 x 340, and the polar coordinates of each pixel about its apex."""

    mask: NDArray[np.bool_]
    radius: NDArray[np.float64]
    angle: NDArray[np.float64]
    face: float
    depth: float
    half_angle: float
    generator: np.random.Generator

    def frames(self, dark: NDArray[np.bool_] | None = None, n_frames: int = 8) -> NDArray[np.uint8]:
        """Speckle that changes over time; black where ``dark`` and outside the sector."""
        lit = self.mask if dark is None else self.mask & ~dark
        field = 8 + self.generator.rayleigh(28, (n_frames, *lit.shape))
        return np.where(lit, np.clip(field, 0, 255), 0).astype(np.uint8)


def make_sector(seed: int) -> Sector:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:300, :340].astype(float)
    half_angle = np.radians(generator.uniform(25, 35))
    face, depth = generator.uniform(70, 120), generator.uniform(170, 210)
    apex_y = generator.uniform(15, 30) - face * np.cos(half_angle)
    radius, angle = np.hypot(y - apex_y, x - 170), np.arctan2(x - 170, y - apex_y)
    mask = (radius >= face) & (radius <= face + depth) & (np.abs(angle) <= half_angle)
    return Sector(mask, radius, angle, face, depth, half_angle, generator)


@pytest.fixture(params=range(4))
def sector(request: pytest.FixtureRequest) -> Sector:
    """Sectors of several geometries."""
    return make_sector(request.param)
