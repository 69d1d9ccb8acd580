"""Where the time of an extraction goes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from lusfx.engine.extraction.decoding.clip import StageSeconds

STAGES = ("hashing", "decoding", "beam", "preparing", "encoding", "writing", "ledger")
"""What is done for a clip, in order. Several are done at the same time."""


@dataclass(slots=True)
class Profile:
    """Seconds of each stage, summed over clips. Stages run side by side, so they add up to more than the run took.

    :param seconds: by stage; ``waiting`` is how long the encoder waited for frames.
    :param decoders: processes or threads that decoded at the same time.
    :param streams: threads that encoded at the same time.
    """

    decoders: int = 1
    streams: int = 1
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys((*STAGES, "waiting"), 0.0))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what happens inside; each stage is timed by one thread."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started

    def add_clip(self, seconds: StageSeconds) -> None:
        """Count what a decoder said of a clip."""
        self.seconds["decoding"] += seconds.decoding
        self.seconds["beam"] += seconds.beam
        self.seconds["preparing"] += seconds.preparing

    def busy(self, total_s: float) -> dict[str, float]:
        """How busy each worker of the run was, as a share of its time: who is busiest is the bottleneck."""
        of = self.seconds
        decoders_s = of["decoding"] + of["beam"] + of["preparing"]
        workers = {
            "hashing": of["hashing"],
            "decoding": decoders_s / self.decoders,
            "encoding": of["encoding"] / self.streams,
            "writing": of["writing"],
            "ledger": of["ledger"],
        }
        return {name: busy_s / total_s if total_s else 0.0 for name, busy_s in workers.items()}

    def bottleneck(self, total_s: float) -> str:
        """The worker that the others wait for."""
        busy = self.busy(total_s)
        return max(busy, key=lambda name: busy[name])

    def as_dict(self, total_s: float, n_frames: int, n_clips: int) -> dict[str, Any]:
        """For programs."""
        total_work_s = sum(self.seconds[stage] for stage in STAGES)
        return {
            "stages": {
                stage: {
                    "seconds": round(seconds, 4),
                    "ms_a_frame": round(1000 * seconds / n_frames, 4) if n_frames else None,
                    "ms_a_clip": round(1000 * seconds / n_clips, 4) if n_clips else None,
                    "share": round(seconds / total_work_s, 4) if total_work_s and stage != "waiting" else None,
                }
                for stage, seconds in self.seconds.items()
            },
            "decoders": self.decoders,
            "streams": self.streams,
            "busy": {name: round(share, 4) for name, share in self.busy(total_s).items()},
            "bottleneck": self.bottleneck(total_s),
        }
