"""Breath and heart beat: how far tissue has moved in each frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

BREATHS_HZ = (0.22, 0.38)
"""13 to 23 breaths a minute."""
HEART_HZ = (1.0, 1.6)
PULSE_MM = 0.5
"""Movement of lung that does not slide, with the heart: the lung pulse (Lichtenstein et al. 2003)."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Movements of a clip.

    :param breath_phase: radians at the first frame; ``breath_hz`` and ``heart_hz`` are rates.
    """

    breath_hz: float
    breath_phase: float
    heart_hz: float
    heart_phase: float

    @classmethod
    def draw(cls, generator: np.random.Generator) -> Motion:
        """A breath and a heart at random."""
        return cls(
            breath_hz=float(generator.uniform(*BREATHS_HZ)),
            breath_phase=float(generator.uniform(0, 2 * np.pi)),
            heart_hz=float(generator.uniform(*HEART_HZ)),
            heart_phase=float(generator.uniform(0, 2 * np.pi)),
        )

    def phase(self, time_s: float) -> float:
        """Radians of the breath."""
        return 2 * np.pi * self.breath_hz * time_s + self.breath_phase

    def breath(self, time_s: float) -> float:
        """From -1, breathed out, to 1, breathed in."""
        return float(np.sin(self.phase(time_s)))

    def hand(self, time_s: float) -> float:
        """From -1 to 1: the slow unrest of the hand that holds the transducer."""
        return float(np.sin(2 * np.pi * 0.19 * time_s + self.heart_phase) * np.cos(2 * np.pi * 0.07 * time_s))

    def pulse(self, time_s: float) -> float:
        """From about -1 to 1: a short push with each beat."""
        beat = 2 * np.pi * self.heart_hz * time_s + self.heart_phase
        return float(np.sin(beat) * np.exp(np.cos(beat) - 1))
