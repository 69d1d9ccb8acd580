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

    :param video_frames: frames of the video.
    :param dicom_frames: frames of each DICOM file.
    :param rounds: of each comparison.
    """

    video_frames: int
    dicom_frames: int
    rounds: Rounds

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return asdict(self)


PLANS: Mapping[Size, Plan] = {
    "small": Plan(64, 24, Rounds(3, 5, 2.0)),
    "full": Plan(96, 64, Rounds(7, 25, 20.0)),
}
