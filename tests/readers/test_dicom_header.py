"""Where a DICOM file begins, what it is encoded in, and single fields that are broken."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from lusfx.errors import ClipError
from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_header import begins_as_dicom
from lusfx.site_key import SiteKey
from lusfx.types import ClipInfo, Frame, Note
from tests.readers import make

Frames = NDArray[np.uint8]
KEY = SiteKey(bytes(32))
PREAMBLE = 132
ENCODINGS = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with DicomReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(path: Path) -> Frames:
    return np.stack([frame.pixels for frame in read(path)[1] if frame.pixels is not None])


def content_of(dataset: FileDataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """A whole file."""
    dataset.file_meta.TransferSyntaxUID = syntax
    if syntax == ExplicitVRBigEndian:
        dataset["PixelData"].VR = "OW"
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    return stream.getvalue()


def data_set_of(content: bytes) -> bytes:
    """A file without preamble and file header."""
    (length,) = struct.unpack_from("<L", content, PREAMBLE + 8)
    return content[PREAMBLE + 12 + length :]


def without_element(content: bytes, keyword: str) -> bytes:
    start, end = make.element_place(content, keyword)
    return content[:start] + content[end:]


def wide(cine: Frames) -> NDArray[np.uint16]:
    return cine.astype(np.uint16) * 257


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "IM0001"


# ---- where a file begins


@pytest.mark.parametrize("syntax", ENCODINGS)
def test_a_bare_data_set(path: Path, cine: Frames, syntax: str) -> None:
    frames = wide(cine).astype(">u2") if syntax == ExplicitVRBigEndian else wide(cine)
    bare = data_set_of(content_of(make.make_dataset(frames), syntax))
    path.write_bytes(bare)
    assert DicomReader().claims_content(bare[:4096])
    np.testing.assert_array_equal(pixels(path), cine)


HEADS: dict[str, Callable[[bytes], bytes]] = {
    "no preamble": lambda content: content[128:],
    "neither preamble nor its mark": lambda content: content[PREAMBLE:],
    "a preamble without its mark": lambda content: content[:128] + content[PREAMBLE:],
    "the mark alone": lambda content: b"DICM" + data_set_of(content),
    "a preamble alone": lambda content: bytes(128) + data_set_of(content),
    "a preamble, its mark and no file header": lambda content: content[:PREAMBLE] + data_set_of(content),
    "a preamble of another use": lambda content: b"II*\0" + content[4:],
    "no length of the file header": lambda content: without_element(content, "FileMetaInformationGroupLength"),
    "a wrong length of the file header": lambda content: make.with_raw_value(
        content, "FileMetaInformationGroupLength", struct.pack("<L", 9)
    ),
    "no class in the file header": lambda content: without_element(content, "MediaStorageSOPClassUID"),
    "no transfer syntax": lambda content: without_element(content, "TransferSyntaxUID"),
    "an empty transfer syntax": lambda content: make.with_raw_value(content, "TransferSyntaxUID", b""),
}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_head_that_is_not_as_it_should_be(path: Path, cine: Frames, head: str, syntax: str) -> None:
    content = HEADS[head](content_of(make.make_dataset(cine), syntax))
    path.write_bytes(content)
    assert DicomReader().claims_content(content[:4096])
    np.testing.assert_array_equal(pixels(path), cine)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 5000,
        b"\x08\0",
        b"\x08\0\x05\0",
        b"\x08\0\x05\0CS\x0a\0ISO_IR 100",  # one element proves nothing
        b"Dear Sir or Madam,\n" * 300,
        b"\x08\0\x05\0" * 1000,
        struct.pack("<1000L", *range(8, 1008)),
        struct.pack("<1000L", *(8, 4, 0) * 333, 8),
        struct.pack("<500H", *range(8, 508)),
        b"PK\x03\x04" + b"\0" * 4000,
        b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 4000,
        b"\0\0\0\x20ftypisom" + b"\0" * 4000,
        b"\x02\0\0\0UL\4\0\0\0\0\0",
        b"\0\5\x16\7\0\2\0\0Mac OS X        " + b"\0" * 3000,
    ],
)
def test_what_is_no_dicom_is_not_claimed(content: bytes) -> None:
    assert not begins_as_dicom(content)


def test_random_bytes_are_not_claimed() -> None:
    generator = np.random.default_rng(0)
    for start in (b"\x08\0\x05\0", b"\x08\0\0\0\4\0\0\0", b"\x08\0\x16\0UI", b"\0\x08\0\x05CS", b"\2\0\0\0UL\4\0"):
        for _ in range(300):
            assert not begins_as_dicom(start + generator.bytes(200))


# ---- what it is encoded in


@pytest.mark.parametrize(
    "syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless, JPEGLossless, JPEGLosslessSV1, JPEGBaseline8Bit]
)
def test_the_codestream_tells_a_syntax_that_is_missing(path: Path, tmp_path: Path, cine: Frames, syntax: str) -> None:
    dataset = make.compressed(make.make_dataset(cine), syntax, tmp_path)
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    path.write_bytes(make.with_raw_value(stream.getvalue(), "TransferSyntaxUID", b""))
    assert np.abs(pixels(path) - cine.astype(int)).max() <= (4 if syntax == JPEGBaseline8Bit else 0)


def test_a_codestream_that_nobody_knows_has_a_code(path: Path, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    dataset.PixelData = encapsulate([b"neither JPEG nor anything"] * 4)
    dataset["PixelData"].is_undefined_length = True
    path.write_bytes(make.with_raw_value(content_of(dataset, RLELossless), "TransferSyntaxUID", b""))
    assert code_of(path) == "unsupported-transfer-syntax"


@pytest.mark.parametrize(("stated", "body"), [(0, 1), (1, 0)])
def test_a_native_syntax_that_is_another_than_stated(path: Path, cine: Frames, stated: int, body: int) -> None:
    syntaxes = (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
    content = content_of(make.make_dataset(cine), syntaxes[body])
    uid = str(syntaxes[stated]).encode()
    path.write_bytes(make.with_raw_value(content, "TransferSyntaxUID", uid + b"\0" * (len(uid) % 2)))
    np.testing.assert_array_equal(pixels(path), cine)


def code_of(path: Path) -> str:
    with pytest.raises(ClipError) as caught:
        read(path)
    return caught.value.code


UNREAD = {
    "GE, pixels big endian": "1.2.840.113619.5.2",
    "Philips": "1.3.46.670589.33.1.4.1",
    "Merge": "1.2.840.113845.1.2.1",
    "made up": "1.2.3.4.5.6.7.8.9",
    "no identifier at all": "JPEG",
    "JPIP": "1.2.840.10008.1.2.4.94",
    "JPEG, progressive": "1.2.840.10008.1.2.4.55",
    "uncompressed in fragments": "1.2.840.10008.1.2.1.98",
    "XML": "1.2.840.10008.1.2.6.2",
    "fragmentable HEVC, which there is not": "1.2.840.10008.1.2.4.107.1",
    "live video": "1.2.840.10008.1.2.7.1",
}


@pytest.mark.parametrize("name", UNREAD)
@pytest.mark.parametrize("body", [ImplicitVRLittleEndian, ExplicitVRLittleEndian])
def test_a_syntax_that_is_not_read_has_its_code(path: Path, cine: Frames, name: str, body: str) -> None:
    content = content_of(make.make_dataset(cine), body)
    uid = UNREAD[name].encode()
    changed = make.with_raw_value(content, "TransferSyntaxUID", uid + b"\0" * (len(uid) % 2))
    path.write_bytes(changed)
    assert code_of(path) == "unsupported-transfer-syntax"


def test_a_data_set_that_is_packed_in_an_unknown_way_is_not_called_damaged(path: Path, cine: Frames) -> None:
    content = make.with_raw_value(content_of(make.make_dataset(cine)), "TransferSyntaxUID", b"1.2.840.10008.1.2.4.95")
    head = content[: len(content) - len(data_set_of(content_of(make.make_dataset(cine))))]
    path.write_bytes(head + np.random.default_rng(1).bytes(4000))
    assert code_of(path) in {"unsupported-transfer-syntax", "no-pixel-data"}


@pytest.mark.parametrize(("keyword", "value"), [("Modality", "CT"), ("PixelData", None)])
def test_of_a_syntax_that_is_not_read_other_kinds_are_skipped_as_ever(
    path: Path, cine: Frames, keyword: str, value: str | None
) -> None:
    dataset = make.make_dataset(cine)
    if value is None:
        del dataset.PixelData
    else:
        setattr(dataset, keyword, value)
    path.write_bytes(make.with_raw_value(content_of(dataset), "TransferSyntaxUID", b"1.2.3.4\0"))
    assert code_of(path) == ("no-pixel-data" if value is None else "not-ultrasound")


@pytest.mark.parametrize("number", range(100, 107))
@pytest.mark.parametrize("fragmentable", ["", ".1"])
def test_video_in_one_fragment_or_many(path: Path, number: int, fragmentable: str) -> None:
    cine = make.make_cine(8, 64, 96)
    stream = io.BytesIO()
    codec, container = ("mpeg2video", "mpeg2video") if number < 102 else ("libx264", "h264")
    make.encode_video(stream, cine, codec, container)
    video = stream.getvalue() + b"\0" * (len(stream.getvalue()) % 2)
    dataset = make.make_dataset(np.repeat(cine[..., None], 3, axis=-1), "YBR_PARTIAL_420")
    fragments = [video[start : start + 1024] for start in range(0, len(video), 1024)] if fragmentable else [video]
    dataset.PixelData = encapsulate(fragments, has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    path.write_bytes(content_of(dataset, f"1.2.840.10008.1.2.4.{number}{fragmentable}"))
    assert np.abs(pixels(path) - cine.astype(int)).mean() < 4


@pytest.mark.parametrize(
    ("codec", "container"), [("libx264", "h264"), ("libx264", "mp4"), ("mpeg2video", "mpeg2video")]
)
@pytest.mark.parametrize(
    "stated", ["", "1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.4.102", "1.2.840.10008.1.2.4.107"]
)
def test_video_is_known_by_its_first_bytes(path: Path, codec: str, container: str, stated: str) -> None:
    cine = make.make_cine(8, 64, 96)
    stream = io.BytesIO()
    make.encode_video(stream, cine, codec, container)
    dataset = make.make_dataset(np.repeat(cine[..., None], 3, axis=-1), "YBR_PARTIAL_420")
    dataset.PixelData = encapsulate([stream.getvalue()], has_bot=False)
    dataset["PixelData"].is_undefined_length = True
    content = content_of(dataset, "1.2.840.10008.1.2.4.102")
    path.write_bytes(make.with_raw_value(content, "TransferSyntaxUID", stated.encode() + b"\0" * (len(stated) % 2)))
    assert np.abs(pixels(path) - cine.astype(int)).mean() < 4


# ---- single fields

SOUND = {
    "FrameTime": [b"40,0", b"soon", b"", b"40\\40 ", b"\xff\xfe40"],
    "NumberOfFrames": [b"4.0 ", b" 4", b"4\0", b"4\\4 ", b"+4"],
    "Rows": [struct.pack("<HH", 48, 48)],
    "Columns": [struct.pack("<HH", 64, 64)],
    "BitsAllocated": [struct.pack("<HH", 8, 8)],
    "SamplesPerPixel": [struct.pack("<HH", 1, 1)],
    "PatientID": [b"\xe4\xf6\xfc ", b"\x1b$B1234", b""],
    "StudyInstanceUID": [b"no identifier at all", b""],
    "FrameIncrementPointer": [b"\x18\0", b"", b"\xff\xff\xff\xff"],
    "Modality": [b"us", b"US  ", b"US\0\0", b"US\\US ", b""],
}


@pytest.mark.parametrize(
    ("keyword", "value"), [(keyword, value) for keyword, values in SOUND.items() for value in values]
)
def test_one_bad_field_costs_no_pixels(path: Path, cine: Frames, keyword: str, value: bytes) -> None:
    path.write_bytes(make.with_raw_value(content_of(make.make_dataset(cine)), keyword, value))
    np.testing.assert_array_equal(pixels(path), cine)


@pytest.mark.parametrize("vr", ["DS", "IS", "DA", "SQ", "UI", "FD", "UN", "US", "AT", "PN"])
@pytest.mark.parametrize("keyword", ["PatientID", "StudyInstanceUID", "FrameTime", "Modality"])
def test_a_field_of_another_type_costs_no_pixels(path: Path, cine: Frames, keyword: str, vr: str) -> None:
    content = content_of(make.make_dataset(cine))
    start, end = make.element_place(content, keyword)
    path.write_bytes(make.with_raw_value(content, keyword, content[start + 8 : end], vr))
    try:
        np.testing.assert_array_equal(pixels(path), cine)
    except ClipError as error:
        # Garbage may name another modality.
        assert (keyword, error.code) == ("Modality", "not-ultrasound")  # noqa: PT017


def test_two_patients_whose_identifiers_cannot_be_decoded_stay_two(path: Path, cine: Frames) -> None:
    keys = []
    for value in (b"7 months", b"8 months"):
        path.write_bytes(make.with_raw_value(content_of(make.make_dataset(cine)), "PatientID", value, "DS"))
        keys.append(read(path)[0].patient_key)
    assert None not in keys
    assert keys[0] != keys[1]


@pytest.mark.parametrize("charset", [b"ISO_IR 999", b"GARBAGE ", b"ISO 2022 IR 87\\ISO_IR 192 ", b"\xff\xff"])
def test_a_character_set_that_nobody_knows_costs_no_pixels(path: Path, cine: Frames, charset: bytes) -> None:
    dataset = make.make_dataset(cine)
    dataset.SpecificCharacterSet = "ISO_IR 100"
    path.write_bytes(make.with_raw_value(content_of(dataset), "SpecificCharacterSet", charset))
    np.testing.assert_array_equal(pixels(path), cine)


@pytest.mark.parametrize("keyword", ["RegionSpatialFormat", "RegionLocationMinX0", "PhysicalDeltaX"])
def test_garbage_in_a_region_costs_no_pixels(path: Path, cine: Frames, keyword: str) -> None:
    item = make.region((0, 0, 64, 48))
    item.PhysicalDeltaX = item.PhysicalDeltaY = 0.05
    item.PhysicalUnitsXDirection = item.PhysicalUnitsYDirection = 3
    content = content_of(make.make_dataset(cine, regions=[item]))
    start, end = make.element_place(content, keyword)
    garbage = bytes(range(0xB0, 0xB0 + end - start - 8))
    path.write_bytes(content[: start + 8] + garbage + content[end:])
    np.testing.assert_array_equal(pixels(path), cine)


@pytest.mark.parametrize(
    ("keyword", "value", "code"),
    [
        ("Rows", b"", "damaged"),
        ("Rows", b"\0\0", "damaged"),
        ("Columns", b"\0\0", "damaged"),
        ("Rows", struct.pack("<HH", 48, 96), "damaged"),
    ],
)
def test_frames_without_a_size_are_damaged(path: Path, cine: Frames, keyword: str, value: bytes, code: str) -> None:
    path.write_bytes(make.with_raw_value(content_of(make.make_dataset(cine)), keyword, value))
    assert code_of(path) == code


@pytest.mark.parametrize("value", [b"", b"four", b"-4", b"0 ", b"99999999999 ", b"1e3 "])
def test_a_number_of_frames_without_sense_does_not_refuse_the_file(path: Path, cine: Frames, value: bytes) -> None:
    path.write_bytes(make.with_raw_value(content_of(make.make_dataset(cine)), "NumberOfFrames", value))
    first = read(path)[1][0]
    np.testing.assert_array_equal(first.pixels, cine[0])


def test_times_beyond_a_vector_are_told_to_be_unknown(path: Path, cine: Frames, tmp_path: Path) -> None:
    """More frames than the header knows of, whose times nobody stated."""
    dataset = make.compressed(make.make_dataset(cine), RLELossless, tmp_path)
    encoded = list(generate_frames(dataset.PixelData, number_of_frames=4))
    dataset.PixelData = encapsulate(encoded)
    dataset.NumberOfFrames = 3
    del dataset.FrameTime
    dataset.FrameTimeVector = [0, 40, 40]
    stream = io.BytesIO()
    pydicom.dcmwrite(stream, dataset, enforce_file_format=True)
    path.write_bytes(stream.getvalue())
    _, frames, notes = read(path)
    assert [frame.time_s for frame in frames[:3]] == pytest.approx([0, 0.04, 0.08])
    if len(frames) == 4:
        assert np.isnan(frames[3].time_s)
        assert Note.FRAME_TIMES_UNKNOWN in notes


def test_a_file_that_ends_within_its_head_has_a_code(path: Path, cine: Frames) -> None:
    content = content_of(make.make_dataset(cine))
    for length in range(130, 420, 7):
        path.write_bytes(content[:length])
        with pytest.raises(ClipError):
            read(path)


def test_errors_of_a_bare_file_quote_nothing(path: Path, cine: Frames) -> None:
    bare = data_set_of(content_of(make.make_dataset(cine)))
    path.write_bytes(bare[: bare.index(make.CANARY.encode()) + 20])
    with pytest.raises(ClipError) as caught:
        read(path)
    assert make.CANARY not in str(caught.value)


@pytest.mark.parametrize("keyword", ["PatientID", "Rows"])
@pytest.mark.parametrize("n_bytes", [6, 9])
def test_a_file_that_is_cut_within_its_header_is_damaged(path: Path, cine: Frames, keyword: str, n_bytes: int) -> None:
    content = content_of(make.make_dataset(cine))
    place, _ = make.element_place(content, keyword)
    path.write_bytes(content[: place + n_bytes])
    assert code_of(path) == "damaged"


def test_a_file_that_is_cut_within_its_file_header_is_damaged(path: Path, cine: Frames) -> None:
    path.write_bytes(content_of(make.make_dataset(cine))[:160])
    assert code_of(path) == "damaged"
