"""Which DICOM files are images or cines of ultrasound (PS3.4 B.5; PS3.3 C.7.3.1.1.1, C.7.6.6, C.8.24.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lusfx.errors import SkippedClipError
from lusfx.readers.dicom_values import text, texts, whole_number

if TYPE_CHECKING:
    from pydicom import Dataset

MODALITIES = frozenset({"US", "OT", "SC", "EC", "CD", "DD", ""})
"""Ultrasound, what secondary captures of it are labelled as, and what the standard replaced by US: echocardiography, colour
flow and duplex Doppler."""
VOLUME_CLASSES = frozenset(
    {
        "1.2.840.10008.5.1.4.1.1.6.2",  # Enhanced US Volume
        "1.2.840.10008.5.1.4.1.1.30",  # Parametric Map
        "1.2.840.10008.5.1.4.1.1.66.4",  # Segmentation
        "1.2.840.10008.5.1.4.1.1.66.7",  # Label Map Segmentation
    }
)
"""SOP classes whose frames are slices of a volume, or maps of one."""
ULTRASOUND_CLASSES = frozenset(f"1.2.840.10008.5.1.4.1.1.{k}" for k in ("3", "3.1", "6", "6.1"))
"""Ultrasound images and cines, as they are and as they were before 1995."""
VOLUME_ORGANISATIONS = frozenset({"3D", "3D_TEMPORAL"})
SLICE_POINTERS = frozenset(
    {
        (0x0018, 0x0050),  # Slice Thickness
        (0x0018, 0x0088),  # Spacing Between Slices
        (0x0018, 0x2005),  # Slice Location Vector
        (0x0020, 0x0032),  # Image Position (Patient)
        (0x0020, 0x1041),  # Slice Location
        (0x0020, 0x9057),  # In-Stack Position Number
        (0x0020, 0x9301),  # Image Position (Volume)
        (0x0054, 0x0080),  # Slice Vector
        (0x3004, 0x000C),  # Grid Frame Offset Vector
    }
)
"""Where Frame Increment Pointer (0028,0009) leads if frames follow each other in space. In time it leads to a frame time."""


def check_kind(dataset: Dataset) -> None:
    """Whether the frames of a file follow each other in time, and are ultrasound.

    :raises SkippedClipError: if the file is of another modality (``not-ultrasound``) or a volume (``not-a-cine``).
    """
    modality = next(iter(texts(dataset, "Modality")), "")
    if modality.upper() not in MODALITIES:
        raise SkippedClipError("not-ultrasound", "the DICOM file is of another modality")
    is_volume = (
        _sop_class(dataset) in VOLUME_CLASSES
        or text(dataset, "DimensionOrganizationType").upper() in VOLUME_ORGANISATIONS
        or text(dataset, "VolumetricProperties").upper() == "VOLUME"
        or (whole_number(dataset, "NumberOfFrames") != 1 and not SLICE_POINTERS.isdisjoint(_pointers(dataset)))
    )
    if is_volume:
        raise SkippedClipError("not-a-cine", "the DICOM file's frames are slices of a volume")


def is_ultrasound(dataset: Dataset) -> bool:
    """Whether a header says that it is of ultrasound, which files of no pictures and captures of anything do not."""
    return text(dataset, "Modality").upper() == "US" or _sop_class(dataset) in ULTRASOUND_CLASSES


def _sop_class(dataset: Dataset) -> str:
    return text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")


def _pointers(dataset: Dataset) -> set[tuple[int, int]]:
    """The elements that Frame Increment Pointer names."""
    found = set()
    for item in texts(dataset, "FrameIncrementPointer"):
        group, _, element = item.strip("()").partition(",")
        try:
            found.add((int(group, 16), int(element, 16)))
        except ValueError:
            continue
    return found
