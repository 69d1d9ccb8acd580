"""Where beams go: the polar grid of beam lines and depths, and how it is drawn as a picture.

A convex array looks from an arc, a linear one from a straight face, a phased one nearly from a point; a beam line is a row of
depths along one direction (Szabo, Diagnostic Ultrasound Imaging, chapter 10). Everything is simulated on this grid and
scan-converted once a frame by a map that is made once a transducer, depth and layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Reals = NDArray[np.floating[Any]]
ProbeKind = Literal["convex", "linear", "phased"]
N_DEPTHS = 320
N_LINES = 128


@dataclass(frozen=True, slots=True)
class Transducer:
    """Shape of an array.

    :param radius_mm: from the point where the beam lines meet to the face; of no meaning for a linear array.
    :param half_angle_deg: from the middle to the outermost beam line; of no meaning for a linear array.
    :param width_mm: of a linear array's face; of no meaning for others.
    """

    kind: ProbeKind
    radius_mm: float = 0.0
    half_angle_deg: float = 0.0
    width_mm: float = 0.0

    @property
    def half_angle(self) -> float:
        """Radians from the middle to the outermost beam line."""
        return float(np.radians(self.half_angle_deg))

    def half_width_mm(self, depth_mm: float) -> float:
        """Length of the arc (or line) from the middle to the outermost beam line at a depth."""
        return self.width_mm / 2 if self.kind == "linear" else self.half_angle * (self.radius_mm + depth_mm)


@dataclass(frozen=True, slots=True)
class Placement:
    """Where in a picture the beam may be drawn, in pixels.

    :param x0: left edge of the room for the beam; ``y0``, ``x1``, ``y1`` likewise, half open.
    :param overflow: share of the beam's width that the room's sides may cut off, as many machines do.
    :param face_cut: share of a curved face's height that the room's top cuts off; above 1 it cuts into the beam.
    """

    height: int
    width: int
    x0: int
    y0: int
    x1: int
    y1: int
    overflow: float = 0.0
    face_cut: float = 0.0


@dataclass(frozen=True, slots=True)
class Grid:
    """Coordinates of the polar grid's points.

    :param depth_mm: ``(n_depths, 1)`` along the beam, from the face.
    :param across: ``(n_lines,)`` from -1 (left) to 1 (right).
    :param x_mm: ``(n_depths, n_lines)`` to the right of the middle; ``z_mm`` likewise downwards from the face's middle.
    """

    transducer: Transducer
    step_mm: float
    depth_mm: Floats
    across: Floats
    x_mm: Floats
    z_mm: Floats

    @property
    def angle(self) -> Floats:
        """Direction of each beam line ``(n_lines,)``, radians from straight down."""
        return self.across * np.float32(self.transducer.half_angle if self.transducer.kind != "linear" else 0.0)


@lru_cache(maxsize=32)
def polar_grid(transducer: Transducer, depth_mm: float) -> Grid:
    """The grid of a transducer at a depth setting."""
    depth = np.linspace(0, depth_mm, N_DEPTHS, dtype=np.float32)[:, None]
    across = np.linspace(-1, 1, N_LINES, dtype=np.float32)
    if transducer.kind == "linear":
        x = np.broadcast_to(across * np.float32(transducer.width_mm / 2), (N_DEPTHS, N_LINES))
        z = np.broadcast_to(depth, (N_DEPTHS, N_LINES))
    else:
        angle = across * np.float32(transducer.half_angle)
        radius = depth + np.float32(transducer.radius_mm)
        x, z = radius * np.sin(angle), radius * np.cos(angle) - np.float32(transducer.radius_mm)
    return Grid(transducer, depth_mm / (N_DEPTHS - 1), depth, across, np.ascontiguousarray(x), np.ascontiguousarray(z))


@dataclass(frozen=True, slots=True)
class ScanMap:
    """Bilinear interpolation from the grid to a picture's pixels.

    :param inside: ``(height, width)``, True where the beam is.
    :param px_per_mm: the same across and down.
    :param face_px: column and row of the middle of the transducer's face.
    """

    inside: NDArray[np.bool_]
    px_per_mm: float
    face_px: tuple[float, float]
    corners: NDArray[np.int32]
    weights: Floats

    def convert(self, polar: Floats) -> Floats:
        """Values of the pixels inside, in row order.

        :param polar: ``(n_depths, n_lines)``.
        """
        flat = polar.ravel()
        total: Floats = flat.take(self.corners[0])
        total *= self.weights[0]
        for corner, weight in zip(self.corners[1:], self.weights[1:], strict=True):
            total += flat.take(corner) * weight
        return total


def beam_size_mm(transducer: Transducer, depth_mm: float, face_cut: float) -> tuple[float, float]:
    """Width and height of a beam. The ends of a convex face lie above its middle; a cut leaves less of them."""
    if transducer.kind == "linear":
        return transducer.width_mm, depth_mm
    radius, half_angle = transducer.radius_mm, transducer.half_angle
    above_mm = radius * (1 - np.cos(half_angle)) * (1 - face_cut)
    return 2 * (radius + depth_mm) * np.sin(half_angle), depth_mm + above_mm


@lru_cache(maxsize=32)
def scan_map(transducer: Transducer, depth_mm: float, placement: Placement) -> ScanMap:
    """The map from a transducer's grid at a depth setting to a layout's pixels."""
    linear = transducer.kind == "linear"
    half_angle, radius = transducer.half_angle, transducer.radius_mm
    width_mm, height_mm = beam_size_mm(transducer, depth_mm, placement.face_cut)
    half_span, top_mm = width_mm / 2, depth_mm - height_mm
    height, width = placement.y1 - placement.y0, placement.x1 - placement.x0
    scale = min(height / height_mm, width / (width_mm * (1 - placement.overflow)))
    middle = (placement.x0 + placement.x1 - 1) / 2
    face_row = placement.y0 - top_mm * scale
    y, x = np.mgrid[: placement.height, : placement.width].astype(np.float32)
    across_mm, down_mm = (x - middle) / scale, (y - face_row) / scale
    if linear:
        depth, across = down_mm, across_mm / half_span
    else:
        depth = np.hypot(down_mm + radius, across_mm) - radius
        across = np.arctan2(across_mm, down_mm + radius) / half_angle
    room = (x >= placement.x0) & (x < placement.x1) & (y >= placement.y0) & (y < placement.y1)
    inside = room & (depth >= 0) & (depth <= depth_mm) & (np.abs(across) <= 1)
    row = depth[inside] / depth_mm * (N_DEPTHS - 1)
    column = (across[inside] + 1) / 2 * (N_LINES - 1)
    first_row = np.minimum(row.astype(np.int32), N_DEPTHS - 2)
    first_column = np.minimum(column.astype(np.int32), N_LINES - 2)
    down, right = row - first_row, column - first_column
    base = first_row * N_LINES + first_column
    corners = np.stack([base, base + 1, base + N_LINES, base + N_LINES + 1]).astype(np.int32)
    weights = np.stack([(1 - down) * (1 - right), (1 - down) * right, down * (1 - right), down * right])
    return ScanMap(inside, float(scale), (float(middle), float(face_row)), corners, weights.astype(np.float32))
