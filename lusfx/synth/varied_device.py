"""Machines drawn at random, each another: for encoders that are to take any machine's pictures (domain randomisation)."""

from __future__ import annotations

import numpy as np

from lusfx.synth.device import Decoration, Device
from lusfx.synth.geometry import Placement, Transducer
from lusfx.synth.speckle import Grain, Texture

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
            overflow=between(0.0, 0.3),
            face_cut=max(0.0, between(-0.3, 2.8)),
        ),
        frame_rate_hz=int(generator.integers(12, 31)),
        dynamic_range_db=between(52, 88),
        gamma=between(0.9, 2.2),
        noise_db=between(-80, -50),
        noise_slope_db_mm=between(0.02, 0.15),
        persistence=between(0.0, 0.3),
        grain=Grain(
            axial_mm=between(0.16, 0.45),
            lateral_mm=between(0.45, 1.5),
            focus_mm=between(30, 65),
            n_looks=int(generator.integers(1, 7)),
        ),
        transducers=(
            Transducer("convex", radius_mm=between(35, 66), half_angle_deg=between(26, 40)),
            Transducer("linear", width_mm=between(36, 56)),
            Transducer("phased", radius_mm=between(2, 6), half_angle_deg=between(34, 46)),
        ),
        decoration=Decoration(marker=False),
        texture=Texture(level_db=between(0.0, 4.0), down_px=between(0.6, 1.8), across_px=between(1.0, 4.0)),
    )
