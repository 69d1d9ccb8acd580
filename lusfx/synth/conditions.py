"""How clearly an examination shows what is there: what makes real pictures harder to read than drawn ones.

Seen beside clips of patients, drawn ones were too clear: an even ground, narrow ribs, B-lines far brighter than the haze beside
them, A-lines from side to side. Each of these is a number here. Their ranges were set by eye and by the distance between drawn
and real pictures (``tools/measure_realism.py``).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Conditions:
    """What stays the same for all clips of a patient. The defaults are a clear examination.

    Levels are in decibels, and standard deviations where they are of something that varies in the picture.

    :param streaks_db: of streaks across the beam below the pleura, which reverberations leave; ``shading_db`` of slow shading.
    :param columns_db: of shading along the beam, from one beam line to the next: haze as soft columns that are no B-lines.
    :param echoes_db: by how much the strongest streaks stand out: short bright echoes that lie anywhere below the pleura.
    :param haze_db: added to the lung's haze.
    :param b_line_db: added to B-lines; ``b_line_fading_db_mm`` is what they lose with depth.
    :param b_line_edge: how sharply a B-line ends at its sides; 4 is sharp, 2 soft.
    :param a_line_db: added to A-lines; ``a_line_share`` is how much is left of their width.
    :param rib_scale: of the ribs' width; ``window_scale`` of the space between them; ``rib_softness`` of their shadows' edges.
    """

    streaks_db: float = 0.0
    shading_db: float = 0.0
    columns_db: float = 0.0
    echoes_db: float = 0.0
    haze_db: float = 0.0
    b_line_db: float = 0.0
    b_line_fading_db_mm: float = 0.0
    b_line_edge: float = 4.0
    a_line_db: float = 0.0
    a_line_share: float = 1.0
    rib_scale: float = 1.0
    window_scale: float = 1.0
    rib_softness: float = 1.0


CLEAR = Conditions()


def draw_conditions(generator: np.random.Generator) -> Conditions:
    """Conditions drawn from wide ranges, from clear to hardly readable."""

    def between(low: float, high: float) -> float:
        return float(generator.uniform(low, high))

    return Conditions(
        streaks_db=between(0.5, 3.0),
        shading_db=between(0.5, 5.0),
        columns_db=between(0.0, 4.0),
        echoes_db=between(0.0, 9.0),
        haze_db=between(-6, 7),
        b_line_db=between(-12, 2),
        b_line_fading_db_mm=between(0.0, 0.12),
        b_line_edge=between(1.6, 4.0),
        a_line_db=between(-10, 4),
        a_line_share=between(0.35, 1.0),
        rib_scale=between(0.8, 2.2),
        window_scale=between(0.55, 1.2),
        rib_softness=between(0.8, 3.5),
    )
