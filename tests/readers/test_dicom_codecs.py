"""Codecs that are asked directly give what pydicom's way gives, to the last bit, and refuse what it refuses."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGBaseline8Bit, JPEGLSLossless, RLELossless

from lusfx.errors import UnreadableClipError
from lusfx.readers import dicom_codecs, dicom_decoding
from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_codecs import Codec, FrameFacts, JpegLuma, RleLuma, luma
from lusfx.site_key import SiteKey
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
Found = list[NDArray[np.uint8] | None]


def read(path: Path) -> Found:
    try:
        with DicomReader().open(path, SiteKey(bytes(32))) as clip:
            return [frame.pixels for frame in clip.frames()]
    except UnreadableClipError:
        return []


def assert_same(found: Found, wanted: Found) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            np.testing.assert_array_equal(one, other)


@pytest.fixture
def read_in_both_ways(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], tuple[Found, Found, int]]:
    """Reads a file directly and by pydicom alone, and counts the frames that a codec answered."""

    def read_both(path: Path) -> tuple[Found, Found, int]:
        answers = 0

        def counted(make_codec: Callable[[FrameFacts], Codec]) -> Callable[[FrameFacts], Codec]:
            def make_counting(facts: FrameFacts) -> Codec:
                codec = make_codec(facts)

                def ask(frame: bytes) -> NDArray[np.uint8] | None:
                    nonlocal answers
                    answer = codec(frame)
                    answers += answer is not None
                    return answer

                return ask

            return make_counting

        with monkeypatch.context() as patch:
            patch.setattr(dicom_decoding, "CODECS", {name: counted(c) for name, c in dicom_codecs.CODECS.items()})
            directly = read(path)
        with monkeypatch.context() as patch:
            patch.setattr(dicom_decoding, "CODECS", {})
            return directly, read(path), answers

    return read_both


def coloured(cine: Frames, kind: str) -> Frames:
    """The cine in colour: tinted, grey in all colours, or grey with a coloured corner."""
    if kind == "tinted":
        return np.asarray(make.as_rgb(cine))
    frames = np.repeat(cine[..., None], 3, axis=3)
    if kind == "corner":
        frames[:, :9, :9] = (200, 30, 9)
    return frames


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("kind", ["mono", "tinted", "grey", "corner"])
def test_both_ways_give_the_same_pixels(
    write_dicom: Write,
    tmp_path: Path,
    cine: Frames,
    read_in_both_ways: Callable[[Path], tuple[Found, Found, int]],
    syntax: str,
    kind: str,
) -> None:
    frames = cine if kind == "mono" else coloured(cine, kind)
    photometric = "MONOCHROME2" if kind == "mono" else "RGB"
    path = write_dicom(make.compressed(make.make_dataset(frames, photometric), syntax, tmp_path))
    directly, by_pydicom, answers = read_in_both_ways(path)
    assert_same(directly, by_pydicom)
    assert all(pixels is not None for pixels in directly)
    assert answers == len(cine)


@pytest.mark.parametrize("photometric", ["RGB", "YBR_FULL_422"])
@pytest.mark.parametrize("adobe", ["RGB", "CMYK"])
def test_a_jpeg_with_adobes_marker_is_left_to_pydicom(
    write_dicom: Write,
    cine: Frames,
    read_in_both_ways: Callable[[Path], tuple[Found, Found, int]],
    photometric: str,
    adobe: str,
) -> None:
    dataset = make.make_dataset(coloured(cine, "tinted"), "RGB")
    encoded = []
    for frame in coloured(cine, "tinted"):
        stream = io.BytesIO()
        Image.fromarray(frame).convert(adobe).save(stream, "JPEG", quality=95, keep_rgb=adobe == "RGB")
        encoded.append(stream.getvalue())
    dataset.PixelData = encapsulate(encoded)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    dataset.PhotometricInterpretation = photometric
    directly, by_pydicom, answers = read_in_both_ways(write_dicom(dataset))
    assert_same(directly, by_pydicom)
    assert answers == 0


@pytest.mark.parametrize("syntax", [JPEGBaseline8Bit, JPEGLSLossless, RLELossless])
@pytest.mark.parametrize("kind", ["mono", "grey", "corner"])
def test_damaged_frames_are_refused_by_both_or_by_neither(
    write_dicom: Write,
    tmp_path: Path,
    cine: Frames,
    read_in_both_ways: Callable[[Path], tuple[Found, Found, int]],
    generator: np.random.Generator,
    syntax: str,
    kind: str,
) -> None:
    frames = cine if kind == "mono" else coloured(cine, kind)
    photometric = "MONOCHROME2" if kind == "mono" else "RGB"
    path = write_dicom(make.compressed(make.make_dataset(frames, photometric), syntax, tmp_path))
    sound = path.read_bytes()
    begin = sound.find(b"\xe0\x7f\x10\x00") + 12  # where the pixel data's value begins
    n_damaged, unharmed = 0, read(path)
    for _ in range(25):
        content = bytearray(sound)
        for position in generator.integers(begin, len(sound), 3):
            content[position] = generator.integers(0, 256)
        path.write_bytes(content)
        directly, by_pydicom, _ = read_in_both_ways(path)
        assert_same(directly, by_pydicom)
        n_damaged += len(directly) != len(unharmed) or not all(map(np.array_equal, directly, unharmed))
    assert n_damaged > 10


def test_the_luma_of_planes_is_that_of_interleaved_pixels(generator: np.random.Generator) -> None:
    """All colours on one plane are too many for a test; those that lie near a rounding are among these."""
    from rle.utils import encode_pixel_data

    rgb = generator.integers(0, 256, (512, 512, 3), dtype=np.uint8)
    near = np.abs((rgb @ np.array([299, 587, 114])) % 1000 - 500) < 2
    assert near.sum() > 500
    encoded = encode_pixel_data(
        rgb.tobytes(), rows=512, columns=512, samples_per_pixel=3, bits_allocated=8, byteorder="<"
    )
    np.testing.assert_array_equal(RleLuma(FrameFacts(512, 512, "RGB"))(encoded), luma(rgb))


def jpeg(pixels: NDArray[np.uint8], quality: int = 90) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def opened(frame: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(frame)).convert("L"))


def test_a_jpeg_with_another_header_than_the_one_before_is_read_by_its_own(cine: Frames) -> None:
    codec = JpegLuma(FrameFacts(48, 64, "MONOCHROME2"))
    encoded = [jpeg(pixels, quality) for pixels, quality in zip(cine, (90, 30, 30, 90), strict=True)]
    for frame in encoded:
        np.testing.assert_array_equal(codec(frame), opened(frame))


def test_neither_another_size_nor_damage_is_taken_for_the_frame_before(cine: Frames) -> None:
    codec = JpegLuma(FrameFacts(48, 64, "MONOCHROME2"))
    sound = jpeg(cine[0])
    assert codec(sound) is not None
    assert codec(jpeg(cine[1][:40])) is None
    assert codec(jpeg(np.repeat(cine[1][..., None], 3, axis=2))) is None
    np.testing.assert_array_equal(codec(sound), opened(sound))
    for damaged in (b"", b"\xff\xd8", sound[:40], sound[: len(sound) // 2], b"\0" + sound):
        with pytest.raises((ValueError, OSError, SyntaxError)):
            codec(damaged)
        np.testing.assert_array_equal(codec(sound), opened(sound))


def test_a_frame_that_was_given_away_is_not_written_to_again(cine: Frames) -> None:
    codec = JpegLuma(FrameFacts(48, 64, "MONOCHROME2"))
    first = codec(jpeg(cine[0]))
    assert first is not None
    kept = first.copy()
    codec(jpeg(cine[1]))
    np.testing.assert_array_equal(first, kept)
