"""What a clip shows: the questions that labels answer, as numbers to draw from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from lusfx.errors import UsageError

View = Literal["parenchymal", "pleural"]
Organ = Literal["liver", "spleen"]
MAX_A_LINES = 5
MAX_B_LINES = 30


@dataclass(frozen=True, slots=True)
class Findings:
    """Findings of one clip, after Lichtenstein and Meziere 2008 (doi 10.1378/chest.07-2800) and the recommendations of
    Volpicelli et al. 2012 (doi 10.1007/s00134-012-2513-4).

    :param view: lung between two ribs, or the costophrenic angle with the diaphragm.
    :param a_lines: repetitions of the pleural line, 0 for none.
    :param b_lines: number of B-lines; ``b_line_mm`` is how wide each is at the pleura, and above about 5 they run together.
    :param irregularity: of the pleural line, from 0 (smooth) to 1 (thick, fragmented).
    :param sliding: whether the lung moves with the breath; ``pulse`` whether lung that does not slide moves with the heart.
    :param consolidation_mm: thickness of lung without air beneath the pleura, 0 for none.
    :param effusion_mm: greatest thickness of the fluid, 0 for none; in a pleural view only.
    :param atelectasis: whether the lung floats in the fluid without air; where there is fluid only.
    :param organ: beneath the diaphragm of a pleural view.
    """

    view: View = "parenchymal"
    a_lines: int = 0
    b_lines: int = 0
    b_line_mm: float = 2.0
    irregularity: float = 0.0
    sliding: bool = True
    pulse: bool = False
    consolidation_mm: float = 0.0
    effusion_mm: float = 0.0
    atelectasis: bool = False
    organ: Organ = "liver"

    def __post_init__(self) -> None:
        if not 0 <= self.a_lines <= MAX_A_LINES or not 0 <= self.b_lines <= MAX_B_LINES:
            raise UsageError(
                f"a clip shows at most {MAX_A_LINES} A-lines and {MAX_B_LINES} B-lines, and no fewer than none"
            )
        if min(self.b_line_mm, self.irregularity, self.consolidation_mm, self.effusion_mm) < 0 or self.irregularity > 1:
            raise UsageError("sizes of findings are at least 0, and the irregularity at most 1")
        if self.effusion_mm and self.view == "parenchymal":
            raise UsageError("effusion is drawn in pleural views only")
        if self.atelectasis and not self.effusion_mm:
            raise UsageError("lung floats in fluid only: atelectasis needs an effusion of at least 1 mm")
