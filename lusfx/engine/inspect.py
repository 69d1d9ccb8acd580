"""Draw what the encoder sees of a clip."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lusfx.config import PreprocessSpec
from lusfx.contracts import EncoderRequest
from lusfx.durable import write_whole
from lusfx.encoders import DEFAULT_ENCODER
from lusfx.engine.extraction.decoding.clip import Picture, Refusal
from lusfx.engine.extraction.decoding.decoders import Decoders, make_decoders, workers_for
from lusfx.engine.extraction.decoding.jobs import Job, Jobs
from lusfx.engine.extraction.decoding.limits import Limits
from lusfx.engine.extraction.opening import open_encoder
from lusfx.engine.extraction.sources import Source, reader_of
from lusfx.errors import UnreadableClipError, UsageError
from lusfx.messages import system_reason
from lusfx.outputs import prepare_files
from lusfx.plugins import load_registry
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
    encoder: str | Path = DEFAULT_ENCODER,
    frame: int = 0,
    force: bool = False,
    site_key: SiteKey | Path | str | None = None,
) -> Inspection:
    """Draw a frame, the beam, the crop and the encoder's input side by side.

    :param clip: one source file. It is decoded in a limited process, as by extraction.
    :param out: PNG file to write, readable by its owner only: it shows a patient's images.
    :param encoder: whose preprocessing is shown.
    :param frame: which frame, from 0.
    :param force: whether a file that is there may be replaced.
    :raises ClipError: if the file cannot be read, or has no such frame.
    :raises UsageError: if the picture cannot be written there, its name is no PNG file's, or something is there already.
    :raises DecoderError: if no decoding process can be started.
    """
    path = Path(clip)
    if Path(out).suffix.lower() != ".png":
        raise UsageError("the picture is a PNG file: give it a name that ends in .png")
    prepare_files({"picture": Path(out)}, read=[path], force=force)
    registry = load_registry()
    spec: PreprocessSpec = open_encoder(EncoderRequest(str(encoder), device="cpu", download=False), registry).preprocess
    reader = reader_of(path, registry)
    if reader is None:
        raise UnreadableClipError("unknown-format", "no reader claims this kind of file")
    n_workers, limits = min(workers_for(registry), 1), Limits.of_environment()
    decoders = make_decoders(spec, SiteKey.of(site_key), n_workers, limits)
    picture = _drawn(decoders, Source(path, "the clip", reader), frame)
    _write(Path(out), _as_png(picture.pixels))
    return Inspection(picture.info, str(picture.beam_shape), picture.beam_confidence, picture.notes)


def _drawn(decoders: Decoders, source: Source, frame: int) -> Picture:
    """The picture of a frame.

    :raises ClipError: if there is none.
    """
    jobs = Jobs(1, copy=lambda _job: None)
    jobs.put(Job(source, key="", stamp=None, drawn_frame=frame), stopping=lambda: False)
    jobs.close()
    ((_, event),) = decoders.run(jobs, stopping=lambda: False, hungry=lambda: False)
    if isinstance(event, Refusal):
        raise event.as_error()
    assert isinstance(event, Picture)
    return event


def _as_png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, format="PNG")
    return content.getvalue()


def _write(out: Path, content: bytes) -> None:
    try:
        write_whole(out, content)
    except OSError as error:
        raise UsageError(f"the picture cannot be written: {system_reason(error)}") from None
