"""Cines to look through: frames that play, with what was said of each frame beside them."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

MEDIA_TYPE = "image/webp"


@dataclass(frozen=True, slots=True)
class Cine:
    """One clip.

    :param name: what it is called in the list.
    :param frames: pictures as :func:`encode_picture` gives them, in order.
    :param times_s: seconds after the first frame, one a picture; NaN where unknown.
    :param scores: by name of a series, one number a picture; NaN where nothing was said.
    :param facts: ``(what, answer)`` of the clip as a whole.
    """

    name: str
    frames: Sequence[bytes]
    times_s: Sequence[float]
    scores: Mapping[str, Sequence[float]]
    facts: Sequence[tuple[str, str]]

    def __post_init__(self) -> None:
        lengths = {len(self.frames), len(self.times_s), *map(len, self.scores.values())}
        if len(lengths) != 1 or not self.frames:
            raise ValueError("a cine has one time and one number of each series for each of its frames, at least one")


@dataclass(frozen=True, slots=True)
class CineBrowser:
    """Clips to pick from, and a player. It embeds pictures: not for those of patients.

    :param note: what the numbers beside the frames are.
    """

    kind: ClassVar[str] = "cines"
    cines: Sequence[Cine]
    note: str

    @property
    def series(self) -> list[str]:
        """Names of all series, in order of their first appearance."""
        return list(dict.fromkeys(name for cine in self.cines for name in cine.scores))

    def payload(self) -> dict[str, Any]:
        """What the page's script is given, as JSON values: a number that is not known is null."""
        return {
            "media": MEDIA_TYPE,
            "series": self.series,
            "cines": [
                {
                    "name": cine.name,
                    "facts": [list(fact) for fact in cine.facts],
                    "times": [_or_null(time_s, 3) for time_s in cine.times_s],
                    "scores": [[_or_null(p, 3) for p in cine.scores.get(name, ())] for name in self.series],
                    "frames": [base64.b64encode(frame).decode("ascii") for frame in cine.frames],
                }
                for cine in self.cines
            ],
        }


def encode_picture(pixels: NDArray[np.uint8], side_px: int, quality: int) -> bytes:
    """A grey frame as a small picture.

    :param pixels: ``(height, width)``.
    :param side_px: largest height or width; a larger frame is made smaller.
    :param quality: from 0 to 100; speckle is costly.
    """
    from PIL import Image

    picture = Image.fromarray(pixels)
    picture.thumbnail((side_px, side_px))
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=quality, method=4)
    return stream.getvalue()


def _or_null(number: float, digits: int) -> float | None:
    return round(number, digits) if math.isfinite(number) else None
