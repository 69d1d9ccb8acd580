"""The built-in readers pass the kit that plugins' readers are held to, in several formats each."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from PIL import Image
from pydicom import dcmwrite
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from lusfx.readers.dicom import DicomReader
from lusfx.readers.image import ImageReader
from lusfx.readers.video import VideoReader
from lusfx.testing import ReaderConformance

support = importlib.util.spec_from_file_location("readers_conftest", Path(__file__).with_name("conftest.py"))
assert support is not None
assert support.loader is not None
make = importlib.util.module_from_spec(support)
support.loader.exec_module(make)


class TestMp4(ReaderConformance):
    reader = VideoReader()

    def example(self, folder: Path) -> Path:
        make.encode_video(folder / "clip.mp4", make.make_cine(), "libx264", "mp4")
        return folder / "clip.mp4"


class TestAvi(ReaderConformance):
    reader = VideoReader()

    def example(self, folder: Path) -> Path:
        make.encode_video(folder / "clip.avi", make.make_cine(), "mjpeg", "avi", "yuvj420p")
        return folder / "clip.avi"


class TestPng(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        Image.fromarray(make.make_cine(1)[0]).save(folder / "still.png")
        return folder / "still.png"


class TestTiff(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        first, *others = [Image.fromarray(frame) for frame in make.make_cine(3)]
        first.save(folder / "stack.tiff", save_all=True, append_images=others)
        return folder / "stack.tiff"


class TestDicom(ReaderConformance):
    reader = DicomReader()

    def example(self, folder: Path) -> Path:
        regions = [make.region((2, 2, 60, 40))]
        dcmwrite(folder / "clip.dcm", make.make_dataset(make.make_cine(), regions=regions), enforce_file_format=True)
        return folder / "clip.dcm"


class TestCompressedDicom(ReaderConformance):
    reader = DicomReader()

    def example(self, folder: Path) -> Path:
        dataset = make.compressed(make.make_dataset(make.as_rgb(make.make_cine()), "RGB"), JPEGBaseline8Bit, folder)
        dcmwrite(folder / "clip.dcm", dataset, enforce_file_format=True)
        return folder / "clip.dcm"


class TestDicomWithoutItsEnding(ReaderConformance):
    reader = DicomReader()

    def example(self, folder: Path) -> Path:
        dataset = make.compressed(make.make_dataset(make.make_cine()), RLELossless, folder)
        dcmwrite(folder / "IM000001", dataset, enforce_file_format=True)
        return folder / "IM000001"
