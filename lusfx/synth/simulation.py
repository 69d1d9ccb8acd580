"""Simulated B-mode cines of the lung. Synthetic, and called so wherever they appear.

The intensities of wall, lung, organs and fluid are multiplied with the speckle of tissue that moves or stands still, noise is
added, the sum is compressed to decibels, smoothed over time, mapped to grey and scan-converted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UsageError
from lusfx.synth.conditions import CLEAR, Conditions
from lusfx.synth.consolidation import Consolidation
from lusfx.synth.costophrenic import VISIBLE_FLUID, Costophrenic
from lusfx.synth.device import Device
from lusfx.synth.findings import Findings
from lusfx.synth.geometry import N_DEPTHS, N_LINES, Floats, Grid, ProbeKind, Transducer, polar_grid, scan_map
from lusfx.synth.lung import Lung, room_between_ribs
from lusfx.synth.motion import PULSE_MM, Motion
from lusfx.synth.overlay import draw_overlay
from lusfx.synth.speckle import Noise, PictureTexture, Tissue, smooth_curve, smooth_field
from lusfx.synth.wall import Habitus, build_wall, intensity, ramp

GREYS = 256
HAND_LINES = 1.5
"""Beam lines by which the hand that holds the transducer moves everything, at most."""
STREAK_ROWS, STREAK_LINES, COLUMN_LINES, LEANING_ROWS = 1.1, 4.5, 5, 10
"""Depths and beam lines over which streaks stay alike, and beam lines over which columns do; depths by which streaks are
bent up or down."""
EXCURSION_MM = {"parenchymal": (2.5, 6.0), "pleural": (5.0, 11.0)}
"""How far lung slides to either side of its middle position: further at its base."""


@dataclass(frozen=True, slots=True)
class PatientLook:
    """What stays the same for all clips of a patient, and says nothing of the disease.

    :param device: the machine; ``probe`` is which of its transducers.
    :param depth_mm: depth shown.
    :param gain_db: added before compression; ``attenuation_db_mm`` is what time-gain compensation leaves of attenuation.
    :param habitus: the chest wall; ``conditions`` how clearly it lets be seen what is beneath.
    """

    device: Device
    probe: ProbeKind
    depth_mm: float
    gain_db: float
    attenuation_db_mm: float
    habitus: Habitus
    conditions: Conditions = CLEAR

    @property
    def transducer(self) -> Transducer:
        return self.device.transducer(self.probe)


@dataclass(frozen=True, slots=True)
class FrameTruth:
    """What is to be seen in one frame.

    :param lung: whether there is any aerated lung, without which nobody can look for A-lines or B-lines.
    :param n_b_lines: B-lines that have appeared and are not hidden beneath a rib.
    """

    lung: bool
    n_b_lines: int
    a_lines: bool
    effusion: bool
    consolidation: bool


@dataclass(frozen=True, slots=True)
class SyntheticClip:
    """A drawn cine and what it shows.

    :param frames: ``(n, height, width)`` grey; ``truth`` has one element each.
    :param overlay: ``(height, width, 3)`` what is drawn beside the beam, in colour.
    :param inside: ``(height, width)``, True where the beam is.
    :param px_per_mm: the same across and down; ``face_px`` is column and row of the middle of the transducer's face.
    """

    look: PatientLook
    findings: Findings
    frames: NDArray[np.uint8]
    truth: tuple[FrameTruth, ...]
    overlay: NDArray[np.uint8]
    inside: NDArray[np.bool_]
    px_per_mm: float
    face_px: tuple[float, float]

    def in_colour(self) -> NDArray[np.uint8]:
        """The frames as the machine shows them ``(n, height, width, 3)``: tinted, with the overlay's colours."""
        tint = np.array(self.look.device.tint or (255, 255, 255), np.uint16)
        greys = np.where(self.inside, self.frames, 0).astype(np.uint16)
        coloured: NDArray[np.uint8] = (greys[..., None] * tint // 255).astype(np.uint8)
        coloured[:, ~self.inside] = self.overlay[~self.inside]
        return coloured


def simulate(look: PatientLook, findings: Findings, *, seed: int, n_frames: int = 24) -> SyntheticClip:
    """Draw a cine.

    :param seed: of everything that the look and the findings leave open: positions, movement, speckle.
    :returns: the same for the same arguments.
    :raises UsageError: no frame, or a negative seed.
    """
    if n_frames < 1 or seed < 0:
        raise UsageError("A cine needs at least one frame and a seed of at least 0")
    device, transducer = look.device, look.transducer
    grid = polar_grid(transducer, look.depth_mm)
    scan = scan_map(transducer, look.depth_mm, device.placement)
    overlay = draw_overlay(device, scan, look.depth_mm)
    scene = _Scene(look, findings, grid, np.random.default_rng(seed))
    grey_map = _grey_map(device)
    frames = np.empty((n_frames, *scan.inside.shape), np.uint8)
    frames[:] = np.rint(overlay @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    shape, own = scan.inside.shape, np.random.default_rng([seed, *b"texture"])
    texture = PictureTexture(device.texture, (shape[0], shape[1]), own) if device.texture is not None else None
    truth, before = [], None
    for i in range(n_frames):
        level_db, seen = scene.frame(i / device.frame_rate_hz)
        if before is not None:
            level_db += np.float32(device.persistence) * (before - level_db)
        before = level_db
        levels = scan.convert(level_db)
        if texture is not None:
            levels += texture.next()[scan.inside]
        steps = levels * np.float32((GREYS - 1) / device.dynamic_range_db) + np.float32(GREYS - 1)
        frames[i][scan.inside] = grey_map[np.clip(steps, 0, GREYS - 1).astype(np.uint8)]
        truth.append(seen)
    return SyntheticClip(look, findings, frames, tuple(truth), overlay, scan.inside, scan.px_per_mm, scan.face_px)


def _grey_map(device: Device) -> NDArray[np.uint8]:
    """Grey of each step of the dynamic range."""
    share = np.linspace(0, 1, GREYS)
    greys: NDArray[np.uint8] = np.rint(248 * share**device.gamma).astype(np.uint8)
    return greys


class _Scene:
    """Everything of a clip that is drawn once."""

    def __init__(self, look: PatientLook, findings: Findings, grid: Grid, generator: np.random.Generator) -> None:
        self._look, self._findings, self._grid = look, findings, grid
        device, grain = look.device, look.device.grain
        pleural = findings.view == "pleural"
        self._motion = Motion.draw(generator)
        low, high = EXCURSION_MM[findings.view]
        self._half_mm = grid.transducer.half_width_mm(look.habitus.wall_mm)
        self._excursion_mm = float(generator.uniform(low, high)) if findings.sliding else 0.0
        self._pulse_mm = PULSE_MM if findings.pulse or findings.sliding else 0.0
        ribs = bool(generator.random() < (0.35 if pleural else 0.65))
        tilt_mm = float(generator.normal(0, 1.6))
        wall = build_wall(grid, grain, look.habitus, generator, ribs=ribs, tilt_mm=tilt_mm, conditions=look.conditions)
        self._attenuation = intensity(-look.attenuation_db_mm * grid.depth_mm)
        still, self._lung_tissue = Tissue(grid, grain, generator), Tissue(grid, grain, generator)
        self._clutter = _clutter(grid, generator)
        speckle = still.shifted(0)
        self._wall = wall.speckled * speckle + wall.specular * (0.5 + 0.5 * speckle) + self._clutter * speckle
        self._costophrenic = Costophrenic(grid, wall, findings, generator) if pleural else None
        self._organ_tissue = Tissue(grid, grain, generator) if pleural else None
        surface, room = wall.pleura_mm, room_between_ribs(grid, wall.window)
        if self._costophrenic is not None:
            surface = self._costophrenic.surface_mm()
            room = (min(-0.85, self._costophrenic.edge - 0.1), self._costophrenic.edge - 0.06)
        self._lung = Lung(
            grid,
            grain,
            wall,
            findings,
            generator,
            surface_mm=surface,
            room=room,
            compensation=intensity(look.attenuation_db_mm * grid.depth_mm),
            conditions=look.conditions,
        )
        self._patch = (
            Consolidation(grid, generator, surface_mm=surface, thickness_mm=findings.consolidation_mm, room=room)
            if findings.consolidation_mm
            else None
        )
        self._shadow = wall.shadow
        self._contact = _contact(grid, generator)
        self._noise = Noise(generator)
        self._noise_floor = intensity(device.noise_db + device.noise_slope_db_mm * grid.depth_mm)
        self._hand_lines = float(generator.uniform(0, HAND_LINES))
        self._gain_db = look.gain_db + float(generator.normal(0, 0.7))
        self._unevenness = _unevenness(look.conditions, generator)

    def frame(self, time_s: float) -> tuple[Floats, FrameTruth]:
        """Level in decibels below white ``(n_depths, n_lines)``, and what it shows."""
        breath, pulse = self._motion.breath(time_s), self._motion.pulse(time_s)
        slide = (self._excursion_mm * breath + self._pulse_mm * pulse) / self._half_mm
        lines = slide * (N_LINES - 1) / 2
        view = self._costophrenic.frame(breath, pulse) if self._costophrenic is not None else None
        cover = view.lung if view is not None else np.ones(N_LINES, np.float32)
        seen = self._lung.frame(slide, self._motion.phase(time_s), cover)
        speckled, specular, a_lines = seen.speckled, seen.specular, seen.a_lines
        if self._patch is not None:
            within, tissue, bright, covered = self._patch.frame(lines)
            speckled = speckled * (1 - within) * (1 - 0.7 * covered) + tissue * self._shadow
            specular = specular * (1 - within) + bright * self._shadow
        speckle = self._lung_tissue.shifted(lines)
        deep = speckled * self._unevenness * speckle + specular * (0.5 + 0.5 * speckle)
        lung_in_view, fluid = True, 0.0
        if view is not None and self._organ_tissue is not None:
            speckle = self._organ_tissue.shifted(lines, 2.0 * breath)
            organ = view.speckled * speckle + view.specular * (0.2 + 0.8 * speckle)
            deep = deep * view.lung + organ * (1 - view.lung)
            lung_in_view, fluid = bool(view.lung.mean() > 0.06), view.fluid
        total = (self._wall + deep) * self._attenuation * self._contact + self._noise_floor * self._noise.next()
        total = _moved_aside(total, self._hand_lines * self._motion.hand(time_s))
        level: Floats = np.float32(10) * np.log10(total) + np.float32(self._gain_db)
        return level, FrameTruth(
            lung=lung_in_view,
            n_b_lines=seen.n_b_lines if lung_in_view else 0,
            a_lines=a_lines and lung_in_view,
            effusion=fluid > VISIBLE_FLUID,
            consolidation=bool(self._findings.consolidation_mm) or self._findings.atelectasis,
        )


def _moved_aside(field: Floats, lines: float) -> Floats:
    """A field ``(n_depths, n_lines)`` moved right by up to a few beam lines, its sides drawn out."""
    places = np.clip(np.arange(N_LINES, dtype=np.float32) - np.float32(lines), 0, N_LINES - 1)
    left = np.minimum(places.astype(np.intp), N_LINES - 2)
    share = places - left
    moved: Floats = field[:, left] * (1 - share) + field[:, left + 1] * share
    return moved


def _clutter(grid: Grid, generator: np.random.Generator) -> Floats:
    """Ring-down of the transducer, and haze of reverberations in its first centimetres."""
    depth = grid.depth_mm
    bars = 1 + 0.6 * np.sin(2 * np.pi * depth / np.float32(generator.uniform(1.0, 2.2)))
    ring = intensity(generator.uniform(-26, -14) - 3.0 * depth) * bars
    haze = intensity(generator.uniform(-52, -40) - 0.45 * depth) * bars
    total: Floats = ring + haze
    return total


def _unevenness(conditions: Conditions, generator: np.random.Generator) -> Floats:
    """Streaks across the beam, columns along it and slow shading of what lies below the pleura ``(n_depths, n_lines)``."""
    if conditions == CLEAR:
        return np.ones((1, 1), np.float32)
    streaks = smooth_field(generator, STREAK_ROWS, STREAK_LINES)
    leaning = (LEANING_ROWS * smooth_field(generator, N_DEPTHS / 8, N_LINES / 8)).astype(np.intp)
    streaks = np.take_along_axis(streaks, (np.arange(N_DEPTHS)[:, None] + leaning) % N_DEPTHS, axis=0)
    level = conditions.streaks_db * streaks + conditions.echoes_db * np.maximum(streaks - 1, 0)
    level += conditions.shading_db * smooth_field(generator, N_DEPTHS / 5, N_LINES / 5)
    level += np.float32(conditions.columns_db) * smooth_curve(generator, COLUMN_LINES)
    return intensity(level)


def _contact(grid: Grid, generator: np.random.Generator) -> Floats:
    """What is left of each line where the sides of the transducer touch the skin badly ``(n_lines,)``."""
    loss = 0.8 * smooth_curve(generator, 6)
    for side in (-1, 1):
        if generator.random() < 0.75:
            start, most = generator.uniform(0.35, 0.9), generator.uniform(4, 24)
            loss = loss - np.float32(most) * ramp(side * grid.across - np.float32(start + 0.2), 0.5)
    return intensity(loss)
