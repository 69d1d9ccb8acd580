"""The pleural view: diaphragm, liver or spleen, spine, the lung's edge as a curtain, and fluid.

After Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800; the PLAPS point) and Volpicelli et al. 2012 (doi
10.1007/s00134-012-2513-4): cranial is left. Air-filled lung hides all that lies behind it, and comes over the organ with each
breath in. Fluid is dark and lets the sound pass to the spine, which air would hide; lung without air floats in it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lusfx.synth.findings import Findings
from lusfx.synth.geometry import N_LINES, Floats, Grid
from lusfx.synth.speckle import smooth_curve
from lusfx.synth.wall import ChestWall, intensity, line, ramp

FLUID_DB = -72.0
VISIBLE_FLUID = 0.012
"""Share of the picture from which fluid counts as visible in a frame."""


@dataclass(frozen=True, slots=True)
class CostophrenicFrame:
    """Everything beneath the pleura that is no aerated lung. Arrays ``(n_depths, n_lines)`` unless said otherwise.

    :param lung: how far aerated lung covers each line, 0 to 1, ``(n_lines,)``.
    :param speckled: intensity to be multiplied with the organ's speckle; ``specular`` of surfaces.
    :param fluid: share of the sector that is fluid and not hidden.
    """

    lung: Floats
    speckled: Floats
    specular: Floats
    fluid: float


class Costophrenic:
    """The costophrenic angle of one clip."""

    def __init__(self, grid: Grid, wall: ChestWall, findings: Findings, generator: np.random.Generator) -> None:
        self._grid, self._wall, self._findings = grid, wall, findings
        fluid_mm = findings.effusion_mm
        half_mm = grid.transducer.half_width_mm(float(np.median(wall.pleura_mm)))
        self._half_mm = half_mm
        pleura = float(wall.pleura_mm[N_LINES // 2])
        if findings.atelectasis:
            edge_mm, self._curtain = -2.0 * half_mm, 0.0
        elif fluid_mm:
            edge_mm, self._curtain = generator.uniform(-0.45, -0.05) * half_mm, generator.uniform(2, 5) / half_mm
        else:
            edge_mm, self._curtain = generator.uniform(-0.45, 0.15) * half_mm, generator.uniform(4, 10) / half_mm
        self._edge = edge_mm / half_mm
        attached_mm = generator.uniform(-0.05, 0.35) * half_mm if fluid_mm else edge_mm + generator.uniform(0, 6)
        self._radius = np.float32(generator.uniform(58, 80))
        lean = generator.uniform(0.55, 0.8)
        self._centre = (attached_mm + self._radius * lean, pleura + self._radius * np.sqrt(1 - lean**2) - 1)
        self._descent_mm = generator.uniform(4, 9) if not fluid_mm else generator.uniform(2, 5)
        self._organ_db = float(generator.uniform(-43, -36)) + (1.0 if findings.organ == "spleen" else 0.0)
        self._texture = _texture(grid, generator)
        self._wavy = 1.6 * smooth_curve(generator, 18) + 0.5 * smooth_curve(generator, 5)
        self._marks = smooth_curve(generator, 6)
        self._behind_db = float(generator.uniform(-7, -3))
        self._line_db = float(generator.uniform(-24, -14))
        self._diaphragm_mm = float(generator.uniform(0.8, 1.5))
        self._below = ramp(grid.depth_mm - wall.pleura_mm - 1.0, 1.2) * wall.shadow
        parietal = line(grid.depth_mm - wall.pleura_mm, 0.7) * wall.window
        self._parietal = parietal * intensity(generator.uniform(-26, -17) + 1.5 * smooth_curve(generator, 8))
        self._spine_mm = pleura + generator.uniform(58, 82)
        self._spine = self._draw_spine(generator)
        self._vessels = self._draw_vessels(generator) if findings.organ == "liver" else np.ones_like(grid.x_mm)
        self._tip = (
            generator.uniform(-0.75, -0.3) * half_mm,
            pleura + fluid_mm * generator.uniform(0.6, 0.95),
            max(0.6 * fluid_mm, 12.0) * generator.uniform(0.8, 1.2),
            max(0.24 * fluid_mm, 5.0) * generator.uniform(0.8, 1.2),
            generator.uniform(0.0, 0.6),
        )
        self._float_mm = generator.uniform(1.5, 4)

    @property
    def edge(self) -> float:
        """Where the lung ends in the middle of the breath, in units of the sector's half width."""
        return self._edge

    def surface_mm(self) -> Floats:
        """Depth of the aerated lung's surface ``(n_lines,)``: the pleura, pushed down by fluid towards its edge."""
        if not self._findings.effusion_mm:
            return self._wall.pleura_mm
        start = self._edge - 0.9
        share = np.clip((self._grid.across - start) / (self._edge + 0.15 - start), 0, 1)
        layer: Floats = np.float32(min(self._findings.effusion_mm, 45.0, self._half_mm)) * share**1.4
        return self._wall.pleura_mm + layer

    def frame(self, breath: float, pulse: float) -> CostophrenicFrame:
        """The view at a moment.

        :param breath: from -1, breathed out, to 1, breathed in; ``pulse`` likewise of the heart.
        """
        from scipy import ndimage

        grid, findings = self._grid, self._findings
        lung = ramp(np.float32(self._edge + self._curtain * breath) - grid.across, 0.09)
        moved = self._descent_mm * breath
        x = grid.x_mm - np.float32(self._centre[0] + 0.9 * moved)
        z = grid.z_mm - np.float32(self._centre[1] + 0.4 * moved)
        distance = np.sqrt(x * x + z * z) + self._wavy
        organ = np.maximum(ramp(self._radius - distance, 1.5), ramp(x, 2.0))
        # The diaphragm shines where it lies across the beam.
        facing = np.abs(x * np.sin(grid.angle) + z * np.cos(grid.angle)) / np.maximum(distance, 1)
        muscle = line(distance - self._radius, self._diaphragm_mm) * ramp(-x, 20.0) * (0.08 + facing**2)
        speckled = organ * intensity(self._organ_db) * self._vessels * self._texture
        specular = ndimage.gaussian_filter1d(muscle * intensity(self._line_db + 3.0 * self._marks), 2.0, axis=1)
        spine = self._spine * (organ if not findings.effusion_mm else 1.0)
        above_spine = ramp(np.float32(self._spine_mm) - grid.z_mm, 8.0)
        outside = 1 - organ
        fluid = 0.0
        if findings.effusion_mm:
            if findings.atelectasis:
                tissue, rim = self._floating(breath, pulse)
                speckled += outside * tissue * intensity(self._organ_db - 1)
                specular += outside * rim * intensity(-32)
                outside = outside * (1 - tissue)
            speckled += outside * intensity(FLUID_DB)
            fluid = self._fluid_share(outside * above_spine, lung)
        else:  # the diaphragm mirrors the organ into the lung
            speckled += outside * intensity(self._organ_db + self._behind_db) * above_spine
        speckled *= np.maximum(above_spine, np.float32(0.04))
        specular *= np.maximum(above_spine, np.float32(0.004))
        specular = (specular + spine) * self._below + self._parietal
        return CostophrenicFrame(lung, speckled * self._below, specular, fluid)

    def _fluid_share(self, fluid: Floats, lung: Floats) -> float:
        """Share of the sector, lines and depths weighed alike: fluid beside the lung, and what lies over its surface."""
        over_lung = ramp(self.surface_mm() - self._grid.depth_mm, 1.0) * (
            self._grid.depth_mm > self._wall.pleura_mm + 1
        )
        seen = (fluid * (1 - lung) + over_lung * lung) * self._below
        return float(seen.mean())

    def _floating(self, breath: float, pulse: float) -> tuple[Floats, Floats]:
        """Lung without air in the fluid, and its rim."""
        x0, z0, long_mm, short_mm, lean = self._tip
        x = self._grid.x_mm - np.float32(x0 + self._float_mm * breath)
        z = self._grid.z_mm - np.float32(z0 + 0.6 * self._float_mm * breath + 1.2 * pulse)
        along, aside = x * np.cos(lean) + z * np.sin(lean), z * np.cos(lean) - x * np.sin(lean)
        # A tongue that ends towards the diaphragm and comes from the left.
        reach = np.where(along > 0, along / np.float32(long_mm * 0.6), along / np.float32(long_mm * 3))
        thickness = np.float32(short_mm) * (1 + np.float32(0.35) * np.clip(-along / np.float32(long_mm), -0.6, 1.5))
        distance = np.sqrt(reach**2 + (aside / thickness) ** 2) + np.float32(0.08) * self._wavy
        return ramp(1 - distance, 0.12), line(distance - 1, 0.08)

    def _draw_spine(self, generator: np.random.Generator) -> Floats:
        """A bright line of vertebral bodies, each a little arched."""
        grid = self._grid
        body_mm = generator.uniform(22, 30)
        arch = np.abs(np.sin(np.pi * (grid.x_mm + generator.uniform(0, body_mm)) / np.float32(body_mm)))
        surface = np.float32(self._spine_mm) - 2.5 * arch + np.float32(generator.normal(0, 0.12)) * grid.x_mm
        level = generator.uniform(-30, -20) - 7 * (1 - arch) + 4.0 * smooth_curve(generator, 5)
        bright: Floats = line(grid.z_mm - surface, 1.5) * intensity(level)
        return bright

    def _draw_vessels(self, generator: np.random.Generator) -> Floats:
        """What vessels leave of the organ's echo: dark tubes, cut obliquely."""
        grid = self._grid
        left = np.ones_like(grid.x_mm)
        for _ in range(int(generator.integers(3, 8))):
            x0 = self._centre[0] + generator.uniform(-0.7, 0.5) * self._radius
            z0 = self._centre[1] + generator.uniform(-0.5, 0.4) * self._radius
            lean, long_mm, wide_mm = generator.uniform(0, np.pi), generator.uniform(3, 14), generator.uniform(1.2, 2.6)
            x, z = grid.x_mm - np.float32(x0), grid.z_mm - np.float32(z0)
            along, aside = x * np.cos(lean) + z * np.sin(lean), z * np.cos(lean) - x * np.sin(lean)
            distance = np.sqrt((along / np.float32(long_mm)) ** 2 + (aside / np.float32(wide_mm)) ** 2)
            left *= 1 - 0.93 * ramp(1 - distance, 0.4)
        return left


def _texture(grid: Grid, generator: np.random.Generator) -> Floats:
    """Unevenness of an organ, coarser than speckle, and what it takes from the sound."""
    from scipy import ndimage

    coarse = ndimage.gaussian_filter(generator.standard_normal(grid.x_mm.shape, np.float32), (7, 5))
    fine = ndimage.gaussian_filter(generator.standard_normal(grid.x_mm.shape, np.float32), (2, 2))
    level = 1.5 * coarse / coarse.std() + 1.3 * fine / fine.std() - 0.05 * grid.depth_mm
    return intensity(level + 2)
