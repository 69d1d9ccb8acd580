"""DICOM ultrasound, single and multi-frame, by pydicom (PS3.3 A.6, A.7, C.7.6.5, C.8.5.5, C.8.5.6).

Identifiers leave this module as keyed hashes only. What pydicom has to say of a file is never passed on, since it quotes
values: of its errors the type is kept, and its warnings and log lines are dropped where they arise.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from lusfx.contracts import Reader
from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.readers.dicom_description import declared_frames
from lusfx.readers.dicom_pixels import DicomPixels, PixelData
from lusfx.readers.dicom_regions import b_mode_region
from lusfx.readers.dicom_times import FrameTimes, frame_times
from lusfx.readers.files import open_source, quiet
from lusfx.readers.video import MAX_PIXELS, VideoClip, container_format, open_stream
from lusfx.site_key import SiteKey
from lusfx.types import Clip, ClipInfo, Frame, FrameStatus, Note

if TYPE_CHECKING:
    from pydicom import Dataset

PREAMBLE_BYTES = 128
MODALITIES = frozenset({"US", "OT", "SC", ""})
"""Ultrasound, and what secondary captures of it are labelled as."""
VIDEO_STREAMS = {
    "1.2.840.10008.1.2.4.100": "mpegvideo",  # MPEG2 Main Profile / Main Level
    "1.2.840.10008.1.2.4.101": "mpegvideo",  # MPEG2 Main Profile / High Level
    "1.2.840.10008.1.2.4.102": "h264",  # MPEG-4 AVC/H.264 High Profile / Level 4.1
    "1.2.840.10008.1.2.4.103": "h264",  # BD-compatible
    "1.2.840.10008.1.2.4.104": "h264",  # Level 4.2 for 2D video
    "1.2.840.10008.1.2.4.105": "h264",  # Level 4.2 for 3D video
    "1.2.840.10008.1.2.4.106": "h264",  # Stereo
    "1.2.840.10008.1.2.4.107": "hevc",  # HEVC/H.265 Main Profile / Level 5.1
    "1.2.840.10008.1.2.4.108": "hevc",  # HEVC/H.265 Main 10 Profile / Level 5.1
}
"""Transfer syntaxes whose pixel data is one video stream, and what the stream is where no container is around it."""


class DicomReader(Reader):
    """DICOM files: ultrasound images and cine loops, and secondary captures of them."""

    name = "dicom"
    suffixes = (".dcm", ".dicom", ".ima")

    def claims_content(self, leading_bytes: bytes) -> bool:
        return leading_bytes[PREAMBLE_BYTES : PREAMBLE_BYTES + 4] == b"DICM"

    @contextmanager
    def open(self, path: Path, site_key: SiteKey) -> Iterator[Clip]:
        with ExitStack() as stack:
            stream = stack.enter_context(open_source(path))
            dataset, pixel_data = _read_dataset(stream)
            _check_modality(dataset)
            syntax = str(dataset.file_meta.TransferSyntaxUID)
            pixels = None if syntax in VIDEO_STREAMS else pixel_data.pixels()
            info, times, notes = _describe(dataset, pixels, site_key)
            if pixels is None:
                payload = pixel_data.video_payload()
                container = container_format(payload.getbuffer()[:512].tobytes()) or VIDEO_STREAMS[syntax]
                video = stack.enter_context(open_stream(payload, container))
                yield DicomVideoClip(info, times, notes, video)
            else:
                yield DicomClip(info, times, notes, pixels)


class DicomClip:
    """A clip whose frames are images, compressed or not."""

    def __init__(self, info: ClipInfo, times: FrameTimes, notes: frozenset[Note], pixels: DicomPixels) -> None:
        self.info = info
        self._times = times
        self._pixels = pixels
        self._notes = set(notes)

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes | self._pixels.notes)

    def frames(self) -> Iterator[Frame]:
        n_frames = n_readable = 0
        for pixels in self._pixels.grey_frames():
            time_s = self._times.of(n_frames)
            if pixels is None:
                self._notes.add(Note.UNREADABLE_FRAMES)
                yield Frame(n_frames, time_s, None, FrameStatus.UNREADABLE)
            else:
                n_readable += 1
                yield Frame(n_frames, time_s, pixels)
            n_frames += 1
        if n_readable == 0:
            raise UnreadableClipError("no-frames", "no frame of the DICOM file could be decoded")
        self._notes |= count_notes(n_frames, self.info.n_frames_declared)


class DicomVideoClip:
    """A clip whose pixel data is a video stream; its times are those of the DICOM header where that has any."""

    def __init__(self, info: ClipInfo, times: FrameTimes, notes: frozenset[Note], video: VideoClip) -> None:
        if (video.info.height, video.info.width) != (info.height, info.width):
            raise UnreadableClipError("frame-size-changed", "the video stream's frames have another size than declared")
        self.info = info
        self._times = times
        self._video = video
        self._notes = set(notes)

    @property
    def notes(self) -> frozenset[Note]:
        return frozenset(self._notes)

    def frames(self) -> Iterator[Frame]:
        n_frames = 0
        for frame in self._video.frames():
            yield Frame(frame.index, self._times.of(frame.index), frame.pixels, frame.status)
            n_frames += 1
        self._notes |= self._video.notes & {Note.UNREADABLE_FRAMES}
        self._notes |= count_notes(n_frames, self.info.n_frames_declared)


def count_notes(n_frames: int, n_declared: int | None) -> set[Note]:
    """What to say of a clip that has not as many frames as it declares."""
    if n_declared is None or n_frames == n_declared:
        return set()
    return {Note.FEWER_FRAMES_THAN_DECLARED if n_frames < n_declared else Note.MORE_FRAMES_THAN_DECLARED}


def _read_dataset(stream: IO[bytes]) -> tuple[Dataset, PixelData]:
    """Read the header, and find the pixel data without reading it."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        with quiet():
            dataset = dcmread(stream, stop_before_pixels=True)
            syntax = dataset.file_meta.get("TransferSyntaxUID")
    except InvalidDicomError:
        raise UnreadableClipError("not-dicom", "the file does not begin as a DICOM file does") from None
    except Exception as error:
        raise UnreadableClipError("damaged", f"the DICOM header cannot be read ({type(error).__name__})") from None
    if syntax is None:
        raise UnreadableClipError("damaged", "the DICOM file states no transfer syntax")
    try:
        with quiet():
            return dataset, PixelData.find(stream, dataset)
    except ClipError:
        raise
    except Exception as error:
        raise UnreadableClipError("damaged", f"the pixel data cannot be found ({type(error).__name__})") from None


def _check_modality(dataset: Dataset) -> None:
    with quiet():
        modality = _text(dataset, "Modality")
    if modality not in MODALITIES:
        raise SkippedClipError("not-ultrasound", "the DICOM file is of another modality")


def _describe(
    dataset: Dataset, pixels: DicomPixels | None, site_key: SiteKey
) -> tuple[ClipInfo, FrameTimes, frozenset[Note]]:
    """What the header says, its identifiers turned into keys; of images, their true size and number."""
    try:
        with quiet():
            height, width = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
            declared = n_timed = declared_frames(dataset) or 1
            if pixels is not None:
                height, width = pixels.height, pixels.width
                few, many = sorted((declared, pixels.n_frames))
                n_timed = (
                    few if few > 1 else many
                )  # a vector of times may be as long as what is declared, or as what is there
            region, several = b_mode_region(dataset, height, width)
            times = frame_times(dataset, n_timed)
            patient, study = _text(dataset, "PatientID"), _text(dataset, "StudyInstanceUID")
            issuer = _text(dataset, "IssuerOfPatientID")
    except ClipError:
        raise
    except Exception as error:
        raise UnreadableClipError("damaged", f"the DICOM header is invalid ({type(error).__name__})") from None
    if not 0 < height * width <= MAX_PIXELS:
        code = "too-large" if height * width > MAX_PIXELS else "damaged"
        raise UnreadableClipError(code, f"the DICOM file declares frames of {width} x {height} pixels")
    notes = times.notes | {Note.SEVERAL_B_MODE_REGIONS} if several else times.notes
    info = ClipInfo(
        reader=DicomReader.name,
        height=height,
        width=width,
        n_frames_declared=declared,
        time_source=times.source,
        region=region,
        patient_key=site_key.patient(f"{issuer}\0{patient}" if issuer else patient) if patient else None,
        exam_key=site_key.exam(study) if study else None,
    )
    return info, times, notes


def _text(dataset: Dataset, keyword: str) -> str:
    value: Any = dataset.get(keyword)
    return "" if value is None else str(value).strip()
