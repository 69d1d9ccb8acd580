"""How many decoding processes there are, and what each may take."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from lusfx.cores import available_cores
from lusfx.errors import UsageError

MEMORY_MB = 2048
"""What decoding a clip may take beyond what a decoder takes at rest: a 4K cine loop takes 300 MB."""
SILENCE_S = 60.0
"""A decoder that decodes no frame for so long is stuck."""
CLIP_S = 3600.0
"""No clip is worth a decoder for longer: the longest one that is taken, of 20,000 frames, is decoded by then at 6 frames/s."""
MAX_FRAMES = 20_000
"""Longest clip: 13 minutes at 25 frames/s. A clip's embeddings are held until it is complete, so this bounds memory."""
MOST_WORKERS = 8
"""Never more by default: each takes some 70 MB, and one disk has to feed them all."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one decoding process may take.

    :param memory_mb: megabytes of address space that it may take for clips; ``LUSFX_DECODER_MEMORY_MB``.
    :param silence_s: seconds without a decoded frame, after which it is ended; ``LUSFX_DECODER_TIMEOUT_S``.
    :param clip_s: seconds of work on one clip, after which that is given up; ``LUSFX_DECODER_CLIP_S``. While the run takes
        no frames, the decoder waits, and that does not count.
    :param max_frames: of one clip, after which it is given up as too long.
    """

    memory_mb: int = MEMORY_MB
    silence_s: float = SILENCE_S
    clip_s: float = CLIP_S
    max_frames: int = MAX_FRAMES

    @classmethod
    def of_environment(cls) -> Self:
        """The defaults, or what the environment names.

        :raises UsageError: if that is no positive number.
        """
        memory_mb = positive_number("LUSFX_DECODER_MEMORY_MB", MEMORY_MB)
        silence_s, clip_s = (
            positive_number("LUSFX_DECODER_TIMEOUT_S", SILENCE_S),
            positive_number("LUSFX_DECODER_CLIP_S", CLIP_S),
        )
        return cls(max(int(memory_mb), 1), silence_s, clip_s)


def takes_too_long(clip_s: float) -> str:
    """What a person reads of a clip that took more than so many seconds."""
    return f"decoding it takes more than {clip_s:g} s in all"


def default_workers() -> int:
    """``LUSFX_WORKERS``, or a decoding process for every two cores; none where the system is not POSIX.

    Measured on two cores: beside an encoder on the CPU, two are slower than one, by 6 to 15 percent.

    :raises UsageError: if ``LUSFX_WORKERS`` is no number.
    """
    named = os.environ.get("LUSFX_WORKERS")
    if named is not None:
        if not named.isdecimal():
            raise UsageError("LUSFX_WORKERS must be a number of processes, 0 or more")
        return int(named)
    if os.name != "posix":
        return 0
    return min(max(1, available_cores() // 2), MOST_WORKERS)


def positive_number(name: str, default: float) -> float:
    """What the environment says under a name, or the default.

    :raises UsageError: if that is no positive number.
    """
    text = os.environ.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise UsageError(f"{name} must be a number above 0")
    return value
