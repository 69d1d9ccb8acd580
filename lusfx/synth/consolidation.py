"""Lung without air: tissue beneath the pleura with a shred border and air bronchograms.

The C-profile and the shred sign of Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800): the surface is the pleura, the
deep border towards aerated lung is torn, and air in the bronchi is bright within.
"""

from __future__ import annotations

import numpy as np

from lusfx.synth.geometry import Floats, Grid
from lusfx.synth.lung import wide_across
from lusfx.synth.speckle import WIDE, shift, smooth_curve
from lusfx.synth.wall import intensity, line, ramp


class Consolidation:
    """A patch of consolidated lung that moves with it.

    :param surface_mm: depth of the lung's surface ``(n_lines,)``; ``thickness_mm`` is the greatest below it.
    :param room: where its middle may be, in units of the sector's half width.
    """

    def __init__(
        self,
        grid: Grid,
        generator: np.random.Generator,
        *,
        surface_mm: Floats,
        thickness_mm: float,
        room: tuple[float, float],
    ) -> None:
        from scipy import ndimage

        across = wide_across(grid)
        surface = np.interp(across, grid.across, surface_mm).astype(np.float32)
        mm_across = grid.transducer.half_width_mm(float(surface.mean()) + thickness_mm / 2)
        middle = generator.uniform(room[0] + 0.3 * (room[1] - room[0]), room[1] - 0.3 * (room[1] - room[0]))
        half = max(thickness_mm * generator.uniform(0.9, 1.4), 6.0) / mm_across
        bump = np.clip(1 - np.abs((across - np.float32(middle)) / np.float32(half)) ** 2.2, 0, 1)
        torn = 0.16 * smooth_curve(generator, 2.5, WIDE) + 0.14 * smooth_curve(generator, 7, WIDE)
        border = surface + np.float32(thickness_mm) * bump * np.clip(1 + torn, 0.3, 1.4)
        depth = grid.depth_mm
        within = ramp(depth - surface - 0.5, 1.0) * ramp(border - depth, 1.2) * (bump > 0)
        below = np.maximum(depth - border, 0)
        texture = 1.6 * smooth_curve(generator, 6, WIDE)
        tail = ramp(depth - border, 1.0) * bump**0.5
        rays = 3.0 * smooth_curve(generator, 2.5, WIDE)
        within = ndimage.gaussian_filter1d(within.astype(np.float32), 1.5, axis=1)
        self._within = within
        speckled = within * intensity(generator.uniform(-42, -36) + texture)
        speckled += tail * intensity(generator.uniform(-36, -29) + rays - generator.uniform(0.08, 0.2) * below)
        self._speckled = speckled.astype(np.float32)
        edge = line(depth - border - 0.5, 1.2) * bump * intensity(-27 + 5.0 * smooth_curve(generator, 3, WIDE))
        air = self._bronchograms(grid, generator, surface, thickness_mm, middle, half)
        # The beam is wider than the border is sharp.
        self._specular = ndimage.gaussian_filter1d((edge + within * air).astype(np.float32), 2.0, axis=1)
        self._covered = bump.astype(np.float32)

    def frame(self, lines: float) -> tuple[Floats, Floats, Floats, Floats]:
        """What is seen after the lung moved right by some beam lines.

        :returns: how far each point is within the patch; intensity of its speckled and of its specular echoes; and how far it
            covers each line ``(n_lines,)``.
        """
        within, speckled, specular = (shift(field, lines) for field in (self._within, self._speckled, self._specular))
        return within, speckled, specular, shift(self._covered[None], lines)[0]

    @staticmethod
    def _bronchograms(
        grid: Grid, generator: np.random.Generator, surface: Floats, thickness_mm: float, middle: float, half: float
    ) -> Floats:
        """Short bright streaks that spread out from the depth."""
        across = wide_across(grid)
        depth = grid.depth_mm
        drawn = np.zeros((len(depth), len(across)), np.float32)
        base = float(surface.mean())
        for _ in range(int(5 + thickness_mm / 2)):
            at = middle + generator.uniform(-0.6, 0.6) * half
            down = base + thickness_mm * generator.uniform(0.25, 0.85)
            lean = generator.normal(0, 0.25) * half / thickness_mm * 3
            along = depth - np.float32(down)
            length, width = generator.uniform(0.5, 1.8), generator.uniform(0.5, 1.2) / 60
            sideways = across - np.float32(at) - np.float32(lean) * along / 6
            spot = np.exp(-0.5 * ((along / np.float32(length)) ** 2 + (sideways / np.float32(width)) ** 2))
            drawn += intensity(generator.uniform(-28, -14)) * spot
        return drawn
