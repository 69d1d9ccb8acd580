"""The chest wall: skin, fat, muscle and fascia, ribs with their shadows, and the pleural line beneath.

Depths of the layers follow the usual anatomy of an intercostal view (Lichtenstein and Meziere 2008, doi
10.1378/chest.07-2800: the 'bat sign', pleural line about half a centimetre below the rib line); echo levels are decibels below
white and were set by eye beside real pictures.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lusfx.synth.conditions import CLEAR, Conditions
from lusfx.synth.geometry import N_LINES, Floats, Grid, Reals
from lusfx.synth.speckle import Grain, lateral_lines, smooth_curve, smooth_curves

SKIN_MM = 1.8
RIB_ABOVE_PLEURA_MM = (4.0, 7.0)
RIB_HALF_WIDTH_MM = (6.0, 10.0)
WINDOW_HALF_WIDTH_MM = (11.0, 18.0)
SHADOW_DB = (-34.0, -12.0)
"""What ribs leave of the sound: little, and reverberations fill some of it."""
TORN_DB = 14.0
"""By how much a fascia is weaker where it is torn, before its brightness is scaled (by 1.6, to 22 dB)."""
DARK_TO_THE_SIDE = 0.35
"""Share of ribs beyond which no further intercostal space is met."""
SPECULAR_ANGLE = 0.13
"""Standard deviation (radians) of the angle within which a smooth surface sends its echo back to the transducer."""


@dataclass(frozen=True, slots=True)
class Habitus:
    """A patient's chest wall.

    :param wall_mm: depth of the pleural line.
    :param fat_share: part of it that is fat, the rest being muscle.
    :param n_fascia: bright lines between the layers of muscle.
    :param echo_db: level of muscle; ``texture_db`` is how much it varies.
    :param bend: 0 where the pleura follows the transducer's face, 1 where it is flat.
    :param torn: share of each fascia that is missing; they lean more, each for itself, the more are torn.
    :param fineness: of fasciae and strands; 1 is coarse, less is finer.
    :param seed: of the layers' own shapes, so that all clips of a patient have the same.
    """

    wall_mm: float
    fat_share: float
    n_fascia: int
    echo_db: float
    texture_db: float
    bend: float
    seed: int
    torn: float = 0.0
    fineness: float = 1.0


@dataclass(frozen=True, slots=True)
class ChestWall:
    """What does not move with the lung. Intensities are relative to white, arrays ``(n_depths, n_lines)`` or ``(n_lines,)``.

    :param pleura_mm: depth of the parietal pleura on each beam line.
    :param speckled: intensity of tissue above the pleura and of nothing below.
    :param specular: intensity of skin, fascia and ribs, which are surfaces and no scatterers.
    :param shadow: share of the intensity that ribs leave to what lies below them.
    :param window: the same at the pleura: 1 between ribs, near 0 beneath them.
    :param facing: 1 where the pleura faces the transducer, less where it is oblique.
    """

    pleura_mm: Floats
    speckled: Floats
    specular: Floats
    shadow: Floats
    window: Floats
    facing: Floats


def intensity(level_db: Reals | float) -> Floats:
    """Intensity of a level in decibels."""
    result: Floats = np.exp(np.asarray(level_db, np.float32) * np.float32(np.log(10) / 10))
    return result


def line(distance_mm: Reals, half_width_mm: float) -> Floats:
    """Profile of a thin surface along the beam: 1 on it."""
    result: Floats = np.exp(-0.5 * (np.asarray(distance_mm, np.float32) / np.float32(half_width_mm)) ** 2)
    return result


def ramp(distance: Reals, width: float) -> Floats:
    """0 to 1 over a distance about nought."""
    result: Floats = np.clip(np.asarray(distance, np.float32) / np.float32(width) + np.float32(0.5), 0, 1)
    return result


def build_wall(
    grid: Grid,
    grain: Grain,
    habitus: Habitus,
    generator: np.random.Generator,
    *,
    ribs: bool,
    tilt_mm: float,
    conditions: Conditions = CLEAR,
) -> ChestWall:
    """The wall of one clip.

    :param ribs: whether the transducer lies across the ribs; along an intercostal space it sees none.
    :param tilt_mm: how much deeper the pleura is at the right side of the window than at its left.
    """
    own = np.random.default_rng(habitus.seed)
    pleura = _pleura(grid, habitus, tilt_mm)
    speckled, specular = _layers(grid, grain, habitus, pleura, own)
    above = ramp(pleura - 0.6 - grid.depth_mm, 0.8)
    window, shadow, caps = np.ones(N_LINES, np.float32), np.ones_like(speckled), np.zeros_like(speckled)
    if ribs:
        window, shadow, caps, cap_depth = _ribs(grid, habitus, pleura, generator, conditions)
        above = above * np.maximum(ramp(cap_depth + 1.0 - grid.depth_mm, 4.0), shadow)
    slope = np.gradient(pleura, grid.across) / np.float32(grid.transducer.half_width_mm(habitus.wall_mm))
    facing = np.exp(-0.5 * (np.arctan(slope) / np.float32(SPECULAR_ANGLE)) ** 2)
    return ChestWall(pleura, speckled * above, specular * above + caps, shadow, window, facing.astype(np.float32))


def _pleura(grid: Grid, habitus: Habitus, tilt_mm: float) -> Floats:
    """Depth on each line: between an arc about the face's centre and a plane, tilted."""
    angle = grid.angle
    flat = (np.float32(grid.transducer.radius_mm + habitus.wall_mm)) * (1 / np.cos(angle) - 1)
    share = grid.across * np.float32(grid.transducer.half_width_mm(habitus.wall_mm) / 20)
    pleura: Floats = np.float32(habitus.wall_mm) + np.float32(habitus.bend) * flat + np.float32(tilt_mm / 2) * share
    return np.maximum(pleura, np.float32(0.5 * habitus.wall_mm)).astype(np.float32)


def _layers(
    grid: Grid, grain: Grain, habitus: Habitus, pleura: Floats, own: np.random.Generator
) -> tuple[Floats, Floats]:
    """Speckled and specular intensity of skin, fat and muscle."""
    from scipy import ndimage
    from scipy.stats import norm

    depth = grid.depth_mm
    share = np.clip((depth - SKIN_MM) / (pleura - SKIN_MM), 0, 1.2)  # 0 below the skin, 1 at the pleura
    # Layers bend together, and a little each for itself.
    wander = 0.05 * smooth_curve(own, 22) + 0.022 * smooth_curves(own, habitus.n_fascia + 2, 13)
    # Strands lie along the layers: texture that is long across and short in depth, bent with the pleura.
    draws = own.standard_normal((160, N_LINES), np.float32)
    strands = ndimage.gaussian_filter(draws, (1.6 * habitus.fineness, 9))
    strands = np.take_along_axis(strands / strands.std(), (share * 125 + 200 * wander[0]).astype(int) % 160, axis=0)
    fat_edge = habitus.fat_share + wander[1]
    muscle = ramp(share - fat_edge, 0.06)
    level = (habitus.echo_db - 5) * (1 - muscle) + habitus.echo_db * muscle + habitus.texture_db * strands
    level = level + 13 * line(depth - 0.3, 0.8) + 7 * np.exp(-depth / 4)
    specular = np.zeros_like(level)
    places = np.concatenate([[0.0], np.sort(own.uniform(habitus.fat_share, 0.93, habitus.n_fascia))])
    brightness = 3.5 * smooth_curves(own, len(places), 9)
    if habitus.torn:
        wander[1:] += habitus.torn * 0.15 * own.standard_normal((len(wander) - 1, 1)) * grid.across
        whole = smooth_curves(own, len(places), 8) > np.float32(norm.ppf(habitus.torn))
        brightness -= np.where(whole, np.float32(0), np.float32(TORN_DB))
    sigma = float(np.median(lateral_lines(grid, grain)))
    for place, curve, bright in zip(places, wander[1:], brightness, strict=True):
        at = (place or habitus.fat_share) + curve
        level_db = ndimage.gaussian_filter1d(own.uniform(-29, -18) + 1.6 * bright, max(sigma, 1.0))
        thickness = habitus.fineness * (0.35 + grain.axial_mm)
        specular += intensity(level_db) * line((share - at) * (pleura - SKIN_MM), thickness)
    return intensity(level), specular


def _ribs(
    grid: Grid, habitus: Habitus, pleura: Floats, generator: np.random.Generator, conditions: Conditions
) -> tuple[Floats, Floats, Floats, Floats]:
    """Window, shadow, and intensity and depth of the surfaces of the ribs left and right of an intercostal space."""
    half_width_mm = grid.transducer.half_width_mm(habitus.wall_mm)
    at_mm = grid.across * np.float32(half_width_mm)
    space_mm = generator.uniform(*WINDOW_HALF_WIDTH_MM) * conditions.window_scale
    middle_mm = generator.normal(0, 3)
    left_db = generator.uniform(*SHADOW_DB)
    lost_db, caps = np.zeros_like(grid.x_mm), np.zeros_like(grid.x_mm)
    window_db, cap_depth = np.zeros(N_LINES, np.float32), np.full(N_LINES, np.inf, np.float32)
    for side in (-1, 1):
        half = generator.uniform(*RIB_HALF_WIDTH_MM) * conditions.rib_scale
        centre = middle_mm + side * (space_mm + half)
        offset = (at_mm - np.float32(centre)) / np.float32(half)
        rough = smooth_curve(generator, 4)
        top_mm = float(np.interp(centre, at_mm, pleura)) - generator.uniform(*RIB_ABOVE_PLEURA_MM)
        surface = top_mm + generator.uniform(1.5, 4.0) * offset**2 + 0.6 * rough
        reach = np.abs(offset)
        if generator.random() < DARK_TO_THE_SIDE:
            reach = np.where(side * offset > 0, np.float32(0), reach)
        # However soft a shadow is, the middle of the space stays free.
        edge = min(conditions.rib_softness * generator.uniform(0.4, 1.1), 1.6 * space_mm / half)
        covered = _smooth(1 - ramp(reach - 1, edge))
        below = grid.depth_mm - surface
        facing = (np.exp(-2.2 * offset**2) + 0.12) * (1 - ramp(np.abs(offset) - 1, 0.4))
        ringing = 0.08 * ramp(below, 1) * intensity(-1.2 * np.abs(below))
        caps += facing * intensity(generator.uniform(-26, -12) + 2.0 * rough) * (line(below, 0.7) + ringing)
        lost_db = np.minimum(lost_db, left_db * covered * _smooth(ramp(below - 2.5, 6.0)))
        window_db = np.minimum(window_db, left_db * covered)
        cap_depth = np.where(np.abs(offset) < 1.1, np.minimum(cap_depth, surface), cap_depth)
    return intensity(window_db), intensity(lost_db), caps, cap_depth


def _smooth(share: Floats) -> Floats:
    """A ramp without corners."""
    return share * share * (3 - 2 * share)
