"""Simulated B-mode cines of the lung, for tests and first runs. Synthetic, and called so wherever it appears.

Scatterers are drawn on a polar grid (beam lines x depth), blurred by a point-spread function that widens with depth, given
the anatomy's echo strengths and attenuation, log-compressed, and scan-converted to a sector or a rectangle. What is drawn
follows Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800): A-lines are repetitions of the pleural line at multiples
of its depth; B-lines begin at the pleura, reach the bottom without fading, erase A-lines, and move with the pleura.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import UsageError

N_LINES = 96
N_DEPTHS = 256
DYNAMIC_RANGE_DB = 55.0
BREATHS_HZ = 0.25
EXCURSION = 0.08
"""How far the lung slides to either side of its middle position, as a share of half the sector's width."""
MARGIN_LINES = 16
"""Beam lines of speckle on either side of those shown, for the lung to slide in from."""
MARGIN = 0.04
"""Empty border about the beam, as a share of the picture's side."""
MARK = "SYNTHETIC"
MARK_GREY = 190


@dataclass(frozen=True, slots=True)
class PatientLook:
    """What stays the same for all clips of a patient, and says nothing of the disease.

    :param convex: sector of a convex array, or else rectangle of a linear one.
    :param depth_mm: depth shown; ``wall_mm`` is the depth of the pleura.
    :param gain_db: added before compression; ``attenuation_db_mm`` is what time-gain compensation leaves.
    """

    convex: bool
    depth_mm: float
    wall_mm: float
    gain_db: float
    attenuation_db_mm: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> PatientLook:
        """A patient and a machine's settings at random."""
        return cls(
            convex=bool(generator.random() < 0.8),
            depth_mm=float(generator.uniform(80, 130)),
            wall_mm=float(generator.uniform(16, 28)),
            gain_db=float(generator.uniform(-4, 4)),
            attenuation_db_mm=float(generator.uniform(0.10, 0.22)),
        )


@dataclass(frozen=True, slots=True)
class LungPattern:
    """What the lung shows.

    :param a_lines: whether the pleural line repeats.
    :param n_b_lines: B-lines in view; ``b_line_width`` is their half width as a share of the sector's.
    """

    a_lines: bool
    n_b_lines: int
    b_line_width: float = 0.03


def simulate(
    look: PatientLook,
    pattern: LungPattern,
    *,
    seed: int,
    n_frames: int = 24,
    frame_rate_hz: float = 20,
    side_px: int = 224,
) -> NDArray[np.uint8]:
    """Draw a cine.

    :param side_px: height and width; below about 125 there is no room beside the beam for the word *synthetic*.
    :returns: ``(n_frames, side_px, side_px)`` grey; the same for the same arguments.
    :raises UsageError: no frame, no pixel, no positive frame rate, or a negative seed.
    """
    from scipy import ndimage

    if min(n_frames, side_px) < 1 or frame_rate_hz <= 0 or seed < 0:
        raise UsageError("A cine needs at least one frame, one pixel, a positive frame rate and a seed of at least 0")
    generator = np.random.default_rng(seed)
    depths_mm = np.linspace(0, look.depth_mm, N_DEPTHS)[:, None]
    across = np.linspace(-1, 1, N_LINES)[None, :]
    phase = generator.uniform(0, 2 * np.pi)
    b_positions = generator.uniform(-0.8, 0.8, pattern.n_b_lines)
    speckle = _speckle(generator)
    rows, columns, inside = _scan_conversion(look, side_px)
    frames = np.repeat(_overlay(side_px, inside)[None], n_frames, axis=0)
    for i in range(n_frames):
        breath = np.sin(2 * np.pi * BREATHS_HZ * i / frame_rate_hz + phase)
        wall = speckle[:, MARGIN_LINES : MARGIN_LINES + N_LINES]
        slide = EXCURSION * breath  # beneath the pleura, scatterers and B-lines move with the lung
        first = MARGIN_LINES - round(slide * (N_LINES - 1) / 2)
        lung = speckle[:, first : first + N_LINES]
        echo_db = _echo_db(look, pattern, depths_mm, across, b_positions + slide)
        scatter = np.where(depths_mm < look.wall_mm, wall, lung)
        noise = generator.normal(0, 0.6, scatter.shape)
        level_db = echo_db + 20 * np.log10(scatter) + noise + look.gain_db
        polar = np.clip((level_db + DYNAMIC_RANGE_DB) / DYNAMIC_RANGE_DB, 0, 1) * 235
        image = ndimage.map_coordinates(polar, [rows, columns], order=1)
        frames[i][inside] = image.astype(np.uint8)
    return frames


def _speckle(generator: np.random.Generator) -> NDArray[np.float64]:
    """Envelope of random scatterers under a point-spread function that widens with depth; mean 1."""
    from scipy import ndimage

    shape = (N_DEPTHS, N_LINES + 2 * MARGIN_LINES)
    field = generator.normal(size=shape) + 1j * generator.normal(size=shape)
    near = ndimage.gaussian_filter(field, (1.0, 0.8))
    far = ndimage.gaussian_filter(field, (1.2, 3.0))
    share = np.linspace(0, 1, N_DEPTHS)[:, None]
    envelope = np.abs((1 - share) * near / np.std(near) + share * far / np.std(far))
    normalised: NDArray[np.float64] = np.maximum(envelope / envelope.mean(), 1e-2)
    return normalised


def _echo_db(
    look: PatientLook,
    pattern: LungPattern,
    depths_mm: NDArray[np.float64],
    across: NDArray[np.float64],
    b_positions: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Mean echo level (decibel) before speckle: chest wall, pleural line, what lies beneath it."""
    curve_mm = look.wall_mm + 1.5 * across**2
    beneath = depths_mm > curve_mm
    layers = 6 * np.sin(2 * np.pi * depths_mm / 5.5)
    level = np.where(beneath, -34.0, -20.0 + layers)
    level = level - look.attenuation_db_mm * depths_mm
    level = np.maximum(level, _line(depths_mm - curve_mm, 0.9, -3.0))
    erased = np.zeros_like(across, dtype=np.bool_)
    for position in b_positions:
        offset = np.abs(across - position) / pattern.b_line_width
        erased |= offset < 1.2
        ray = np.where(beneath, -13.0 - 9.0 * offset**2, -np.inf)
        level = np.maximum(level, ray)
    if pattern.a_lines:
        for order in (2, 3, 4):
            repeated = _line(depths_mm - order * curve_mm, 1.1, -9.0 - 5.0 * (order - 2))
            level = np.maximum(level, np.where(erased, -np.inf, repeated))
    return level


def _line(distance_mm: NDArray[np.float64], half_width_mm: float, peak_db: float) -> NDArray[np.float64]:
    return peak_db - 6.0 * (distance_mm / half_width_mm) ** 2


def _scan_conversion(
    look: PatientLook, side_px: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """For each pixel of the beam, where on the polar grid it lies (row, column), and which pixels those are."""
    y, x = np.mgrid[:side_px, :side_px] / (side_px - 1)
    if look.convex:
        half_angle, face = np.radians(33), 0.42  # radius of the transducer's face, in depths shown
        scale = (1 - 2 * MARGIN) / (1 + face * (1 - np.cos(half_angle)))
        down = (y - MARGIN) / scale + face * np.cos(half_angle)
        sideways = (x - 0.5) / scale
        depth = np.hypot(down, sideways) - face
        across = np.arctan2(sideways, down) / half_angle
    else:
        depth, across = (y - MARGIN) / (1 - 2 * MARGIN), (x - 0.5) / (0.5 - 2 * MARGIN)
    inside = (depth >= 0) & (depth <= 1) & (np.abs(across) <= 1)
    return depth[inside] * (N_DEPTHS - 1), (across[inside] + 1) / 2 * (N_LINES - 1), inside


def _overlay(side_px: int, inside: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """The word *synthetic*, upright along the left border, where no beam is: ``(side_px, side_px)`` grey."""
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default_imagefont()  # the same pixels with and without FreeType
    left, top, right, bottom = (int(edge) for edge in font.getbbox(MARK))
    word = Image.new("L", (right - left, bottom - top))
    ImageDraw.Draw(word).text((-left, -top), MARK, fill=MARK_GREY, font=font)
    picture = Image.new("L", (side_px, side_px))
    picture.paste(word.rotate(90, expand=True), (2, 2))
    overlay = np.array(picture)
    return overlay if not overlay[inside].any() else np.zeros_like(overlay)
