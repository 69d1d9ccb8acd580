"""What a benchmark is asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Size = Literal["small", "full"]
Device = Literal["cpu", "cuda"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a benchmark is asked for.

    :param size: ``small`` shows that it works, ``full`` is for figures to be kept.
    :param threads: CPU threads; 0 for as many as the machine has.
    :param encoders: names, in place of the benchmark's own choice.
    :param clips: a folder of videos for extraction, in place of drawn ones.
    :param told: called with a sentence now and then.
    """

    size: Size
    device: Device
    threads: int
    encoders: tuple[str, ...]
    told: Callable[[str], None]
    clips: Path | None = None
