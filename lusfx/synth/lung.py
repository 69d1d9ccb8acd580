"""Lung beneath its pleura: haze, A-lines, B-lines, and the pleural line that they start from.

After Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800): A-lines are repetitions of the pleural line at multiples of its
depth, since air sends the sound back to the transducer and that sends it down again; B-lines start at the pleural line, reach
the bottom without fading, erase the A-lines, and move with sliding. The wall above is repeated below the pleura likewise.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.synth.conditions import CLEAR, Conditions
from lusfx.synth.findings import Findings
from lusfx.synth.geometry import N_DEPTHS, N_LINES, Floats, Grid
from lusfx.synth.speckle import MARGIN_LINES, WIDE, Grain, shift, smooth_curve
from lusfx.synth.wall import ChestWall, intensity, line, ramp

HIDDEN = 0.35
"""Of the intensity that ribs let pass: where less is left a B-line counts as hidden."""


@dataclass(frozen=True, slots=True)
class LungFrame:
    """Lung in one frame: intensities ``(n_depths, n_lines)``, and what is to be seen.

    :param speckled: to be multiplied with the moving tissue's speckle.
    :param n_b_lines: B-lines that have begun and are not beneath a rib; ``a_lines`` whether repetitions are left.
    """

    speckled: Floats
    specular: Floats
    n_b_lines: int
    a_lines: bool


@dataclass(frozen=True, slots=True)
class BLines:
    """B-lines of a clip, one element each.

    :param across: position when the breath is in its middle, in units of the sector's half width.
    :param half_width: likewise; ``level`` is the intensity.
    :param share: of the breath during which it is to be seen; ``phase`` is the middle of that.
    """

    across: Floats
    half_width: Floats
    level: Floats
    share: Floats
    phase: Floats

    @classmethod
    def draw(
        cls, findings: Findings, mm_across: float, room: tuple[float, float], generator: np.random.Generator
    ) -> BLines:
        """Spread over the room, so that narrow ones do not lie on one another.

        :param mm_across: half the sector's width at the pleura.
        :param room: leftmost and rightmost position, in units of that.
        """
        n = findings.b_lines
        low, high = room
        places = (np.arange(n) + generator.uniform(0.2, 0.8, n)) / max(n, 1)
        width_mm = findings.b_line_mm * generator.uniform(0.7, 1.4, n)
        always = generator.random(n) < 0.7
        return cls(
            across=(low + (high - low) * places).astype(np.float32),
            half_width=(width_mm / 2 / mm_across).astype(np.float32),
            level=intensity(generator.uniform(-29, -22, n) + generator.uniform(-2, 2)),
            share=np.where(always, 1.0, generator.uniform(0.35, 0.8, n)).astype(np.float32),
            phase=generator.uniform(0, 2 * np.pi, n).astype(np.float32),
        )

    def strength(self, breath_phase: float) -> Floats:
        """How far each has appeared at a moment of the breath, 0 to 1."""
        near = np.cos(breath_phase - self.phase) - np.cos(np.pi * self.share)
        return np.where(self.share >= 1, np.float32(1), ramp(near.astype(np.float32), 0.3)).astype(np.float32)


class Lung:
    """The lung of one clip.

    :param surface_mm: depth of the lung's surface on each line ``(n_lines,)``: the pleura, or what fluid leaves of it.
    :param room: where B-lines may start, leftmost and rightmost, in units of the sector's half width.
    :param compensation: by what B-lines are strengthened at each depth, so that they do not fade ``(n_depths, 1)``.
    """

    def __init__(
        self,
        grid: Grid,
        grain: Grain,
        wall: ChestWall,
        findings: Findings,
        generator: np.random.Generator,
        *,
        surface_mm: Floats,
        room: tuple[float, float],
        compensation: Floats,
        conditions: Conditions = CLEAR,
    ) -> None:
        self._grid, self._wall, self._surface = grid, wall, surface_mm
        self._irregularity, self._conditions = findings.irregularity, conditions
        self._below = ramp(grid.depth_mm - surface_mm - 0.4, 0.8)
        half_width = grid.transducer.half_width_mm(float(np.median(surface_mm)))
        self._b_lines = BLines.draw(findings, half_width, room, generator)
        self._haze = self._draw_haze(generator) * wall.shadow * self._below
        self._rays = self._below * wall.shadow * compensation
        self._rays *= intensity(1.5 * smooth_curve(generator, 4, N_DEPTHS))[:, None]
        fading = conditions.b_line_fading_db_mm * np.maximum(grid.depth_mm - surface_mm, 0)
        self._rays *= intensity(conditions.b_line_db - fading)
        middle = float(np.clip(generator.normal(0, 0.06), room[0] + 0.1, max(room[1] - 0.1, room[0] + 0.1)))
        width = np.float32(conditions.a_line_share * generator.uniform(0.10, 0.36))
        extent = np.exp(-(((grid.across - np.float32(middle)) / width) ** 4))
        self._a_extent = extent * wall.window * wall.facing
        self._a_lines = self._draw_a_lines(findings.a_lines, extent, grain, generator) * wall.window
        self._a_lines_in_view = bool(findings.a_lines) and 2 * float(np.median(surface_mm)) < grid.depth_mm[-1, 0]
        # The visceral pleura moves with the lung, so its marks lie on a line that is wider than the picture.
        self._bumps = smooth_curve(generator, 5, WIDE)
        self._marks = smooth_curve(generator, 4, WIDE)
        self._parietal = smooth_curve(generator, 12)
        self._line_db = float(generator.uniform(-15, -6))
        self._thickness = 0.35 + grain.axial_mm + 0.7 * findings.irregularity

    def frame(self, slide: float, breath_phase: float, cover: Floats) -> LungFrame:
        """The lung at a moment.

        :param slide: how far it has moved to the right, in units of the sector's half width.
        :param cover: how far the lung covers each line, 0 to 1 ``(n_lines,)``: what it has left to organs shows neither lines.
        """
        across = self._grid.across
        lines = slide * (N_LINES - 1) / 2
        strength = self._b_lines.strength(breath_phase)
        offset = (
            np.abs(across - (self._b_lines.across + np.float32(slide))[:, None]) / self._b_lines.half_width[:, None]
        )
        profile = strength[:, None] / (1 + offset ** np.float32(self._conditions.b_line_edge))
        ray = (profile * self._b_lines.level[:, None]).max(axis=0, initial=0)
        erased = (strength[:, None] / (1 + (offset / np.float32(1.8)) ** 6)).max(axis=0, initial=0)
        speckled = self._haze * (1 - np.float32(0.4) * erased) + self._rays * ray
        specular = self._a_lines * (1 - erased) ** 2 + self._pleural_line(lines)
        places = self._b_lines.across + np.float32(slide)
        seen = (strength > 0.5) & (np.abs(places) < 0.97)
        seen &= np.interp(places, across, self._wall.window * cover) > HIDDEN
        repeated = float((self._a_extent * (1 - erased) ** 2 * cover).max())
        return LungFrame(speckled, specular, int(seen.sum()), self._a_lines_in_view and repeated > HIDDEN)

    def _pleural_line(self, lines: float) -> Floats:
        bumps, marks = _seen(self._bumps, lines), _seen(self._marks, lines)
        surface = self._surface + np.float32(0.15 + 0.8 * self._irregularity) * np.abs(bumps)
        level = self._line_db + 1.2 * self._parietal + (1.2 + 3.5 * self._irregularity) * marks
        level -= 14 * self._irregularity * ramp(bumps - np.float32(1.2), 0.8)  # where it is interrupted
        bright = intensity(level) * self._wall.window * (np.float32(0.25) + np.float32(0.75) * self._wall.facing)
        below = self._grid.depth_mm - surface
        tail = intensity(-1.6 * np.abs(below) - 9) * ramp(below, 1.0)  # the pleura's own ringing
        return bright * (line(below, self._thickness) + tail)

    def _draw_haze(self, generator: np.random.Generator) -> Floats:
        """What many reflections leave below the pleura: fading haze, and the wall's image once more."""
        depth = self._grid.depth_mm - self._surface
        facing = np.float32(0.25) + np.float32(0.75) * self._wall.facing
        level = (
            self._conditions.haze_db
            + generator.uniform(-43, -35)
            - generator.uniform(0.12, 0.32) * np.maximum(depth, 0)
        )
        haze = intensity(level) * facing + intensity(generator.uniform(-66, -54))
        wall = self._wall.speckled + self._wall.specular
        rows = np.arange(N_DEPTHS)[:, None] - (self._surface / np.float32(self._grid.step_mm)).astype(int)
        repeated = np.where(rows >= 0, np.take_along_axis(wall, np.maximum(rows, 0), axis=0), 0)
        fading = intensity(generator.uniform(-18, -8) - 0.1 * np.maximum(depth, 0))
        total: Floats = haze + repeated * fading * facing
        return total

    def _draw_a_lines(self, n: int, extent: Floats, grain: Grain, generator: np.random.Generator) -> Floats:
        """Repetitions at two, three, ... times the pleura's depth, weaker and narrower each time."""
        drawn = np.zeros((N_DEPTHS, N_LINES), np.float32)
        first_db = self._conditions.a_line_db + generator.uniform(-30, -20)
        drop_db = generator.uniform(3, 6)
        for order in range(2, 2 + n):
            level = first_db - drop_db * (order - 2) + 1.5 * smooth_curve(generator, 9)
            blur_mm = 0.3 + grain.axial_mm * (1 + 0.15 * order)
            reflected = intensity(level) * extent * self._wall.facing ** np.float32(0.7 * order)
            drawn += reflected * line(self._grid.depth_mm - order * self._surface, blur_mm)
        return drawn


def _seen(curve: Floats, lines: float) -> Floats:
    """The part of a wide curve that is seen after the lung moved right by some beam lines."""
    seen: Floats = shift(curve[None], lines)[0]
    return seen


def room_between_ribs(grid: Grid, window: Floats) -> tuple[float, float]:
    """Leftmost and rightmost line of the space between the ribs about the middle, a little within it."""
    middle = N_LINES // 2
    open_lines = window > 0.6
    if not open_lines[middle]:
        middle = int(np.flatnonzero(open_lines)[np.argmin(np.abs(np.flatnonzero(open_lines) - middle))])
    left = right = middle
    while left > 0 and open_lines[left - 1]:
        left -= 1
    while right < N_LINES - 1 and open_lines[right + 1]:
        right += 1
    low, high = float(grid.across[left]), float(grid.across[right])
    margin = 0.08 * (high - low)
    return max(low + margin, -0.75), min(high - margin, 0.75)


def wide_across(grid: Grid) -> NDArray[np.float32]:
    """Positions of the beam lines with margins on either side ``(n_lines + 2 margins,)``."""
    lines = np.arange(-MARGIN_LINES, N_LINES + MARGIN_LINES, dtype=np.float32)
    return lines * np.float32(2 / (N_LINES - 1)) - 1
