"""Every file of pydicom's wheel is read as pydicom reads it, or refused with its code."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from lusfx.errors import ClipError
from lusfx.readers.dicom import DicomReader
from lusfx.site_key import SiteKey

FOLDER = Path(pydicom.__file__).parent / "data" / "test_files"
LUMA = np.array([0.299, 0.587, 0.114])
CODES = {
    "not-dicom": ("no_meta.dcm", "README*", "crayons.icc", "*.dump", "*.json", "zipMR.gz"),
    "damaged": ("nested_priv_SQ.dcm",),
    "unsupported-transfer-syntax": ("meta_missing_tsyntax.dcm",),
    "no-pixel-data": (
        "*NoMeta.dcm", "rtstruct.dcm",
        "UN_sequence.dcm", "empty_charset_LEI.dcm", "no_meta_group_length.dcm", "priv_SQ.dcm", "reportsi*.dcm", "rtplan*.dcm",
        "test-SR.dcm", "waveform_ecg.dcm", "DICOMDIR*",
    ),
    "unsupported-pixel-format": ("SC_rgb_rle_32bit*.dcm",),
    "not-ultrasound": (
        "693_*.dcm", "CT_small.dcm", "J2K_pixelrep_mismatch.dcm", "JPEG-lossy.dcm", "JPEG2000*.dcm", "JPGExtended.dcm",
        "MR_*.dcm", "badVR.dcm", "examples_overlay.dcm", "liver_*.dcm", "rtdose*.dcm",
    ),
}  # fmt: skip
"""All others are ultrasound, or of no modality, and are read."""
CLIPPED = {"examples_ybr_color.dcm": 7, "examples_rgb_color.dcm": 1}
"""Luma of converted RGB is clipped where YBR holds colours that RGB cannot."""


def local_files() -> list[Path]:
    """Those of the wheel; of the series of CT slices, whose files are one like the other, the directories."""
    files = [*FOLDER.glob("*"), *FOLDER.glob("dicomdirtests/*")]
    return sorted(path for path in files if path.is_file())


def code_of(path: Path) -> str | None:
    return next((code for code, patterns in CODES.items() if any(path.match(pattern) for pattern in patterns)), None)


def luma_of(path: Path) -> NDArray[np.float64]:
    """Frames as pydicom has them, 8 bits ``(n, height, width)``."""
    dataset = pydicom.dcmread(path)
    array = dataset.pixel_array
    bits = dataset.BitsStored
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        array, bits = pydicom.pixels.apply_color_lut(array, dataset), 16
    array = (array >> (bits - 8)).reshape(
        -1, dataset.Rows, dataset.Columns, array.shape[-1] if array.shape[-1] == 3 else 1
    )
    return np.asarray(array @ LUMA if array.shape[-1] == 3 else array[..., 0], np.float64)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", local_files(), ids=lambda path: path.relative_to(FOLDER).as_posix())
def test_each_file_is_read_or_has_its_code(path: Path) -> None:
    wanted = code_of(path)
    try:
        with DicomReader().open(path, SiteKey(bytes(32))) as clip:
            pixels = [frame.pixels for frame in clip.frames()]
    except ClipError as error:
        assert error.code == wanted  # noqa: PT017 - either a result or this
        return
    assert wanted is None
    assert all(image is not None for image in pixels)
    decoded = np.stack([image for image in pixels if image is not None])
    reference = luma_of(path)
    assert decoded.shape == reference.shape
    error = np.abs(decoded - reference)
    assert error.mean() < 0.6
    assert error.max() <= CLIPPED.get(path.name, 9 if "SC_" in path.name else 1)
