"""Clips as DICOM: Ultrasound Multi-frame Image Storage (PS3.3 A.7) in the transfer syntaxes that archives hold.

Identifiers are generated under 2.25 (PS3.5 B.2) from the patient's and the clip's name, so that the same archive has the same
ones. Every identifying field says that the patient is synthetic.
"""

from __future__ import annotations

import io
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from lusfx.synth.simulation import SyntheticClip

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

EXPLICIT, RLE, JPEG, JPEG_LS, JPEG_2000 = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
TRANSFER_SYNTAXES = (EXPLICIT, RLE, JPEG, JPEG_LS, JPEG_2000)
"""Uncompressed, run lengths, JPEG baseline, JPEG-LS lossless, JPEG 2000 lossless: clips take them in turn."""
JPEG_QUALITY = 92
NAMESPACE = uuid.UUID("6f9b9c5e-0f0b-5d0c-9a55-3d1b6c7a2e10")
CENTIMETRE, TISSUE, TWO_D = 3, 1, 1
"""Codes of PS3.3 C.8.5.5.1: physical units, region data type, region spatial format."""


@dataclass(frozen=True, slots=True)
class Names:
    """Who and what a file is of; each is unique in all archives of the seed and site it is made from.

    :param origin: seed and site, so that two archives' files do not share identifiers.
    :param patient: the patient; ``exam`` and ``clip`` likewise, with the patient's name in them.
    """

    origin: str
    patient: str
    exam: str
    clip: str
    exam_number: int
    clip_number: int


def uid(*parts: str) -> str:
    """A unique identifier for a name, the same each time."""
    return f"2.25.{uuid.uuid5(NAMESPACE, '/'.join(parts)).int}"


def write_dicom(path: Path, clip: SyntheticClip, names: Names, syntax: str) -> None:
    """Write a clip. Machines that tint their pictures write colour, the others grey.

    :param syntax: one of :data:`TRANSFER_SYNTAXES`.
    """
    from pydicom import dcmwrite

    frames = clip.in_colour() if clip.look.device.tint else clip.frames
    dataset = _dataset(clip, names, syntax)
    _put_pixels(dataset, frames, syntax)
    dcmwrite(path, dataset, enforce_file_format=True)


def _dataset(clip: SyntheticClip, names: Names, syntax: str) -> FileDataset:
    """Everything but the pixels."""
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

    instance = UID(uid(names.origin, names.clip))
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(syntax)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = UltrasoundMultiFrameImageStorage, instance
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    device = clip.look.device
    dataset.SpecificCharacterSet = "ISO_IR 192"
    # DERIVED, since no machine took it; 0001 is two-dimensional imaging (PS3.3 C.8.5.6.1.1).
    dataset.ImageType = ["DERIVED", "SECONDARY", "", "0001"]
    dataset.SOPClassUID, dataset.SOPInstanceUID = UltrasoundMultiFrameImageStorage, instance
    dataset.StudyDate = dataset.SeriesDate = dataset.ContentDate = f"2000{(names.exam_number - 1) % 12 + 1:02}01"
    dataset.StudyTime = dataset.SeriesTime = dataset.ContentTime = f"12{names.clip_number % 60:02}00"
    dataset.AccessionNumber, dataset.ReferringPhysicianName = "", ""
    dataset.Modality, dataset.Manufacturer, dataset.ManufacturerModelName = "US", "lusfx synthetic", device.name
    dataset.StudyDescription, dataset.SeriesDescription = "SYNTHETIC lung ultrasound", "SYNTHETIC clip, no patient"
    dataset.DerivationDescription = "SYNTHETIC: simulated by lusfx, no patient was examined"
    dataset.PatientName, dataset.PatientID = f"SYNTHETIC^{names.patient}", names.patient
    dataset.PatientBirthDate, dataset.PatientSex = "", ""
    dataset.StudyInstanceUID = UID(uid(names.origin, names.exam))
    dataset.SeriesInstanceUID = UID(uid(names.origin, names.exam, "series", names.clip))
    dataset.StudyID, dataset.SeriesNumber, dataset.InstanceNumber = str(names.exam_number), names.clip_number, 1
    dataset.PatientOrientation = ""
    dataset.TransducerType = {"linear": "LINEAR", "convex": "CURVED LINEAR", "phased": "SECTOR_PHASED"}[clip.look.probe]
    _put_times(dataset, device.frame_rate_hz, len(clip.frames), vector=names.clip_number % 3 == 0)
    _put_region(dataset, clip)
    dataset.LossyImageCompression = "01" if syntax == JPEG else "00"
    if syntax == JPEG:
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
    return dataset


def _put_times(dataset: FileDataset, rate_hz: int, n_frames: int, *, vector: bool) -> None:
    """Cine module (PS3.3 C.7.6.5): one step for all frames, or, in every third clip, the step of each."""
    from pydicom.datadict import tag_for_keyword

    step_ms = 1000 / rate_hz
    if vector:
        dataset.FrameTimeVector = [0.0] + [round(step_ms, 3)] * (n_frames - 1)
    else:
        dataset.FrameTime = round(step_ms, 3)
    dataset.FrameIncrementPointer = tag_for_keyword("FrameTimeVector" if vector else "FrameTime")
    dataset.CineRate = dataset.RecommendedDisplayFrameRate = rate_hz


def _put_region(dataset: FileDataset, clip: SyntheticClip) -> None:
    """US Region Calibration module (PS3.3 C.8.5.5): the beam's box, and centimetres for each pixel."""
    from pydicom import Dataset
    from pydicom.sequence import Sequence

    rows, columns = np.nonzero(clip.inside.any(axis=1))[0], np.nonzero(clip.inside.any(axis=0))[0]
    region = Dataset()
    region.RegionSpatialFormat, region.RegionDataType, region.RegionFlags = TWO_D, TISSUE, 0
    region.RegionLocationMinX0, region.RegionLocationMaxX1 = int(columns[0]), int(columns[-1])
    region.RegionLocationMinY0, region.RegionLocationMaxY1 = int(rows[0]), int(rows[-1])
    region.PhysicalUnitsXDirection = region.PhysicalUnitsYDirection = CENTIMETRE
    region.PhysicalDeltaX = region.PhysicalDeltaY = 0.1 / clip.px_per_mm
    region.ReferencePixelX0 = round(clip.face_px[0]) - int(columns[0])
    region.ReferencePixelY0 = round(clip.face_px[1]) - int(rows[0])
    region.ReferencePixelPhysicalValueX = region.ReferencePixelPhysicalValueY = 0.0
    dataset.SequenceOfUltrasoundRegions = Sequence([region])


def _put_pixels(dataset: FileDataset, frames: NDArray[np.uint8], syntax: str) -> None:
    """Pixel description and data (PS3.3 C.7.6.3, PS3.5 8.2)."""
    from pydicom.pixels.utils import compress

    colour = frames.ndim == 4
    dataset.NumberOfFrames, dataset.Rows, dataset.Columns = frames.shape[:3]
    dataset.SamplesPerPixel = 3 if colour else 1
    dataset.PhotometricInterpretation = "RGB" if colour else "MONOCHROME2"
    if colour:
        dataset.PlanarConfiguration = 0
        dataset.UltrasoundColorDataPresent = 0  # tinted greys, no flow
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    if syntax == JPEG:
        _put_jpeg(dataset, frames)
        return
    dataset.PixelData = frames.tobytes() + b"\0" * (frames.nbytes % 2)
    dataset["PixelData"].VR = "OB"
    if syntax != EXPLICIT:
        dataset.file_meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID.__class__(EXPLICIT)
        compress(dataset, syntax, generate_instance_uid=False)


def _put_jpeg(dataset: FileDataset, frames: NDArray[np.uint8]) -> None:
    from PIL import Image
    from pydicom.encaps import encapsulate

    encoded = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, format="JPEG", quality=JPEG_QUALITY, subsampling="4:2:2")
        encoded.append(stream.getvalue())
    dataset.PixelData = encapsulate(encoded)
    dataset["PixelData"].VR = "OB"
    if frames.ndim == 4:
        dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.LossyImageCompressionRatio = round(frames.nbytes / sum(map(len, encoded)), 2)


def installed_syntaxes() -> tuple[str, ...]:
    """The transfer syntaxes of :data:`TRANSFER_SYNTAXES` that can be encoded here."""
    from pydicom.pixels import get_encoder

    return tuple(
        syntax for syntax in TRANSFER_SYNTAXES if syntax in {EXPLICIT, JPEG} or get_encoder(syntax).is_available
    )
