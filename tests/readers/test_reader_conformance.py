"""The built-in readers pass the kit that plugins' readers are held to, in several formats each."""

from __future__ import annotations

from pathlib import Path

import av
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from pydicom import dcmwrite
from pydicom.uid import JPEGBaseline8Bit, RLELossless

from lusfx.readers.dicom import DicomReader
from lusfx.readers.image import ImageReader
from lusfx.readers.video import VideoReader
from lusfx.testing import ReaderConformance
from tests.readers import make


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


class TestElementaryStream(ReaderConformance):
    reader = VideoReader()

    def example(self, folder: Path) -> Path:
        make.encode_video(folder / "IM000001", make.make_cine(), "libx264", "h264")
        return folder / "IM000001"


class TestTurnedMp4(ReaderConformance):
    reader = VideoReader()

    def example(self, folder: Path) -> Path:
        with av.open(str(folder / "clip.mp4"), "w") as output:
            stream = output.add_stream("mpeg4", rate=25)
            stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
            stream.set_display_matrix([0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30])
            for grey in make.make_cine():
                output.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
            output.mux(stream.encode())
        return folder / "clip.mp4"


class TestGif(ReaderConformance):
    reader = VideoReader()

    def example(self, folder: Path) -> Path:
        first, *rest = (Image.fromarray(frame) for frame in make.make_cine())
        first.save(folder / "clip.gif", save_all=True, append_images=rest, duration=40)
        return folder / "clip.gif"


class TestAnimatedPng(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        first, *rest = (Image.fromarray(frame) for frame in make.make_cine())
        first.save(folder / "clip.png", save_all=True, append_images=rest, duration=40)
        return folder / "clip.png"


class TestAnimatedWebp(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        first, *rest = (Image.fromarray(frame) for frame in make.make_cine())
        first.save(folder / "clip.webp", save_all=True, append_images=rest, duration=40)
        return folder / "clip.webp"


class TestPng16(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        Image.fromarray(make.make_cine(1)[0].astype("uint16") * 16).save(folder / "still.png")
        return folder / "still.png"


class TestImageJStack(ReaderConformance):
    reader = ImageReader()

    def example(self, folder: Path) -> Path:
        tags = ImageFileDirectory_v2()
        tags[270] = "ImageJ=1.54f\nimages=4\nframes=4\nfinterval=0.04\n"
        cine = make.make_cine()
        Image.fromarray(cine[0]).save(folder / "stack.tif", tiffinfo=tags)
        with (folder / "stack.tif").open("r+b") as stream:
            with Image.open(stream) as image:
                place = image.tag_v2[273][0]
            stream.seek(place)
            stream.write(cine.tobytes())
        return folder / "stack.tif"


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
