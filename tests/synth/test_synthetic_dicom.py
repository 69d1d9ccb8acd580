"""Synthetic DICOM is valid, says that it is synthetic in every field that names somebody, and is read back as it was drawn."""

from __future__ import annotations

import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydicom import Dataset, dcmread
from pydicom.config import Settings
from pydicom.dataset import FileDataset
from pydicom.uid import RLELossless, UltrasoundMultiFrameImageStorage
from pydicom.valuerep import validate_value

from lusfx.readers.dicom import DicomReader
from lusfx.site_key import SiteKey
from lusfx.synth import DEVICES, Findings, PatientLook, simulate, write_archive
from lusfx.synth.dicom_file import JPEG, TRANSFER_SYNTAXES, Names, installed_syntaxes, uid, write_dicom
from lusfx.tables import read_table
from lusfx.types import TimeSource

N_FRAMES = 3
NAMES = Names("0/local", "synthetic-0001", "synthetic-0001-exam-1", "synthetic-0001-1", 1, 1)
# PS3.3 A.7: patient, study, series, equipment, image, cine, multi-frame, US region calibration, US image, SOP common
REQUIRED = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyInstanceUID",
    "StudyDate",
    "StudyTime",
    "ReferringPhysicianName",
    "StudyID",
    "AccessionNumber",
    "Modality",
    "SeriesInstanceUID",
    "SeriesNumber",
    "Manufacturer",
    "InstanceNumber",
    "PatientOrientation",
    "ImageType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "NumberOfFrames",
    "FrameIncrementPointer",
    "SequenceOfUltrasoundRegions",
    "LossyImageCompression",
    "SOPClassUID",
    "SOPInstanceUID",
    "DerivationDescription",
)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dicom")
    write_archive(folder / "local", n_patients=3, clips_per_patient=5, n_frames=N_FRAMES, clip_format="dicom")
    write_archive(
        folder / "external", n_patients=2, clips_per_patient=5, n_frames=N_FRAMES, clip_format="dicom", site="external"
    )
    return folder


@pytest.fixture(scope="module")
def datasets(written: Path) -> list[FileDataset]:
    """Every file, read with no patience for what is wrong in it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return [dcmread(path) for path in sorted(written.rglob("*.dcm"))]


def test_required_attributes_are_there(datasets: list[FileDataset]) -> None:
    assert len(datasets) == 25
    for dataset in datasets:
        assert not [keyword for keyword in REQUIRED if keyword not in dataset]
        assert dataset.file_meta.MediaStorageSOPClassUID == dataset.SOPClassUID == UltrasoundMultiFrameImageStorage
        assert dataset.file_meta.MediaStorageSOPInstanceUID == dataset.SOPInstanceUID
        assert dataset.FrameIncrementPointer in {0x00181063, 0x00181065}
        assert dataset.FrameIncrementPointer in dataset


def test_values_are_valid(datasets: list[FileDataset]) -> None:
    strict = Settings()
    strict.reading_validation_mode = 2

    def check(dataset: Dataset) -> None:
        for element in dataset:
            if element.VR == "SQ":
                for item in element.value:
                    check(item)
            elif isinstance(element.value, str):
                validate_value(element.VR, element.value, strict.reading_validation_mode)

    for dataset in datasets:
        check(dataset)


def test_identifiers_are_unique_and_the_same_each_time(datasets: list[FileDataset]) -> None:
    assert len({dataset.SOPInstanceUID for dataset in datasets}) == len(datasets)
    assert len({dataset.StudyInstanceUID for dataset in datasets}) == 5  # one exam a patient
    for dataset in datasets:
        assert all(
            value.is_valid for value in (dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID)
        )
    assert uid("a", "b") == uid("a", "b") != uid("a", "c")


def test_every_name_is_synthetic(datasets: list[FileDataset]) -> None:
    for dataset in datasets:
        assert str(dataset.PatientName).startswith("SYNTHETIC^")
        assert dataset.PatientID.startswith("synthetic-")
        assert dataset.ImageType[0] == "DERIVED"
        for text in (dataset.StudyDescription, dataset.SeriesDescription, dataset.DerivationDescription):
            assert "SYNTHETIC" in text
        assert "synthetic" in dataset.Manufacturer
        assert dataset.ManufacturerModelName.startswith("synthetic-")


def test_all_kinds_of_pixel_data_are_written(datasets: list[FileDataset]) -> None:
    assert {dataset.file_meta.TransferSyntaxUID for dataset in datasets} == set(installed_syntaxes())
    assert set(installed_syntaxes()) == set(TRANSFER_SYNTAXES)  # all are dependencies of lusfx
    assert {dataset.PhotometricInterpretation for dataset in datasets} >= {"MONOCHROME2", "RGB", "YBR_FULL_422"}


def test_the_reader_reads_them(written: Path, site_key: SiteKey) -> None:
    for site in ("local", "external"):
        exams: dict[str, set[str | None]] = defaultdict(set)
        for row in read_table(written / site / "labels.csv"):
            with DicomReader().open(written / site / row["path"], site_key) as clip:
                frames = list(clip.frames())
                assert not clip.notes
            assert clip.info.n_frames_declared == len(frames) == N_FRAMES
            assert clip.info.time_source in {TimeSource.FRAME_TIME, TimeSource.FRAME_TIME_VECTOR}
            rate_hz = DEVICES[row["device"]].frame_rate_hz
            assert [frame.time_s for frame in frames] == pytest.approx(np.arange(N_FRAMES) / rate_hz, abs=1e-5)
            assert clip.info.patient_key == site_key.patient(row["patient_id"])
            exams[row["exam_id"]].add(clip.info.exam_key)
        assert all(len(keys) == 1 for keys in exams.values())
        assert len(set.union(*exams.values())) == len(exams)


@pytest.mark.parametrize("device", ["synthetic-cart", "synthetic-handheld"], ids=["grey", "colour"])
@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_pixels_and_region_are_what_was_drawn(
    tmp_path: Path, convex: PatientLook, site_key: SiteKey, device: str, syntax: str
) -> None:
    look = replace(convex, device=DEVICES[device])
    drawn = simulate(look, Findings(a_lines=2), seed=1, n_frames=2)
    write_dicom(tmp_path / "clip.dcm", drawn, NAMES, syntax)
    with DicomReader().open(tmp_path / "clip.dcm", site_key) as clip:
        read = np.stack([frame.pixels for frame in clip.frames() if frame.pixels is not None])
        region = clip.info.region
    expected = drawn.frames.astype(float)
    if look.device.tint:
        expected = drawn.in_colour() @ np.array([0.299, 0.587, 0.114])
    error = np.abs(read - expected)
    assert error.mean() < (2 if syntax == JPEG else 0.6)
    rows, columns = np.nonzero(drawn.inside)
    assert region is not None
    assert (region.x0, region.y0, region.x1, region.y1) == (
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    )


@pytest.mark.parametrize("probe", ["convex", "linear", "phased"])
def test_regions_say_how_large_a_pixel_is(tmp_path: Path, convex: PatientLook, probe: str) -> None:
    look = replace(convex, probe=probe)
    drawn = simulate(look, Findings(), seed=1, n_frames=1)
    write_dicom(tmp_path / "clip.dcm", drawn, NAMES, RLELossless)
    (region,) = dcmread(tmp_path / "clip.dcm").SequenceOfUltrasoundRegions
    assert (region.PhysicalUnitsXDirection, region.PhysicalUnitsYDirection) == (3, 3)
    assert region.PhysicalDeltaX == region.PhysicalDeltaY
    column = region.RegionLocationMinX0 + region.ReferencePixelX0
    rows = np.nonzero(drawn.inside[:, column])[0]
    assert rows[0] == pytest.approx(region.RegionLocationMinY0 + region.ReferencePixelY0, abs=1)
    assert len(rows) * region.PhysicalDeltaY * 10 == pytest.approx(look.depth_mm, abs=1.5)


def test_the_same_archive_has_the_same_bytes(written: Path, tmp_path: Path) -> None:
    write_archive(tmp_path, n_patients=1, clips_per_patient=5, n_frames=N_FRAMES, clip_format="dicom")
    for path in (tmp_path / "clips").iterdir():
        assert path.read_bytes() == (written / "local" / "clips" / path.name).read_bytes()
