"""What is measured at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.request import Size
from benchmarks.timing import Rounds


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    :param clip_counts: archives that are read whole from packs.
    :param file_clips: clips of the archive that is read from a file a clip: at most as many as in the largest above.
    :param written_clips: clips that are written, a file each.
    :param rerun_files: source files that a run finds unchanged.
    :param frames: of each clip; ``dim`` values a frame.
    """

    clip_counts: tuple[int, ...]
    file_clips: int
    written_clips: int
    rerun_files: int
    read_rounds: Rounds
    file_rounds: Rounds
    write_rounds: Rounds
    rerun_rounds: Rounds
    frames: int = 32
    dim: int = 320

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return asdict(self) | {"clip_counts": list(self.clip_counts)}


PLANS: Mapping[Size, Plan] = {
    "small": Plan(
        (100, 1000), 200, 20, 1000, Rounds(3, 9, 3.0), Rounds(2, 5, 3.0), Rounds(2, 5, 3.0), Rounds(2, 3, 4.0)
    ),
    "full": Plan(
        (100, 1000, 10_000, 100_000),
        1000,
        200,
        100_000,
        Rounds(5, 21, 20.0),
        Rounds(5, 11, 40.0),
        Rounds(5, 11, 20.0),
        Rounds(3, 3, 60.0),
    ),
}
