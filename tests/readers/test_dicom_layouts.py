"""Uncompressed pixels whose length contradicts their description, and in which order their bytes are."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from lusfx.errors import ClipError, UnreadableClipError
from lusfx.readers.dicom import DicomReader
from lusfx.readers.dicom_description import PixelDescription
from lusfx.readers.dicom_layouts import Layout, choose_layout, roughness
from lusfx.site_key import SiteKey
from lusfx.types import Frame, Note, TimeSource
from tests.readers import make

Frames = NDArray[np.uint8]
Write = Callable[[FileDataset], Path]
LUMA = np.array([0.299, 0.587, 0.114])
CORRECTED = {Note.DESCRIPTION_CORRECTED}


def read(path: Path) -> tuple[list[Frame], frozenset[Note], TimeSource]:
    with DicomReader().open(path, SiteKey(bytes(32))) as clip:
        frames = list(clip.frames())
        assert all(
            frame.pixels is None or frame.pixels.shape == (clip.info.height, clip.info.width) for frame in frames
        )
        return frames, clip.notes, clip.info.time_source


def assert_read(path: Path, wanted: NDArray[np.generic], tolerance: float = 0.51) -> frozenset[Note]:
    frames, notes, _ = read(path)
    assert len(frames) == len(wanted)
    for frame, grey in zip(frames, wanted, strict=True):
        assert frame.pixels is not None
        assert np.abs(frame.pixels.astype(float) - grey).max() <= tolerance
    return notes


@pytest.fixture
def scan() -> Frames:
    """A bright half on black, as a scan is."""
    cine = make.make_cine(6, 48, 66)
    cine[:, :, :30] = 0
    return np.asarray(cine)


def tint(scan: Frames) -> Frames:
    return (scan[..., None] * np.array([1, 0.85, 0.55])).round().astype(np.uint8)


def ybr(rgb: Frames) -> Frames:
    return np.asarray(pydicom.pixels.convert_color_space(rgb, "RGB", "YBR_FULL"))


def pairs(colours: Frames) -> bytes:
    """4:2:2 with rows of whole pairs."""
    if colours.shape[2] % 2:
        colours = np.concatenate([colours, colours[:, :, -1:]], axis=2)
    luma = colours[..., 0].reshape(*colours.shape[:2], -1, 2)
    return np.concatenate([luma, colours[:, :, ::2, 1:]], axis=-1).tobytes()


def native(frames: Frames, photometric: str, value: bytes, **about: object) -> FileDataset:
    dataset: FileDataset = make.make_dataset(frames, photometric)
    for name, given in about.items():
        setattr(dataset, name, given)
    dataset.PixelData = value + b"\0" * (len(value) % 2)
    return dataset


@pytest.mark.parametrize("n_frames", [1, 2, 3, 6])
@pytest.mark.parametrize("label", ["YBR_FULL_422", "MONOCHROME2"])
def test_three_bytes_a_pixel_are_rgb_whatever_they_are_called(
    write_dicom: Write, scan: Frames, n_frames: int, label: str
) -> None:
    rgb = tint(scan[:n_frames])
    dataset = native(rgb if label.startswith("YBR") else scan[:n_frames], label, rgb.tobytes())
    assert assert_read(write_dicom(dataset), rgb @ LUMA) >= CORRECTED


@pytest.mark.parametrize("label", ["RGB", "YBR_FULL"])
def test_pairs_that_are_called_whole_pixels(write_dicom: Write, scan: Frames, label: str) -> None:
    rgb = tint(scan)
    notes = assert_read(write_dicom(native(rgb, label, pairs(ybr(rgb)))), rgb @ LUMA, 2)
    assert notes >= CORRECTED


@pytest.mark.parametrize("n_frames", [1, 2, 3, 6])
def test_grey_that_is_called_rgb(write_dicom: Write, scan: Frames, n_frames: int) -> None:
    grey = scan[:n_frames]
    assert assert_read(write_dicom(native(tint(grey), "RGB", grey.tobytes())), grey) >= CORRECTED


def test_three_samples_that_are_called_grey(write_dicom: Write, scan: Frames) -> None:
    rgb = tint(scan)
    assert assert_read(write_dicom(make.make_dataset(rgb, "MONOCHROME2")), rgb @ LUMA) >= CORRECTED


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_in_the_other_order(write_dicom: Write, scan: Frames, planar: int) -> None:
    rgb = tint(scan)
    value = rgb.tobytes() if planar else np.moveaxis(rgb, -1, 1).tobytes()
    assert assert_read(write_dicom(native(rgb, "RGB", value, PlanarConfiguration=planar)), rgb @ LUMA) == CORRECTED


def test_eight_bits_in_sixteen_and_the_other_way_round(write_dicom: Write, scan: Frames) -> None:
    wide = scan.astype("<u2")
    assert assert_read(write_dicom(native(scan, "MONOCHROME2", wide.tobytes())), scan) >= CORRECTED
    dataset = native(wide, "MONOCHROME2", scan.tobytes(), BitsAllocated=16, BitsStored=8, HighBit=7)
    assert assert_read(write_dicom(dataset), scan) == CORRECTED


@pytest.mark.parametrize("writer", ["padded", "rows", "running"])
def test_pairs_of_an_odd_width(write_dicom: Write, scan: Frames, writer: str) -> None:
    odd = scan[:, :, :65]
    colours = ybr(tint(odd))
    if writer == "padded":
        value = pairs(colours)
    elif writer == "running":
        value = pairs(colours.reshape(len(colours), 1, -1, 3))
    else:
        even, last = pairs(colours[:, :, :64]), colours[:, :, 64, :2]
        lines = np.frombuffer(even, np.uint8).reshape(*colours.shape[:2], -1)
        value = np.concatenate([lines, last], axis=-1).tobytes()
    notes = assert_read(write_dicom(native(colours, "YBR_FULL_422", value)), colours[..., 0])
    assert notes == frozenset()


@pytest.mark.parametrize("declared", [None, 1, 5, 7])
@pytest.mark.parametrize("label", ["MONOCHROME2", "RGB", "YBR_FULL_422"])
def test_all_frames_are_read_and_keep_their_times(
    write_dicom: Write, scan: Frames, declared: int | None, label: str
) -> None:
    rgb = tint(scan)
    value, frames = {
        "MONOCHROME2": (scan.tobytes(), scan),
        "RGB": (rgb.tobytes(), rgb),
        "YBR_FULL_422": (pairs(ybr(rgb)), rgb),
    }[label]
    dataset = native(frames, label, value, NumberOfFrames=declared)
    if declared is None:
        del dataset.NumberOfFrames
    path = write_dicom(dataset)
    assert_read(path, scan if label == "MONOCHROME2" else rgb @ LUMA, 2)
    found, notes, source = read(path)
    told = Note.FEWER_FRAMES_THAN_DECLARED if declared == 7 else Note.MORE_FRAMES_THAN_DECLARED
    assert notes == {told}
    assert source == TimeSource.FRAME_TIME
    assert found[5].time_s == pytest.approx(0.2)


@pytest.mark.parametrize("declared", [5, 7])
def test_a_vector_of_times_survives_a_corrected_count(write_dicom: Write, scan: Frames, declared: int) -> None:
    dataset = native(
        scan, "MONOCHROME2", scan.tobytes(), NumberOfFrames=declared, FrameTimeVector=[0, 10, 20, 10, 20, 10]
    )
    found, _, source = read(write_dicom(dataset))
    assert source == TimeSource.FRAME_TIME_VECTOR
    assert found[4].time_s == pytest.approx(0.06)


@pytest.mark.parametrize("surplus", [bytes(1000), bytes(700) + b"\x01", b"\xff" * 2000])
def test_what_fits_no_description_has_a_code(write_dicom: Write, scan: Frames, surplus: bytes) -> None:
    dataset = native(scan, "MONOCHROME2", scan.tobytes() + surplus)
    with pytest.raises(UnreadableClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "pixels-contradict-header"


def test_what_fits_several_descriptions_is_not_guessed(write_dicom: Write, generator: np.random.Generator) -> None:
    noise = generator.integers(0, 256, (6, 40, 40), dtype=np.uint8)
    dataset = native(np.repeat(noise[..., None], 3, axis=-1), "RGB", noise.tobytes())
    with pytest.raises(UnreadableClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "pixels-contradict-header"


def test_padding_is_none_of_the_pixels(write_dicom: Write, scan: Frames) -> None:
    for padding in (bytes(128), bytes(700), b"\xff" * 600):
        assert assert_read(write_dicom(native(scan, "MONOCHROME2", scan.tobytes() + padding)), scan) == frozenset()


def test_what_is_left_over_and_no_padding_is_noted(write_dicom: Write, scan: Frames) -> None:
    surplus = bytes(range(1, 129))
    assert assert_read(write_dicom(native(scan, "MONOCHROME2", scan.tobytes() + surplus)), scan) == CORRECTED


def test_frames_that_are_padded_one_by_one(write_dicom: Write) -> None:
    scan = np.ascontiguousarray(make.make_cine(5, 47, 65))
    dataset = native(scan, "MONOCHROME2", b"".join(frame.tobytes() + b"\0" for frame in scan))
    assert assert_read(write_dicom(dataset), scan) == CORRECTED


@pytest.mark.parametrize("keyword", ["PhotometricInterpretation", "BitsStored", "BitsAllocated"])
@pytest.mark.parametrize("colour", [False, True])
def test_a_missing_field_that_follows_from_the_others(
    write_dicom: Write, scan: Frames, keyword: str, colour: bool
) -> None:
    frames = tint(scan) if colour else scan
    dataset = native(frames, "RGB" if colour else "MONOCHROME2", frames.tobytes())
    delattr(dataset, keyword)
    wanted = frames @ LUMA if colour else frames
    assert Note.DESCRIPTION_CORRECTED in assert_read(write_dicom(dataset), wanted, 1)


def test_bits_of_a_pixel_that_are_called_those_of_a_sample(write_dicom: Write, scan: Frames) -> None:
    colours = tint(scan)
    dataset = native(colours, "RGB", colours.tobytes(), BitsAllocated=24)
    assert assert_read(write_dicom(dataset), colours @ LUMA, 1) == CORRECTED


@pytest.mark.parametrize("stored", [0, 9, 16])
def test_more_bits_than_there_are(write_dicom: Write, scan: Frames, stored: int) -> None:
    dataset = native(scan, "MONOCHROME2", scan.tobytes(), BitsStored=stored, HighBit=max(stored - 1, 0))
    assert assert_read(write_dicom(dataset), scan) == CORRECTED


def test_samples_without_a_sign_that_are_called_signed(write_dicom: Write, scan: Frames) -> None:
    assert (scan >= 128).any()
    dataset = native(scan, "MONOCHROME2", scan.tobytes(), PixelRepresentation=1)
    assert assert_read(write_dicom(dataset), scan) == CORRECTED
    dataset.PixelData = (scan // 4 - 32).astype(np.int8).tobytes()
    with pytest.raises(UnreadableClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "unsupported-pixel-format"


def test_floating_point_samples_have_a_code(write_dicom: Write, scan: Frames) -> None:
    dataset = make.make_dataset(scan)
    del dataset.PixelData
    dataset.FloatPixelData = scan.astype("<f4").tobytes()
    with pytest.raises(ClipError) as caught:
        read(write_dicom(dataset))
    assert caught.value.code == "unsupported-pixel-format"


@pytest.mark.parametrize("vr", ["OB", "OW"])
@pytest.mark.parametrize("width", [66, 65])
@pytest.mark.parametrize("height", [48, 47])
def test_big_endian_bytes_are_exchanged_in_words_only(
    tmp_path: Path, scan: Frames, vr: str, width: int, height: int
) -> None:
    frames = scan[:3, :height, :width]
    value = frames.tobytes() + b"\0" * (frames.size % 2)
    if vr == "OW":
        value = np.frombuffer(value, np.uint16).byteswap().tobytes()
    dataset = native(frames, "MONOCHROME2", value)
    dataset["PixelData"].VR = vr
    dataset.file_meta.TransferSyntaxUID = ExplicitVRBigEndian
    path = tmp_path / "clip.dcm"
    pydicom.dcmwrite(path, dataset, implicit_vr=False, little_endian=False, force_encoding=False)
    assert assert_read(path, frames) == frozenset()


@pytest.mark.parametrize("implicit_body", [False, True])
@pytest.mark.parametrize("black_begin", [False, True])
def test_a_body_of_another_encoding_than_stated(
    tmp_path: Path, scan: Frames, implicit_body: bool, black_begin: bool
) -> None:
    frames = scan if black_begin else np.maximum(scan, 20)
    dataset = make.make_dataset(frames)
    written, stated = (
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian)
        if implicit_body
        else (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    )
    dataset.file_meta.TransferSyntaxUID = written
    path = tmp_path / "clip.dcm"
    pydicom.dcmwrite(path, dataset, enforce_file_format=True)
    head = b"\x02\0\x10\0UI"

    def uid(name: str) -> bytes:
        padded = name.encode() + b"\0" * (len(name) % 2)
        return head + struct.pack("<H", len(padded)) + padded

    content = path.read_bytes()
    assert content.count(uid(written)) == 1
    changed = content.replace(uid(written), uid(stated))
    # The length of the file's meta information changes with the name of its syntax.
    (length,) = struct.unpack_from("<L", content, 140)
    path.write_bytes(changed[:140] + struct.pack("<L", length + len(changed) - len(content)) + changed[144:])
    assert assert_read(path, frames) == frozenset()


def description(**about: object) -> PixelDescription:
    usual: dict[str, object] = {
        "rows": 48, "columns": 64, "samples": 1, "photometric": "MONOCHROME2", "planes": False, "bits_allocated": 8,
        "bits_stored": 8, "high_bit": 7, "is_signed": False, "n_frames": 4,
    }  # fmt: skip
    return PixelDescription(**{**usual, **about})  # type: ignore[arg-type]


def test_what_fits_is_not_looked_at() -> None:
    def look(layout: Layout) -> Frames:
        raise AssertionError("the header is enough")

    layout = choose_layout(description(), 4 * 48 * 64, look, lambda place: False)
    assert layout == Layout(description(), 4)


def test_shuffled_pixels_are_rougher(cine: Frames, generator: np.random.Generator) -> None:
    shuffled = generator.permuted(cine[0].reshape(-1)).reshape(cine[0].shape)
    assert roughness(shuffled) > 3 * roughness(cine[0])
    assert roughness(np.full((9, 9), 7, np.uint8)) == 0
