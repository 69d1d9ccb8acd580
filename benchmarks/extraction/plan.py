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
    :param n_clips: clips of ``n_frames`` frames each that the product encodes in a round.
    :param rival_clips: how many of them a rival encodes; rates are compared, and rivals are slow.
    :param workers: numbers of decoding processes.
    :param batch_sizes: frames at a time, with as many decoding processes as are the default.
    :param starts: how often the command is started for the time to its first embedding.
    """

    encoders: tuple[str, ...]
    n_clips: int
    n_frames: int
    rival_clips: int
    rounds: Rounds
    starts: int
    workers: tuple[int, ...] = (0, 1, 2)
    batch_sizes: tuple[int, ...] = (1, BATCH_SIZE, 64)

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        tuples = {name: list(getattr(self, name)) for name in ("encoders", "workers", "batch_sizes")}
        return asdict(self) | tuples


PLANS: Mapping[Size, Plan] = {
    "small": Plan((DEFAULT_ENCODER,), 8, 64, 1, Rounds(2, 3, 8.0), starts=2),
    "full": Plan((DEFAULT_ENCODER, "timm/mobilenetv3_large_100"), 24, 96, 3, Rounds(3, 7, 110.0), starts=7),
}


def title(workers: int, batch_size: int, precision: str = "float32") -> str:
    """What a way of running the pipeline is called."""
    return f"pipeline, {workers} decoders, batches of {batch_size}, {precision}"
