"""DICOM: every transfer syntax and colour space gives the same grey frames; headers that lie are survived."""

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
from pydicom.pixels.utils import compress
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
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

from lusfx.errors import ClipError, SkippedClipError, UnreadableClipError
from lusfx.readers.dicom import DicomReader
from lusfx.site_key import SiteKey
from lusfx.types import Box, ClipInfo, Frame, FrameStatus, Note, TimeSource
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
KEY = SiteKey(bytes(32))
LUMA = np.array([0.299, 0.587, 0.114])


def read(path: Path) -> tuple[ClipInfo, list[Frame], frozenset[Note]]:
    with DicomReader().open(path, KEY) as clip:
        frames = list(clip.frames())
        return clip.info, frames, clip.notes


def pixels(path: Path) -> Frames:
    return np.stack([frame.pixels for frame in read(path)[1] if frame.pixels is not None])


def grey_of(frames: Frames) -> NDArray[np.float64]:
    return frames @ LUMA if frames.ndim == 4 else frames.astype(float)


@pytest.mark.parametrize(
    ("syntax", "tolerance"),
    [
        (RLELossless, 0),
        (JPEGLSLossless, 0),
        (JPEG2000Lossless, 0),
        (JPEGLossless, 0),
        (JPEGLosslessSV1, 0),
        (JPEGBaseline8Bit, 4),
    ],
)
@pytest.mark.parametrize("colour", [False, True])
def test_compressed_frames_are_the_encoded_ones(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, tolerance: int, colour: bool
) -> None:
    frames = make.as_rgb(cine) if colour else cine
    dataset = make.compressed(make.make_dataset(frames, "RGB" if colour else "MONOCHROME2"), syntax, tmp_path)
    path = write_dicom(dataset)
    decoded = pixels(path)
    assert decoded.shape == cine.shape
    assert np.abs(decoded - grey_of(frames)).max() <= tolerance + (1 if colour else 0)


def test_lossy_jpeg_2000_is_close(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    compress(dataset, JPEG2000, j2k_psnr=[50])
    assert np.abs(pixels(write_dicom(dataset)) - cine.astype(int)).mean() < 2


def test_near_lossless_jpeg_ls_keeps_its_bound(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    compress(dataset, "1.2.840.10008.1.2.4.81", jls_error=3)
    assert np.abs(pixels(write_dicom(dataset)) - cine.astype(int)).max() <= 3


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_uncompressed_frames(tmp_path: Path, cine: Frames, syntax: pydicom.uid.UID) -> None:
    dataset = make.make_dataset(cine)
    dataset.file_meta.TransferSyntaxUID = syntax
    path = tmp_path / "clip.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    np.testing.assert_array_equal(pixels(path), cine)


def test_big_endian_16_bit_frames(tmp_path: Path, cine: Frames) -> None:
    dataset = make.make_dataset((cine.astype(np.uint16) * 256).astype(">u2"))
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    path = tmp_path / "clip.dcm"
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=False)
    np.testing.assert_array_equal(pixels(path), cine)


def test_monochrome1_is_inverted(write_dicom: Write, cine: Frames) -> None:
    np.testing.assert_array_equal(pixels(write_dicom(make.make_dataset(255 - cine, "MONOCHROME1"))), cine)


@pytest.mark.parametrize("planar", [0, 1])
def test_rgb_becomes_luma_in_either_plane_order(write_dicom: Write, cine: Frames, planar: int) -> None:
    rgb = make.as_rgb(cine)
    dataset = make.make_dataset(rgb, "RGB")
    if planar:
        dataset.PlanarConfiguration, dataset.PixelData = 1, np.moveaxis(rgb, -1, 1).tobytes()
    assert np.abs(pixels(write_dicom(dataset)) - grey_of(rgb)).max() <= 0.51


def test_of_ybr_full_the_luma_is_taken_as_it_is(write_dicom: Write, cine: Frames) -> None:
    ybr = np.stack([cine, 255 - cine, cine], axis=-1)
    np.testing.assert_array_equal(pixels(write_dicom(make.make_dataset(ybr, "YBR_FULL"))), cine)


def test_uncompressed_ybr_full_422(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(np.repeat(cine[..., None], 3, axis=-1), "YBR_FULL_422")
    pairs = cine.reshape(*cine.shape[:2], -1, 2)
    chroma = np.full_like(pairs[..., :1], 128)
    dataset.PixelData = np.concatenate([pairs, chroma, chroma], axis=-1).tobytes()
    np.testing.assert_array_equal(pixels(write_dicom(dataset)), cine)


@pytest.mark.parametrize("is_whole", [True, False])
@pytest.mark.parametrize("has_region", [True, False])
def test_a_video_streams_size_counts(write_dicom: Write, has_region: bool, is_whole: bool) -> None:
    cine = make.make_cine(4, 64, 96)
    stream = io.BytesIO()
    make.encode_video(stream, cine, "libx264", "h264")
    regions = [make.region((0, 0, 96, 64))] if has_region else None
    dataset = make.make_dataset(np.repeat(cine[..., None], 3, axis=-1), "YBR_PARTIAL_420", regions)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    if not is_whole:
        dataset.Rows, dataset.Columns = 80, 96
    info, frames, notes = read(write_dicom(dataset))
    assert (info.height, info.width) == (64, 96)
    assert all(frame.pixels is not None and frame.pixels.shape == (64, 96) for frame in frames)
    if is_whole:
        assert notes == frozenset()
        assert (info.region is not None) == has_region
    else:
        assert notes == {Note.DESCRIPTION_CORRECTED} | ({Note.REGION_IGNORED} if has_region else set())
        assert info.region is None


@pytest.mark.parametrize("payload", [b"", b"\1\2" * 40])
def test_a_payload_that_is_no_video_has_a_code(write_dicom: Write, cine: Frames, payload: bytes) -> None:
    dataset = make.make_dataset(cine)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([payload or b"\0\0"])
    with pytest.raises(ClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "damaged"


def test_palette_colours_become_luma(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine // 4, "PALETTE COLOR")
    levels = np.arange(64) * 4
    for name, table in (("Red", levels), ("Green", levels[::-1]), ("Blue", levels // 2)):
        setattr(dataset, f"{name}PaletteColorLookupTableDescriptor", [64, 0, 16])
        setattr(dataset, f"{name}PaletteColorLookupTableData", (table * 257).astype("<u2").tobytes())
    expected = np.stack([levels, levels[::-1], levels // 2], axis=-1)[cine // 4] @ LUMA
    assert np.abs(pixels(write_dicom(dataset)) - expected).max() <= 0.51


def test_sixteen_bits_are_scaled_by_what_is_stored(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine.astype(np.uint16) << 4)
    dataset.BitsStored, dataset.HighBit = 12, 11
    np.testing.assert_array_equal(pixels(write_dicom(dataset)), cine)


@pytest.mark.parametrize(
    ("codec", "container", "syntax"),
    [
        ("libx264", "h264", "1.2.840.10008.1.2.4.102"),
        ("libx264", "mp4", "1.2.840.10008.1.2.4.102"),
        ("mpeg2video", "mpeg2video", "1.2.840.10008.1.2.4.100"),
    ],
)
def test_video_payloads(write_dicom: Write, codec: str, container: str, syntax: str) -> None:
    cine = make.make_cine(12, 64, 96)
    stream = io.BytesIO()
    make.encode_video(stream, cine, codec, container)
    dataset = make.make_dataset(np.repeat(cine[..., None], 3, axis=-1), "YBR_PARTIAL_420")
    dataset.file_meta.TransferSyntaxUID = syntax
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    path = write_dicom(dataset)
    info, frames, notes = read(path)
    assert len(frames) == 12
    assert notes == frozenset()
    assert info.time_source == TimeSource.FRAME_TIME
    assert frames[3].time_s == pytest.approx(0.12)
    assert np.abs(pixels(path) - cine.astype(int)).mean() < 4


@pytest.mark.parametrize("name", ["examples_ybr_color", "examples_palette", "examples_rgb_color", "examples_jpeg2k"])
def test_pydicoms_real_ultrasound_files_agree_with_its_own_decoding(name: str) -> None:
    path = Path(pydicom.__file__).parent / "data" / "test_files" / f"{name}.dcm"
    dataset = pydicom.dcmread(path)
    reference = dataset.pixel_array
    if name == "examples_palette":
        reference = pydicom.pixels.apply_color_lut(reference, dataset) >> 8
    reference = grey_of(reference.reshape(-1, dataset.Rows, dataset.Columns, 3))
    _, frames, notes = read(path)
    assert len(frames) == len(reference)
    # Two of them were made smaller after their machine had stated a region.
    assert notes <= {Note.FRAME_TIMES_UNKNOWN, Note.REGION_IGNORED}
    decoded = np.stack([frame.pixels for frame in frames if frame.pixels is not None])
    # Luma of converted RGB is clipped where YBR holds colours that RGB cannot: the mean shows that it is the same image.
    assert np.abs(decoded - reference).mean() < 0.6


def test_of_several_regions_the_largest_b_mode_one_is_taken(write_dicom: Write, cine: Frames) -> None:
    regions = [
        make.region((0, 0, 64, 48), spatial_format=2, data_type=1),  # M-mode
        make.region((0, 0, 64, 48), spatial_format=3, data_type=3),  # spectral Doppler
        make.region((2, 2, 20, 20)),
        make.region((10, 4, 60, 40)),
        make.region((12, 6, 30, 30), data_type=2),  # colour flow over it
    ]
    info, _, notes = read(write_dicom(make.make_dataset(cine, regions=regions)))
    assert info.region == Box(10, 4, 60, 40)
    assert notes == {Note.SEVERAL_B_MODE_REGIONS}


def test_a_file_without_a_b_mode_region_is_skipped(write_dicom: Write, cine: Frames) -> None:
    path = write_dicom(make.make_dataset(cine, regions=[make.region((0, 0, 64, 48), spatial_format=2)]))
    with pytest.raises(SkippedClipError) as caught:
        read(path)
    assert caught.value.code == "no-b-mode-region"


def times(write_dicom: Write, **values: object) -> tuple[TimeSource, list[float]]:
    dataset = make.make_dataset(make.make_cine())
    del dataset.FrameTime
    for name, value in values.items():
        setattr(dataset, name, value)
    info, frames, _ = read(write_dicom(dataset))
    return info.time_source, [frame.time_s for frame in frames]


def test_frame_times_come_from_the_most_exact_source(write_dicom: Write) -> None:
    everything: dict[str, object] = {
        "FrameTimeVector": [0, 10, 20, 30], "FrameTime": 50, "CineRate": 10, "RecommendedDisplayFrameRate": 5,
    }  # fmt: skip
    expected = [
        (TimeSource.FRAME_TIME_VECTOR, [0, 0.01, 0.03, 0.06]),
        (TimeSource.FRAME_TIME, [0, 0.05, 0.1, 0.15]),
        (TimeSource.CINE_RATE, [0, 0.1, 0.2, 0.3]),
        (TimeSource.RECOMMENDED_DISPLAY_FRAME_RATE, [0, 0.2, 0.4, 0.6]),
    ]
    for source, seconds in expected:
        found, found_seconds = times(write_dicom, **everything)
        assert found == source
        assert found_seconds == pytest.approx(seconds)
        everything.pop(next(iter(everything)))
    assert times(write_dicom)[0] == TimeSource.UNKNOWN


@pytest.mark.parametrize("nonsense", [0, -40, ""])
def test_a_frame_time_that_makes_no_sense_is_passed_over(write_dicom: Write, nonsense: object) -> None:
    assert times(write_dicom, FrameTime=nonsense, CineRate=10)[0] == TimeSource.CINE_RATE


def test_a_vector_that_is_too_short_is_passed_over(write_dicom: Write) -> None:
    assert times(write_dicom, FrameTimeVector=[0, 10], FrameTime=50)[0] == TimeSource.FRAME_TIME


def test_identifiers_become_keys_that_match_a_label_tables(write_dicom: Write, cine: Frames) -> None:
    info, _, _ = read(write_dicom(make.make_dataset(cine)))
    assert info.patient_key == KEY.patient("patient-7")
    assert info.exam_key == KEY.exam("1.2.3.4")


def test_patients_of_different_issuers_are_told_apart(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    dataset.IssuerOfPatientID = "ward 3"
    assert read(write_dicom(dataset))[0].patient_key not in (None, KEY.patient("patient-7"))


def test_a_file_without_a_patient_has_none(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    dataset.PatientID = ""
    assert read(write_dicom(dataset))[0].patient_key is None


@pytest.mark.parametrize(
    ("syntax", "colour"), [(ExplicitVRLittleEndian, False), (RLELossless, False), (JPEGBaseline8Bit, True)]
)
@pytest.mark.parametrize("declared", [0, 1, 3, 5, 2**31 - 1, None])
def test_a_wrong_number_of_frames_is_told_and_survived(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, colour: bool, declared: int | None
) -> None:
    dataset = make.make_dataset(make.as_rgb(cine) if colour else cine, "RGB" if colour else "MONOCHROME2")
    if syntax != ExplicitVRLittleEndian:
        dataset = make.compressed(dataset, syntax, tmp_path)
    if declared is None:
        del dataset.NumberOfFrames
    else:
        dataset.NumberOfFrames = declared
    try:
        info, frames, notes = read(write_dicom(dataset))
    except ClipError as error:
        assert error.code in {"no-frames", "damaged"}  # noqa: PT017 - either a result or this
        return
    if len(frames) != info.n_frames_declared:
        assert notes & {Note.FEWER_FRAMES_THAN_DECLARED, Note.MORE_FRAMES_THAN_DECLARED}
    for frame, original in zip(frames, cine, strict=False):
        if frame.pixels is not None and not colour:
            np.testing.assert_array_equal(frame.pixels, original)


def test_half_a_jpeg_frame_is_not_accepted(write_dicom: Write, tmp_path: Path, cine: Frames) -> None:
    dataset = make.compressed(make.make_dataset(cine), JPEGBaseline8Bit, tmp_path)
    encoded = list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=4))
    encoded[2] = encoded[2][: len(encoded[2]) // 2]
    dataset.PixelData = pydicom.encaps.encapsulate(encoded)
    _, frames, notes = read(write_dicom(dataset))
    assert [frame.status for frame in frames] == [
        FrameStatus.OK,
        FrameStatus.OK,
        FrameStatus.UNREADABLE,
        FrameStatus.OK,
    ]
    assert frames[2].pixels is None
    assert Note.UNREADABLE_FRAMES in notes


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Modality": "CT"}, "not-ultrasound"),
        ({"PixelData": None}, "no-pixel-data"),
        ({"Rows": 0}, "damaged"),
        ({"Rows": 65535, "Columns": 65535}, "too-large"),
        ({"BitsAllocated": 32}, "unsupported-pixel-format"),
        ({"PhotometricInterpretation": "HSV"}, "unsupported-pixel-format"),
        ({"SamplesPerPixel": 2}, "damaged"),
    ],
)
def test_what_cannot_be_read_has_a_code(write_dicom: Write, cine: Frames, change: dict[str, object], code: str) -> None:
    dataset = make.make_dataset(cine)
    for name, value in change.items():
        if value is None:
            delattr(dataset, name)
        else:
            setattr(dataset, name, value)
    with pytest.raises(ClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == code


def test_an_unknown_transfer_syntax_has_a_code(write_dicom: Write, cine: Frames) -> None:
    dataset = make.make_dataset(cine)
    dataset.PixelData = pydicom.encaps.encapsulate([b"xx"] * 4)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.95"  # JPIP Referenced Deflate
    with pytest.raises(ClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "unsupported-transfer-syntax"


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGBaseline8Bit, JPEG2000Lossless])
def test_a_file_cut_anywhere_gives_a_code_or_fewer_frames(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str
) -> None:
    dataset = make.make_dataset(cine, regions=[make.region((0, 0, 64, 48))])
    if syntax != ExplicitVRLittleEndian:
        dataset = make.compressed(dataset, syntax, tmp_path)
    path = write_dicom(dataset)
    content = path.read_bytes()
    cut = tmp_path / "cut.dcm"
    for length in np.linspace(0, len(content) - 2, 40).astype(int):
        cut.write_bytes(content[:length])
        try:
            info, frames, notes = read(cut)
        except ClipError as error:
            assert error.code  # noqa: PT017 - either a result or this
        else:
            assert len(frames) < len(cine) or notes or length > len(content) - 16
            assert info.n_frames_declared == len(cine)


def test_random_damage_gives_typed_errors_only(write_dicom: Write, tmp_path: Path, cine: Frames) -> None:
    dataset = make.make_dataset(cine, regions=[make.region((0, 0, 64, 48))])
    content = write_dicom(make.compressed(dataset, RLELossless, tmp_path)).read_bytes()
    path = tmp_path / "altered.dcm"
    generator = np.random.default_rng(0)
    for _ in range(250):
        altered = bytearray(content)
        for position in generator.integers(0, 1400, 3):
            altered[position] = int(generator.integers(256))
        path.write_bytes(altered)
        try:
            read(path)
        except ClipError as error:
            assert make.CANARY not in str(error)  # noqa: PT017 - either a result or this


def test_nothing_of_the_patient_is_told(
    tmp_path: Path, cine: Frames, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Values that are invalid for their type make pydicom warn and log, quoting them."""
    dataset = make.make_dataset(cine)
    path = tmp_path / "clip.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    content = path.read_bytes()
    # PatientID (0010,0020), VR LO: another VR in its place makes every reading of it complain.
    tag = struct.pack("<HH", 0x0010, 0x0020) + b"LO"
    assert content.count(tag) == 1
    for vr in (b"DS", b"IS", b"DA", b"SQ", b"UI", b"FD"):
        path.write_bytes(content.replace(tag, tag[:4] + vr).replace(b"patient-7", b"CANARYID!"))
        try:
            with DicomReader().open(path, KEY) as clip:
                list(clip.frames())
                told = repr(clip.info)
        except ClipError as error:
            told = repr(error) + str(error.__cause__)
        assert "CANARY" not in told
    assert "CANARY" not in caplog.text
    captured = capfd.readouterr()
    assert "CANARY" not in captured.out + captured.err


def test_text_named_dcm_is_not_dicom(tmp_path: Path) -> None:
    path = tmp_path / "x.dcm"
    path.write_text("hello " * 100)
    with pytest.raises(UnreadableClipError) as caught:
        read(path)
    assert caught.value.code == "not-dicom"
    assert "x.dcm" not in str(caught.value)


def test_content_is_claimed_by_its_preamble() -> None:
    assert DicomReader().claims_content(b"\0" * 128 + b"DICM" + b"\0" * 100)
    assert not DicomReader().claims_content(b"\0" * 4096)
    assert not DicomReader().claims_content(b"")


@pytest.mark.parametrize("depth", [10, 2000, 50_000])
def test_nested_sequences_do_not_overflow(write_dicom: Write, cine: Frames, depth: int) -> None:
    path = write_dicom(make.make_dataset(cine))
    content = path.read_bytes()
    undefined = b"\xff\xff\xff\xff"
    opened = struct.pack("<HH", 0x0008, 0x1115) + b"SQ\0\0" + undefined + struct.pack("<HH", 0xFFFE, 0xE000) + undefined
    closed = struct.pack("<HHLHHL", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
    patient = struct.pack("<HH", 0x0010, 0x0010) + b"PN"
    assert content.count(patient) == 1
    path.write_bytes(content.replace(patient, opened * depth + closed * depth + patient))
    try:
        frames = read(path)[1]
    except ClipError as error:
        assert error.code == "damaged"  # noqa: PT017 - either a result or this
    else:
        np.testing.assert_array_equal(np.stack([frame.pixels for frame in frames if frame.pixels is not None]), cine)


@pytest.mark.real_data
@pytest.mark.parametrize("clip", ["covid-blues/lus_videos/patient_10_L1.mp4", "pocus/videos/Reg_pat1Image_132943.mpeg"])
@pytest.mark.parametrize(
    ("syntax", "tolerance"),
    [
        (ExplicitVRLittleEndian, 0),
        (RLELossless, 0),
        (JPEGLSLossless, 0),
        (JPEG2000Lossless, 0),
        (JPEGLossless, 0),
        (JPEGLosslessSV1, 0),
        (JPEGBaseline8Bit, 12),
    ],
)
def test_real_clips_in_every_transfer_syntax(
    shared_data: Path, write_dicom: Write, tmp_path: Path, clip: str, syntax: str, tolerance: int
) -> None:
    from itertools import islice

    from lusfx.readers.video import VideoReader

    with VideoReader().open(shared_data / clip, KEY) as opened:
        original = np.stack([frame.pixels for frame in islice(opened.frames(), 6) if frame.pixels is not None])
    for colour in (False, True):
        frames = np.repeat(original[..., None], 3, axis=-1) if colour else original
        dataset = make.make_dataset(frames, "RGB" if colour else "MONOCHROME2")
        if syntax != ExplicitVRLittleEndian:
            dataset = make.compressed(dataset, syntax, tmp_path)
        assert np.abs(pixels(write_dicom(dataset)) - original.astype(int)).max() <= tolerance


@pytest.mark.real_data
@pytest.mark.parametrize(("codec", "container"), [("libx264", "h264"), ("libx264", "mp4")])
def test_a_real_clip_as_a_video_payload(shared_data: Path, write_dicom: Write, codec: str, container: str) -> None:
    from lusfx.readers.video import VideoReader

    with VideoReader().open(shared_data / "covid-blues/lus_videos/patient_10_L1.mp4", KEY) as opened:
        original = np.stack([frame.pixels for frame in opened.frames() if frame.pixels is not None])
    stream = io.BytesIO()
    make.encode_video(stream, original, codec, container)
    dataset = make.make_dataset(np.repeat(original[:1, ..., None], 3, axis=-1), "YBR_PARTIAL_420")
    dataset.NumberOfFrames = len(original)
    dataset.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.102"
    dataset.PixelData = pydicom.encaps.encapsulate([stream.getvalue()])
    decoded = pixels(write_dicom(dataset))
    assert decoded.shape == original.shape
    assert np.abs(decoded - original.astype(int)).mean() < 2
