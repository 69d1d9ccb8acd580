"""Compressed frames whose codestreams contradict the header, or have no sound end."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from lusfx.errors import UnreadableClipError
from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_codestreams import Codestream, Kind, codestream_of
from lusfx.site_key import SiteKey
from lusfx.types import Note
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]

LUMA = np.array([0.299, 0.587, 0.114])
LOSSLESS = [JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, RLELossless]
WITH_MARKS = [JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless]
END = b"\xff\xd9"


def read(path: Path) -> tuple[list[Frames | None], frozenset[Note]]:
    with DicomReader().open(path, SiteKey(bytes(32))) as clip:
        pixels = [frame.pixels for frame in clip.frames()]
        assert all(image is None or image.shape == (clip.info.height, clip.info.width) for image in pixels)
        return pixels, clip.notes


def assert_read(path: Path, wanted: NDArray[np.generic], tolerance: float = 0.51) -> frozenset[Note]:
    pixels, notes = read(path)
    assert len(pixels) == len(wanted)
    for image, grey in zip(pixels, wanted, strict=True):
        assert image is not None
        assert np.abs(image.astype(float) - grey).max() <= tolerance
    return notes


def compress(frames: Frames, syntax: str, folder: Path, photometric: str = "MONOCHROME2") -> FileDataset:
    return make.compressed(make.make_dataset(frames, photometric), syntax, folder)  # type: ignore[no-any-return]


def encoded_frames(dataset: FileDataset) -> list[bytes]:
    return list(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=int(dataset.NumberOfFrames)))


def with_frames(dataset: FileDataset, change: Callable[[bytes], bytes]) -> FileDataset:
    dataset.PixelData = encapsulate([change(frame) for frame in encoded_frames(dataset)])
    return dataset


def shown(dataset: FileDataset, write: Write) -> Frames:
    """What an unharmed file gives."""
    pixels, notes = read(write(dataset))
    assert notes == frozenset()
    return np.stack([image for image in pixels if image is not None])


@pytest.fixture
def scan(cine: Frames) -> Frames:
    """A bright half on black."""
    dark = cine.copy()
    dark[:, :, :30] = 0
    return dark


def tint(scan: Frames) -> Frames:
    return (scan[..., None] * np.array([1, 0.85, 0.55])).round().astype(np.uint8)


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, *LOSSLESS])
@pytest.mark.parametrize("size", [(64, 48), (52, 68), (40, 64)])
def test_frames_have_the_codestreams_size(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, size: tuple[int, int]
) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    dataset.Rows, dataset.Columns = size
    assert assert_read(write_dicom(dataset), wanted, 0) == {Note.DESCRIPTION_CORRECTED}


@pytest.mark.parametrize("syntax", WITH_MARKS)
@pytest.mark.parametrize("stated", [*WITH_MARKS, ExplicitVRLittleEndian, JPEGExtended12Bit])
def test_frames_are_decoded_as_what_they_are(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, stated: str
) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    dataset.file_meta.TransferSyntaxUID = stated
    if stated == ExplicitVRLittleEndian:  # pydicom writes no fragments under this name
        path = write_dicom(compress(cine, syntax, tmp_path))
        name, other = (uid.encode() + b"\0" * (len(uid) % 2) for uid in (syntax, stated))
        content = path.read_bytes()
        other += b"\0" * (len(name) - len(other))
        path.write_bytes(
            content.replace(
                b"UI" + len(name).to_bytes(2, "little") + name, b"UI" + len(name).to_bytes(2, "little") + other, 1
            )
        )
        assert other in path.read_bytes()
    else:
        path = write_dicom(dataset)
    notes = assert_read(path, wanted, 0)
    assert notes == (
        frozenset()
        if (syntax, stated) in {(s, s) for s in WITH_MARKS} | {(JPEGBaseline8Bit, JPEGExtended12Bit)}
        else {Note.DESCRIPTION_CORRECTED}
    )


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, *LOSSLESS])
@pytest.mark.parametrize("samples", [1, 3])
def test_the_number_of_samples_is_the_codestreams(
    write_dicom: Write, tmp_path: Path, scan: Frames, syntax: str, samples: int
) -> None:
    frames = scan if samples == 1 else tint(scan)
    dataset = compress(frames, syntax, tmp_path, "MONOCHROME2" if samples == 1 else "RGB")
    wanted = shown(dataset, write_dicom)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 4 - samples, "RGB" if samples == 1 else "MONOCHROME2"
    dataset.PlanarConfiguration = 0
    assert assert_read(write_dicom(dataset), wanted, 0) >= {Note.DESCRIPTION_CORRECTED}


@pytest.mark.parametrize(
    "bits", [(0, 0, 0), (8, 7, 6), (8, 16, 15), (16, 16, 15), (24, 20, 200), (32, 8, 7), (16, 1, 0)]
)
@pytest.mark.parametrize("syntax", WITH_MARKS)
def test_no_description_of_bits_ends_the_process(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, bits: tuple[int, int, int]
) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = bits
    assert_read(write_dicom(dataset), wanted, 0)


def test_damage_in_the_head_of_jpeg_lossless_never_reaches_gdcm(
    write_dicom: Write, tmp_path: Path, cine: Frames, generator: np.random.Generator
) -> None:
    """This would end the test run."""
    dataset = compress(cine[:1, :16, :16], JPEGLosslessSV1, tmp_path)
    (frame,) = encoded_frames(dataset)
    body = frame.index(b"\xff\xda") + 12
    for _ in range(100):
        damaged = bytearray(frame)
        for place in generator.integers(2, body, 2):
            damaged[place] = generator.integers(256)
        dataset.PixelData = encapsulate([bytes(damaged)])
        try:
            read(write_dicom(dataset))
        except UnreadableClipError as error:
            assert error.code  # noqa: PT017 - either a result or this


@pytest.mark.parametrize("bits", range(8, 17))
@pytest.mark.parametrize("stated", [8, 12, 16])
def test_the_precision_is_the_codestreams(write_dicom: Write, cine: Frames, bits: int, stated: int) -> None:
    dataset = make.make_dataset(cine.astype(np.uint16) << (bits - 8))
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    if bits == 8:
        dataset = make.make_dataset(cine)
    pydicom.pixels.utils.compress(dataset, JPEG2000Lossless)
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, stated, stated - 1
    assert_read(write_dicom(dataset), cine, 1)


@pytest.mark.parametrize("stated", [10, 12])
def test_a_precision_that_the_values_do_not_use_is_left_to_the_header(
    write_dicom: Write, cine: Frames, stated: int
) -> None:
    dataset = make.make_dataset(cine.astype(np.uint16) << (stated - 8))
    pydicom.pixels.utils.compress(dataset, JPEG2000Lossless)
    dataset.BitsStored, dataset.HighBit = stated, stated - 1
    assert assert_read(write_dicom(dataset), cine) == frozenset()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless])
def test_samples_have_the_codestreams_sign(write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    dataset.PixelRepresentation = 1
    assert_read(write_dicom(dataset), wanted, 0)


@pytest.mark.parametrize("syntax", WITH_MARKS)
@pytest.mark.parametrize(
    "change",
    [
        lambda frame: frame.rstrip(b"\0")[:-2],
        lambda frame: frame.rstrip(b"\0")[:-2] + b"\0" + END,
        lambda frame: frame.rstrip(b"\0")[:-2] + bytes(3) + END,
        lambda frame: frame + bytes(10),
        lambda frame: frame + b"a trailer that is no picture",
        lambda frame: bytes(2) + frame,
    ],
    ids=["none", "zero-before", "zeros-before", "zeros-behind", "trailer", "zeros-first"],
)
def test_a_frame_without_a_sound_end_is_read(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, change: Callable[[bytes], bytes]
) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    assert assert_read(write_dicom(with_frames(dataset, change)), wanted, 0) == frozenset()


def test_run_lengths_with_a_trailer_are_read(write_dicom: Write, tmp_path: Path, cine: Frames) -> None:
    dataset = with_frames(compress(cine, RLELossless, tmp_path), lambda frame: frame + b"a trailer")
    assert assert_read(write_dicom(dataset), cine, 0) == frozenset()


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, *LOSSLESS])
@pytest.mark.parametrize("n_less", [8, 40, 200])
def test_a_frame_that_was_cut_is_not_made_up(
    write_dicom: Write, tmp_path: Path, cine: Frames, syntax: str, n_less: int
) -> None:
    dataset = compress(cine, syntax, tmp_path)
    wanted = shown(dataset, write_dicom)
    frames = [frame.rstrip(b"\0") for frame in encoded_frames(dataset)]
    dataset.PixelData = encapsulate([frames[0], frames[1][:-n_less], *frames[2:]])
    pixels, notes = read(write_dicom(dataset))
    assert notes == {Note.UNREADABLE_FRAMES}
    assert pixels.pop(1) is None
    np.testing.assert_array_equal(np.stack([image for image in pixels if image is not None]), wanted[[0, 2, 3]])


def jpeg(pixels: Frames, kind: str) -> bytes:
    """A JPEG whose colours are told by JFIF, by Adobe's marker, by names or by nothing."""
    stream = io.BytesIO()
    is_rgb = kind.startswith("rgb")
    Image.fromarray(pixels).save(stream, "JPEG", quality=97, subsampling=0, keep_rgb=is_rgb)
    content = stream.getvalue()
    if kind in ("jfif", "rgb-adobe"):
        return content
    content = content[:2] + content[4 + int.from_bytes(content[4:6], "big") :]
    if kind == "adobe":
        return content[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\x01" + content[2:]
    if kind == "rgb-unmarked":
        content = content.replace(b"R\x11\0G\x11\0B\x11\0", b"\x01\x11\0\x02\x11\0\x03\x11\0")
        content = content.replace(b"\x03R\0G\0B\0", b"\x03\x01\0\x02\0\x03\0")
        assert b"R\x11" not in content
    return content


@pytest.mark.parametrize("kind", ["jfif", "adobe", "unmarked", "rgb-adobe", "rgb-names", "rgb-unmarked"])
@pytest.mark.parametrize(
    "label",
    ["RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT", "YBR_PARTIAL_422", "YBR_PARTIAL_420", "MONOCHROME2"],
)
def test_the_colours_of_jpegs_are_what_they_are(write_dicom: Write, scan: Frames, kind: str, label: str) -> None:
    rgb = tint(scan)
    dataset = make.make_dataset(rgb, "RGB")
    dataset.PixelData = encapsulate([jpeg(frame, kind) for frame in rgb])
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = label
    notes = assert_read(write_dicom(dataset), rgb @ LUMA, 8)
    doubtful = {
        ("unmarked", "RGB"),
        *(("rgb-unmarked", other) for other in ("YBR_FULL", "YBR_FULL_422", "MONOCHROME2")),
    }
    if (kind, label) in doubtful:
        assert notes >= {Note.COLOUR_SPACE_CORRECTED}
    if kind in ("jfif", "adobe", "rgb-adobe", "rgb-names") or (kind, label) == ("rgb-unmarked", "RGB"):
        assert notes == frozenset()


@pytest.mark.parametrize("syntax", LOSSLESS)
@pytest.mark.parametrize("label", ["RGB", "YBR_FULL"])
@pytest.mark.parametrize("is_rgb", [True, False])
def test_lossless_colours_are_told_by_the_pixels(
    write_dicom: Write, tmp_path: Path, scan: Frames, syntax: str, label: str, is_rgb: bool
) -> None:
    rgb = tint(scan)
    stored = rgb if is_rgb else np.asarray(pydicom.pixels.convert_color_space(rgb, "RGB", "YBR_FULL"))
    dataset = compress(stored, syntax, tmp_path, "RGB")
    dataset.PhotometricInterpretation = label
    notes = assert_read(write_dicom(dataset), rgb @ LUMA, 2)
    assert notes <= {Note.COLOUR_SPACE_CORRECTED}
    if syntax != JPEGLosslessSV1:  # GDCM names the components, so that the codestream has its own word
        assert bool(notes) == (label != ("RGB" if is_rgb else "YBR_FULL"))


def test_frames_of_four_colours_or_twelve_bits_have_a_code(write_dicom: Write, cine: Frames) -> None:
    stream = io.BytesIO()
    Image.fromarray(make.as_rgb(cine)[0]).convert("CMYK").save(stream, "JPEG")
    grey = io.BytesIO()
    Image.fromarray(cine[0]).save(grey, "JPEG")
    twelve_bits = grey.getvalue().replace(b"\xff\xc0\0\x0b\x08", b"\xff\xc1\0\x0b\x0c")
    for frame in (stream.getvalue(), twelve_bits):
        dataset = make.make_dataset(cine[:1])
        dataset.PixelData = encapsulate([frame])
        dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
        with pytest.raises(UnreadableClipError) as caught:
            read(write_dicom(dataset))
        assert caught.value.code == "unsupported-pixel-format"


def test_what_is_no_codestream_says_nothing() -> None:
    for content in (
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xc0",
        b"\xff\x4f\xff\x51",
        b"\0" * 100,
        b"\xff\xd8\xff\xff",
    ):
        assert codestream_of(content) is None


def test_a_jpeg_says_its_size(cine: Frames) -> None:
    found = codestream_of(jpeg(make.as_rgb(cine)[0], "unmarked"))
    assert found == Codestream(Kind.JPEG, 48, 64, 3, 8)
    assert found is not None
    assert found.colour is None


@pytest.mark.parametrize("has_items", [True, False])
def test_compressed_frames_in_an_element_with_a_length(
    write_dicom: Write, tmp_path: Path, scan: Frames, has_items: bool
) -> None:
    dataset = compress(scan, JPEGLSLossless, tmp_path)
    content = write_dicom(dataset).read_bytes()
    place = content.rindex(b"\xe0\x7f\x10\0OB\0\0")
    value = dataset.PixelData if has_items else b"".join(encoded_frames(dataset))
    path = tmp_path / "with-a-length.dcm"
    path.write_bytes(content[: place + 8] + len(value).to_bytes(4, "little") + value)
    assert assert_read(path, scan) == frozenset()
