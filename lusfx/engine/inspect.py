"""Draw what the encoder sees of a clip."""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from lusfx.config import PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.durable import write_whole
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.sources import reader_of
from lusfx.errors import UnreadableClipError, UsageError
from lusfx.plugins import load_registry
from lusfx.preprocess import inspection_picture, prepare
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of a clip whose picture was drawn."""

    info: ClipInfo
    beam_shape: str
    beam_confidence: float
    notes: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """For programs: what ``lusfx inspect --json`` prints."""
        info = self.info
        return {
            "reader": info.reader,
            "height": info.height,
            "width": info.width,
            "n_frames_declared": info.n_frames_declared,
            "time_source": str(info.time_source),
            "region": None if info.region is None else [info.region.x0, info.region.y0, info.region.x1, info.region.y1],
            "beam_shape": self.beam_shape,
            "beam_confidence": round(self.beam_confidence, 4),
            "notes": list(self.notes),
        }


def inspect(
    clip: Path | str,
    out: Path | str,
    *,
    encoder: str = DEFAULT_ENCODER,
    frame: int = 0,
    site_key: SiteKey | None = None,
) -> Inspection:
    """Draw a frame, the beam, the crop and the encoder's input side by side.

    :param clip: one source file.
    :param out: PNG file to write, readable by its owner only: it shows a patient's images.
    :param encoder: whose preprocessing is shown.
    :param frame: which frame, from 0.
    :raises ClipError: if the file cannot be read, or has no such frame.
    :raises UsageError: if the picture cannot be written there.
    """
    path = Path(clip)
    registry = load_registry()
    spec: PreprocessSpec = open_encoder(EncoderRequest(encoder, device="cpu"), registry).preprocess
    reader = reader_of(path, registry)
    if reader is None:
        raise UnreadableClipError("unknown-format", "no reader claims this kind of file")
    with reader.open(path, site_key or SiteKey.load()) as opened:
        prepared = prepare(opened, spec)
        shown = next(islice(prepared.source_frames(), frame, None), None)
        if shown is None or shown.pixels is None:
            raise UnreadableClipError("no-frames", f"the clip has no readable frame {frame}")
        picture = io.BytesIO()
        inspection_picture(shown.pixels, prepared.beam, prepared.transform).save(picture, format="PNG")
        _write(Path(out), picture.getvalue())
        notes = tuple(sorted(opened.notes | prepared.notes))
        return Inspection(opened.info, str(prepared.beam.shape), prepared.beam.confidence, notes)


def _write(out: Path, content: bytes) -> None:
    try:
        write_whole(out, content)
    except OSError as error:
        raise UsageError(f"the picture cannot be written: {os.strerror(error.errno or 0)}") from None
