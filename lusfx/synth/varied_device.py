"""Machines drawn at random, each another: for encoders that are to take any machine's pictures (domain randomisation)."""

from __future__ import annotations

import numpy as np

from lusfx.synth.device import Decoration, Device
from lusfx.synth.geometry import Placement, Transducer
from lusfx.synth.speckle import Grain

NAME = "synthetic-varied"


def draw_device(generator: np.random.Generator) -> Device:
    """A machine with layout, grey map, noise, grain and transducers of its own, within ranges that real ones span."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

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
            overflow=between(0.0, 0.4),
        ),
        frame_rate_hz=int(generator.integers(12, 31)),
        dynamic_range_db=between(42, 72),
        gamma=between(0.75, 1.5),
        noise_db=between(-76, -46),
        noise_slope_db_mm=between(0.02, 0.15),
        persistence=between(0.0, 0.3),
        grain=Grain(
            axial_mm=between(0.24, 0.5),
            lateral_mm=between(0.6, 1.7),
            focus_mm=between(30, 65),
            n_looks=int(generator.integers(1, 4)),
        ),
        transducers=(
            Transducer("convex", radius_mm=between(35, 66), half_angle_deg=between(26, 40)),
            Transducer("linear", width_mm=between(34, 54)),
            Transducer("phased", radius_mm=between(2, 6), half_angle_deg=between(34, 46)),
        ),
        decoration=Decoration(marker=False),
    )
