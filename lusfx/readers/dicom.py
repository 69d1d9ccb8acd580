"""DICOM ultrasound, single and multi-frame, by pydicom (PS3.3 A.6, A.7, C.7.6.5, C.8.5.5, C.8.5.6).

Identifiers leave this module as keyed hashes only. What pydicom has to say of a file is never passed on, since it quotes
values: of its errors the type is kept, and its warnings and log lines are dropped where they arise.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.identifiers import canonical
from lusfx.readers.dicom_aspect import display_of
from lusfx.readers.dicom_header import begins_as_dicom, read_header
from lusfx.readers.dicom_pixels import DicomPixels
from lusfx.readers.dicom_regions import b_mode_region
from lusfx.readers.dicom_syntaxes import VIDEO_STREAMS, video_format
from lusfx.readers.dicom_times import FrameTimes, frame_times
from lusfx.readers.dicom_values import text, whole_number
from lusfx.readers.display import Display
from lusfx.readers.files import open_source
from lusfx.readers.video import MAX_PIXELS, SNIFFED_BYTES, VideoClip, count_notes, open_stream
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, Note

if TYPE_CHECKING:
    from pydicom import Dataset


class DicomReader(Reader):
    """DICOM files: ultrasound images and cine loops, and secondary captures of them."""

    name = "dicom"
    suffixes = (".dcm", ".dicom", ".ima")

    def claims_content(self, leading_bytes: bytes) -> bool:
        return begins_as_dicom(leading_bytes)

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        with ExitStack() as stack:
            stream = stack.enter_context(open_source(path))
            dataset, pixel_data = read_header(stream)
            syntax = str(dataset.file_meta.TransferSyntaxUID)
            pixels = None if syntax in VIDEO_STREAMS else pixel_data.pixels()
            header = _describe(dataset, pixels, site_key)
            if pixels is None:
                payload = pixel_data.video_payload()
                container = video_format(payload.getbuffer()[:SNIFFED_BYTES].tobytes(), syntax)
                video = stack.enter_context(open_stream(payload, container, as_shown=header.display.is_plain))
                yield DicomVideoClip(header, video)
            else:
                yield DicomClip(header, pixels)


@dataclass(frozen=True, slots=True)
class Description:
    """What the header of a file says of its clip.

    :param height: rows of each frame as it is stored, as ``width`` its columns; ``info`` has those of frames as they are shown.
    """

    info: ClipInfo
    times: FrameTimes
    display: Display
    height: int
    width: int
    notes: frozenset[Note]


class DicomClip:
    """A clip whose frames are images, compressed or not."""

    def __init__(self, header: Description, pixels: DicomPixels) -> None:
        self.info = header.info
        self._header = header
        self._pixels = pixels
        self._notes = set(header.notes)

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes | self._pixels.notes)

    def frames(self) -> Iterator[Frame]:
        n_frames = n_readable = 0
        for pixels in self._pixels.grey_frames():
            time_s = self._header.times.of(n_frames)
            if math.isnan(time_s):
                self._notes.add(Note.FRAME_TIMES_UNKNOWN)
            if pixels is None:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(n_frames, time_s, None, FrameStatus.UNREADABLE)
            else:
                n_readable += 1
                yield Frame(n_frames, time_s, self._header.display.frame(pixels))
            n_frames += 1
        if n_readable == 0:
            raise UnreadableClipError("no-frames", "no frame of the DICOM file could be decoded")
        self._notes |= count_notes(n_frames, self.info.n_frames_declared)


class DicomVideoClip:
    """A clip whose pixel data is a video stream. Its times are those of the DICOM header.

    So are its pixels' sides, where the header says that they are oblong; else the stream says how it is shown. The stream's
    size counts; a region of frames of another size is none of these.
    """

    def __init__(self, header: Description, video: VideoClip) -> None:
        stored = header.height, header.width
        self.info = header.info
        self._notes = set(header.notes)
        if stored not in (video.stored_size, (video.info.height, video.info.width)):
            self._notes.add(Note.DESCRIPTION_CORRECTED)
            if header.info.region is not None:
                self._notes.add(Note.REGION_IGNORED)
            height, width = header.display.shape(*video.stored_size)
            self.info = replace(header.info, height=height, width=width, region=None)
        if not video.display.is_plain:
            region = header.info.region if video.stored_size == stored else None
            self.info = replace(
                header.info,
                height=video.info.height,
                width=video.info.width,
                region=None if region is None else video.display.box(region, *stored),
            )
        self._header = header
        self._video = video

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        n_frames = 0
        for frame in self._video.frames():
            time_s = self._header.times.of(frame.index)
            if math.isnan(time_s):
                self._notes.add(Note.FRAME_TIMES_UNKNOWN)
            pixels = None if frame.pixels is None else self._header.display.frame(frame.pixels)
            yield Frame(frame.index, time_s, pixels, frame.status)
            n_frames += 1
        self._notes |= self._video.notes & {Note.UNREADABLE_FRAMES}
        self._notes |= count_notes(n_frames, self.info.n_frames_declared)


def _describe(dataset: Dataset, pixels: DicomPixels | None, site_key: SiteKey) -> Description:
    """What the header says, its identifiers turned into keys; of images, their true size and number."""
    height, width = whole_number(dataset, "Rows") or 0, whole_number(dataset, "Columns") or 0
    n_declared = n_timed = whole_number(dataset, "NumberOfFrames") or 1
    if pixels is not None:
        height, width = pixels.height, pixels.width
        counts = (n_timed, pixels.n_frames)
        n_timed = min(counts) if min(counts) > 1 else max(counts)
    if not 0 < height * width <= MAX_PIXELS:
        code = "too-large" if height * width > MAX_PIXELS else "damaged"
        raise UnreadableClipError(code, f"the DICOM file declares frames of {width} x {height} pixels")
    region = b_mode_region(dataset, height, width)
    display, aspect_notes = display_of(dataset, region.pixel_aspect)
    times = frame_times(dataset, n_timed)
    patient, issuer = text(dataset, "PatientID"), text(dataset, "IssuerOfPatientID")
    study = text(dataset, "StudyInstanceUID")
    shown_height, shown_width = display.shape(height, width)
    info = ClipInfo(
        reader=DicomReader.name,
        height=shown_height,
        width=shown_width,
        n_frames_declared=n_declared,
        time_source=times.source,
        region=None if region.box is None else display.box(region.box, height, width),
        patient_key=site_key.patient(patient, issuer) if canonical(patient) else None,
        exam_key=site_key.exam(study) if study else None,
    )
    return Description(info, times, display, height, width, times.notes | region.notes | aspect_notes)
