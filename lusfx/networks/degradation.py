"""Frames as a poorer examination would have given them: bad contact, low gain, haze, noise.

Simulated findings stand out from their surroundings; on patients they often hardly do. What is drawn here takes contrast away
in the ways in which examinations lose it, so that a network cannot rely on clear pictures.
"""

from __future__ import annotations

import torch

from lusfx.networks.draws import Draws

SHADING = (-1.0, 0.5)
"""Natural logarithm of what smooth shading multiplies with, at the points of a coarse grid; gains come on top."""
SHADING_POINTS, HAZE_POINTS = 4, 3
GAIN = (0.35, 1.05)
HAZE = (0.0, 0.10)
"""Mean share of the way to white that haze lifts the dark."""
HAZE_SPREAD = (-1.5, 0.7)
NOISE = (0.0, 0.04)
"""Standard deviation of noise in black; in white it is more than four times as much."""
NOISE_IN_BLACK = 0.3


def degraded(frames: torch.Tensor, beam: torch.Tensor, draws: Draws) -> torch.Tensor:
    """Degrade frames ``(n, 1, size, size)`` in [0, 1], each in its own way; what is outside the beam stays black.

    :param beam: the same shape, 1.0 inside and 0.0 outside.
    """
    n, size = len(frames), frames.shape[-1]
    if n == 0:
        return frames

    def share(low: float, high: float) -> torch.Tensor:
        return draws.uniform(n, low, high).view(-1, 1, 1, 1)

    shading = _smooth_field(n, SHADING_POINTS, size, SHADING, draws).exp() * share(*GAIN)
    haze = _smooth_field(n, HAZE_POINTS, size, HAZE_SPREAD, draws).exp() * share(*HAZE)
    view = frames * shading
    view = view + haze * (1 - view)
    noise = draws.normal(view.shape) * share(*NOISE)
    return (view + noise * (NOISE_IN_BLACK + view)).clamp(0, 1) * beam


def _smooth_field(n: int, points: int, size: int, limits: tuple[float, float], draws: Draws) -> torch.Tensor:
    """``(n, 1, size, size)`` through random values at the points of a coarse grid."""
    values = draws.uniform(n * points**2, *limits).view(n, 1, points, points)
    field: torch.Tensor = torch.nn.functional.interpolate(values, (size, size), mode="bicubic", align_corners=False)
    return field
