"""Speckle: what the echoes of unresolved scatterers add up to (Wagner et al. 1983, Burckhardt 1978).

Scatterers are complex random numbers on the polar grid. A point-spread function that widens with depth makes a correlated
complex field of them, whose magnitude is Rayleigh distributed. Tissue that moves carries its field along, so that speckle
moves with it, and changes where the movement is not a whole number of beam lines.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lusfx.synth.geometry import N_DEPTHS, N_LINES, Floats, Grid

MARGIN_LINES = 40
"""Beam lines beside those shown, on either side, for tissue to slide in from."""
MARGIN_DEPTHS = 16
WIDE = N_LINES + 2 * MARGIN_LINES
NOISE_ROOM = 96
"""Rows and columns of spare noise, so that each frame takes another piece of it."""


@dataclass(frozen=True, slots=True)
class Grain:
    """Point-spread function of a machine.

    :param axial_mm: standard deviation along the beam; the length of the pulse.
    :param lateral_mm: standard deviation across it at the focus; beyond and before, it widens in proportion to the distance.
    :param focus_mm: depth of the focus.
    :param n_looks: fields whose intensities are averaged, as spatial compounding does; more make smoother speckle.
    """

    axial_mm: float
    lateral_mm: float
    focus_mm: float
    n_looks: int = 1


@dataclass(frozen=True, slots=True)
class Texture:
    """Fine texture of a machine's pictures, which its own processing leaves.

    :param level_db: standard deviation.
    :param down_px: pixels over which it stays alike (standard deviation of its filter), down; ``across_px`` likewise.
    """

    level_db: float
    down_px: float
    across_px: float


class Tissue:
    """Intensity of speckle, mean 1, that can be shifted.

    :param generator: draws the scatterers.
    """

    def __init__(self, grid: Grid, grain: Grain, generator: np.random.Generator) -> None:
        self._fields = [_field(grid, grain, generator) for _ in range(grain.n_looks)]

    def shifted(self, lines: float, depths: float = 0.0) -> Floats:
        """Intensity ``(n_depths, n_lines)`` after the tissue moved right by some beam lines, and down by some depths.

        Movements are held within the margins.
        """
        total = np.zeros((N_DEPTHS, N_LINES), np.float32)
        for real, imaginary in self._fields:
            total += shift(real, lines, depths) ** 2
            total += shift(imaginary, lines, depths) ** 2
        total /= np.float32(len(self._fields))
        return total


def shift(field: Floats, lines: float, depths: float = 0.0) -> Floats:
    """The part of a field with margins that is seen after it moved right and down.

    :param field: ``(n_depths + 2 margins, n_lines + 2 margins)``, or without the margin in depth; then it does not move down.
    """
    first = float(np.clip(MARGIN_LINES - lines, 0, 2 * MARGIN_LINES - 1))
    column = int(first)
    share = np.float32(first - column)
    if field.shape[0] > N_DEPTHS:
        start = float(np.clip(MARGIN_DEPTHS - depths, 0, 2 * MARGIN_DEPTHS - 1))
        row = int(start)
        below = np.float32(start - row)
        field = field[row : row + N_DEPTHS] * (1 - below) + field[row + 1 : row + 1 + N_DEPTHS] * below
    seen: Floats = field[:, column : column + N_LINES] * (1 - share)
    seen += field[:, column + 1 : column + 1 + N_LINES] * share
    return seen


def _field(grid: Grid, grain: Grain, generator: np.random.Generator) -> tuple[Floats, Floats]:
    """Real and imaginary part of a complex field under the point-spread function, each of variance a half."""
    from scipy import fft, ndimage

    shape = (N_DEPTHS + 2 * MARGIN_DEPTHS, WIDE)
    scatterers = generator.standard_normal((2, *shape), np.float32)
    parts = ndimage.gaussian_filter1d(scatterers, grain.axial_mm / grid.step_mm, axis=1, mode="wrap")
    # Each row has a width of its own, so the rows are filtered by their transforms.
    rows = np.clip(np.arange(shape[0]) - MARGIN_DEPTHS, 0, N_DEPTHS - 1)
    sigma = lateral_lines(grid, grain)[rows, None]
    frequency = np.arange(WIDE // 2 + 1, dtype=np.float32) * np.float32(2 * np.pi / WIDE)
    transfer = np.exp(-0.5 * (sigma * frequency) ** 2)
    filtered = fft.irfft(fft.rfft(parts, axis=2) * transfer, n=WIDE, axis=2).astype(np.float32)
    # A wide function averages more scatterers, and must not darken the depth for it.
    power = ndimage.gaussian_filter1d(np.mean(filtered**2, axis=(0, 2)), 8, mode="nearest")
    filtered /= np.sqrt(2 * power)[None, :, None]
    return filtered[0], filtered[1]


def lateral_lines(grid: Grid, grain: Grain) -> Floats:
    """Standard deviation of the point-spread function across the beam at each depth, in beam lines ``(n_depths,)``."""
    depth = grid.depth_mm[:, 0]
    transducer = grid.transducer
    if transducer.kind == "linear":
        half_width = np.full_like(depth, transducer.width_mm / 2)
    else:
        half_width = np.float32(transducer.half_angle) * (depth + np.float32(transducer.radius_mm))
    sigma_mm = grain.lateral_mm * (1 + np.abs(depth - grain.focus_mm) / grain.focus_mm)
    lines: Floats = np.clip(sigma_mm / (2 * half_width / (N_LINES - 1)), 0.7, 12).astype(np.float32)
    return lines


class Noise:
    """Noise of the receiver: as fine as the pulse, new in each frame (mean intensity 1)."""

    def __init__(self, generator: np.random.Generator) -> None:
        shape = (N_DEPTHS + NOISE_ROOM, N_LINES + NOISE_ROOM)
        draws = generator.standard_normal((2, *shape), np.float32)
        draws[:, 1:] += draws[:, :-1]  # the receiver's bandwidth
        draws[:, :, 1:] += np.float32(0.6) * draws[:, :, :-1]
        self._intensity = (draws**2).sum(axis=0)
        self._intensity /= self._intensity.mean()
        self._generator = generator

    def next(self) -> Floats:
        """One frame's noise ``(n_depths, n_lines)``."""
        return _piece(self._intensity, self._generator)


class PictureTexture:
    """Texture of a clip's pictures, another piece of it in each frame (mean 0)."""

    def __init__(self, texture: Texture, shape: tuple[int, int], generator: np.random.Generator) -> None:
        from scipy import ndimage

        room = (shape[0] + NOISE_ROOM, shape[1] + NOISE_ROOM)
        field = ndimage.gaussian_filter(
            generator.standard_normal(room, np.float32), (texture.down_px, texture.across_px)
        )
        self._field: Floats = np.float32(texture.level_db) * field / field.std()
        self._generator = generator

    def next(self) -> Floats:
        """Decibels ``(height, width)``."""
        return _piece(self._field, self._generator)


def _piece(field: Floats, generator: np.random.Generator) -> Floats:
    """All of a field but :data:`NOISE_ROOM` rows and columns, from a place drawn anew."""
    row, column = generator.integers(0, NOISE_ROOM, 2)
    height, width = field.shape
    piece: Floats = field[row : row + height - NOISE_ROOM, column : column + width - NOISE_ROOM]
    return piece


def smooth_field(generator: np.random.Generator, depths: float, lines: float) -> Floats:
    """A random field ``(n_depths, n_lines)`` of mean 0 and standard deviation 1.

    :param depths: over how many it stays alike; ``lines`` likewise.
    """
    from scipy import ndimage

    draws = ndimage.gaussian_filter(generator.standard_normal((N_DEPTHS, N_LINES), np.float32), (depths, lines))
    field: Floats = (draws - draws.mean()) / draws.std()
    return field


def smooth_curve(generator: np.random.Generator, length: float, n: int = N_LINES) -> Floats:
    """A random curve ``(n,)`` of mean 0 and standard deviation near 1.

    :param length: points over which it stays alike.
    """
    curve: Floats = smooth_curves(generator, 1, length, n)[0]
    return curve


def smooth_curves(generator: np.random.Generator, n_curves: int, length: float, n: int = N_LINES) -> Floats:
    """Several such curves ``(n_curves, n)``."""
    from scipy import ndimage

    room = int(4 * length) + 1
    draws = generator.standard_normal((n_curves, n + 2 * room), np.float32)
    curves: Floats = ndimage.gaussian_filter1d(draws, length, axis=1)[:, room : room + n]
    return curves * np.float32(np.sqrt(2 * np.sqrt(np.pi) * length))
