"""What is measured at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.request import Size
from benchmarks.timing import Rounds
from lusfx.encoders import DEFAULT_ENCODER, IMAGENET_ENCODER


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    :param encoders: names of the encoders under test.
    :param batch_sizes: frames at a time.
    :param threads: numbers of CPU threads, where the request names none.
    :param n_frames: frames that embeddings are compared on.
    :param rounds: of each batch size.
    """

    encoders: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    threads: tuple[int, ...]
    n_frames: int
    rounds: Rounds

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        tuples = {name: list(getattr(self, name)) for name in ("encoders", "batch_sizes", "threads")}
        return asdict(self) | tuples


PLANS: Mapping[Size, Plan] = {
    "small": Plan((DEFAULT_ENCODER,), (1, 8), (1,), 16, Rounds(3, 9, 1.5)),
    "full": Plan(
        (DEFAULT_ENCODER, IMAGENET_ENCODER, "timm/mobilenetv3_large_100"),
        (1, 2, 4, 8, 16, 32, 64),
        (1, 2),
        96,
        Rounds(3, 25, 4.5),
    ),
}
