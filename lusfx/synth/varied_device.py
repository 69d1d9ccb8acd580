"""Machines drawn at random, each another: for encoders that are to take any machine's pictures (domain randomisation)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lusfx.synth.device import Decoration, Device
from lusfx.synth.geometry import Placement, Transducer
from lusfx.synth.speckle import Grain, Texture

NAME = "synthetic-varied"
Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class MachineRanges:
    """From where to where machines are drawn; what is not here is the same for all.

    :param overflow: share of the beam's width that is cut off at the sides.
    :param face_cut: as in :class:`Placement`, below 0 for none; None where no face is ever cut.
    :param n_looks: fewest, and one more than most.
    :param texture_db: of the picture's own texture; None where pictures have none.
    """

    overflow: Range
    face_cut: Range | None
    dynamic_range_db: Range
    gamma: Range
    noise_db: Range
    axial_mm: Range
    lateral_mm: Range
    n_looks: tuple[int, int]
    linear_mm: Range
    texture_db: Range | None


CLEAR_MACHINES = MachineRanges(
    overflow=(0.0, 0.4),
    face_cut=None,
    dynamic_range_db=(42, 72),
    gamma=(0.75, 1.5),
    noise_db=(-76, -46),
    axial_mm=(0.24, 0.5),
    lateral_mm=(0.6, 1.7),
    n_looks=(1, 4),
    linear_mm=(34, 54),
    texture_db=None,
)
HARD_MACHINES = MachineRanges(
    overflow=(0.0, 0.3),
    face_cut=(-0.3, 2.8),
    dynamic_range_db=(52, 88),
    gamma=(0.9, 2.2),
    noise_db=(-80, -50),
    axial_mm=(0.16, 0.45),
    lateral_mm=(0.45, 1.5),
    n_looks=(1, 7),
    linear_mm=(36, 56),
    texture_db=(0.0, 4.0),
)


def draw_device(generator: np.random.Generator, ranges: MachineRanges) -> Device:
    """A machine with layout, grey map, noise, grain and transducers of its own, within ranges that real ones span."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    def texture() -> Texture | None:
        if ranges.texture_db is None:
            return None
        return Texture(between(*ranges.texture_db), down_px=between(0.6, 1.8), across_px=between(1.0, 4.0))

    side = 2 * int(generator.integers(115, 170))  # video needs even sides
    return Device(
        name=NAME,
        placement=Placement(
            side,
            side,
            int(between(0, 20)),
            int(between(0, 24)),
            side - int(between(0, 20)),
            side - int(between(0, 24)),
            overflow=between(*ranges.overflow),
            face_cut=max(0.0, between(*ranges.face_cut)) if ranges.face_cut is not None else 0.0,
        ),
        frame_rate_hz=int(generator.integers(12, 31)),
        dynamic_range_db=between(*ranges.dynamic_range_db),
        gamma=between(*ranges.gamma),
        noise_db=between(*ranges.noise_db),
        noise_slope_db_mm=between(0.02, 0.15),
        persistence=between(0.0, 0.3),
        grain=Grain(
            axial_mm=between(*ranges.axial_mm),
            lateral_mm=between(*ranges.lateral_mm),
            focus_mm=between(30, 65),
            n_looks=int(generator.integers(*ranges.n_looks)),
        ),
        transducers=(
            Transducer("convex", radius_mm=between(35, 66), half_angle_deg=between(26, 40)),
            Transducer("linear", width_mm=between(*ranges.linear_mm)),
            Transducer("phased", radius_mm=between(2, 6), half_angle_deg=between(34, 46)),
        ),
        decoration=Decoration(marker=False),
        texture=texture(),
    )
