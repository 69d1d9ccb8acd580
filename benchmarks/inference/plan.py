"""What is measured at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.request import Size
from benchmarks.timing import Rounds
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.extract import BATCH_SIZE


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    :param encoders: names of the encoders under test.
    :param task_counts: every T.
    :param n_frames: frames that a round answers of; a round of single frames, of batches, and of one clip.
    :param rounds: of each comparison.
    :param encoded_clips: clips of ``cached_frames`` frames each that are encoded again.
    :param cached_clips: such clips that are scored from the cache, by ``cached_tasks`` models.
    :param cached_rounds: of that.
    :param frame_tasks: tasks that are asked of all their frames.
    """

    encoders: tuple[str, ...]
    task_counts: tuple[int, ...]
    n_frames: int
    rounds: Rounds
    encoded_clips: int
    cached_clips: int
    cached_frames: int
    cached_rounds: Rounds
    cached_tasks: int = 3
    frame_tasks: int = 5
    batch_size: int = BATCH_SIZE

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        return asdict(self) | {"encoders": list(self.encoders), "task_counts": list(self.task_counts)}


PLANS: Mapping[Size, Plan] = {
    "small": Plan((DEFAULT_ENCODER,), (1, 2, 3, 5, 10), 8, Rounds(3, 12, 3.0), 4, 300, 32, Rounds(2, 4, 5.0)),
    "full": Plan(
        (DEFAULT_ENCODER, "timm/mobilenetv3_small_100", "timm/mobilenetv3_large_100"),
        (1, 2, 3, 5, 10),
        16,
        Rounds(7, 60, 10.0),
        12,
        3000,
        64,
        Rounds(5, 9, 60.0),
    ),
}
