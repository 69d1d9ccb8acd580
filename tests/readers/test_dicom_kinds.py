"""Which DICOM files are cines or images of ultrasound."""

from __future__ import annotations

import pytest
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset

from lusfx.errors import SkippedClipError
from lusfx.readers.dicom_kinds import check_kind

US_MULTI_FRAME, ENHANCED_US_VOLUME = "1.2.840.10008.5.1.4.1.1.3.1", "1.2.840.10008.5.1.4.1.1.6.2"
FRAME_TIME, FRAME_TIME_VECTOR, PAGE_NUMBERS = 0x00181063, 0x00181065, 0x00182001
SLICE_LOCATION, SLICE_VECTOR, GRID_OFFSETS = 0x00201041, 0x00540080, 0x3004000C


def of(**values: object) -> Dataset:
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.SOPClassUID, dataset.Modality, dataset.NumberOfFrames = US_MULTI_FRAME, "US", 20
    for keyword, value in values.items():
        if keyword == "Modality" and value is not None:
            dataset.add_new(0x00080060, "UT", value)  # of any letters, which pydicom would warn of
        elif value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    return dataset


@pytest.mark.parametrize("modality", ["US", "us", "US ", "OT", "SC", "EC", "CD", "DD", "", None])
def test_ultrasound_and_what_captures_of_it_are_called(modality: str | None) -> None:
    check_kind(of(Modality=modality))


@pytest.mark.parametrize("modality", ["CT", "MR", "ES", "IVUS", "XC", "CR", "ECG", "SR", "Ultrasound"])
def test_other_modalities_are_skipped(modality: str) -> None:
    with pytest.raises(SkippedClipError) as caught:
        check_kind(of(Modality=modality))
    assert caught.value.code == "not-ultrasound"


@pytest.mark.parametrize(
    "values",
    [
        {"SOPClassUID": ENHANCED_US_VOLUME},
        {"SOPClassUID": ENHANCED_US_VOLUME, "NumberOfFrames": 1},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66.4"},
        {"DimensionOrganizationType": "3D"},
        {"DimensionOrganizationType": "3D_TEMPORAL"},
        {"VolumetricProperties": "VOLUME"},
        {"FrameIncrementPointer": SLICE_LOCATION},
        {"FrameIncrementPointer": SLICE_VECTOR},
        {"FrameIncrementPointer": GRID_OFFSETS},
        {"FrameIncrementPointer": [SLICE_LOCATION, FRAME_TIME]},
    ],
)
def test_slices_of_a_volume_are_no_cine(values: dict[str, object]) -> None:
    with pytest.raises(SkippedClipError) as caught:
        check_kind(of(**values))
    assert caught.value.code == "not-a-cine"


def test_a_volume_is_known_by_the_file_header_too() -> None:
    dataset = of(SOPClassUID=None)
    dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_US_VOLUME
    with pytest.raises(SkippedClipError):
        check_kind(dataset)


@pytest.mark.parametrize(
    "values",
    [
        {"FrameIncrementPointer": FRAME_TIME},
        {"FrameIncrementPointer": FRAME_TIME_VECTOR},
        {"FrameIncrementPointer": PAGE_NUMBERS},
        {"FrameIncrementPointer": SLICE_LOCATION, "NumberOfFrames": 1},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.6"},  # retired
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.3"},
        {"SOPClassUID": "1.3.46.670589.2.5.1.1"},  # private
        {"DimensionOrganizationType": "TILED_FULL"},
        {"VolumetricProperties": "SAMPLED"},
    ],
)
def test_what_follows_in_time_or_does_not_say_is_read(values: dict[str, object]) -> None:
    check_kind(of(**values))
