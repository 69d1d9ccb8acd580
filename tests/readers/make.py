"""Makes source files of every kind from known frames."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import Dataset, dcmread, dcmwrite
from pydicom.datadict import tag_for_keyword
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.utils import compress
from pydicom.sequence import Sequence
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    UltrasoundMultiFrameImageStorage,
    generate_uid,
)

Frames = NDArray[np.uint8]
CANARY = "CANARY^DOE"


def make_cine(n_frames: int = 4, height: int = 48, width: int = 64) -> Frames:
    """A smooth moving pattern, so that lossy codecs stay close; black to white."""
    y, x = np.mgrid[:height, :width]
    phase = np.arange(n_frames)[:, None, None]
    waves = np.sin(x / 9 + phase) + np.cos(y / 11 - phase / 2)
    scaled = (waves - waves.min()) / np.ptp(waves) * 255
    return scaled.astype(np.uint8)


def as_rgb(frames: Frames) -> Frames:
    """The same cine with colour in it ``(n, height, width, 3)``."""
    return np.stack([frames, 255 - frames, frames // 2 + 40], axis=-1)


def region(box: tuple[int, int, int, int], spatial_format: int = 1, data_type: int = 1) -> Dataset:
    """An item of SequenceOfUltrasoundRegions; the box is given half open."""
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = spatial_format, data_type, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = box[0], box[1]
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = box[2] - 1, box[3] - 1
    return item


def make_dataset(frames: Frames, photometric: str = "MONOCHROME2", regions: list[Dataset] | None = None) -> FileDataset:
    """An uncompressed ultrasound multi-frame image of frames ``(n, height, width[, 3])``, 8 or 16 bits."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = UltrasoundMultiFrameImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientName = "US", "patient-7", CANARY
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", generate_uid()
    dataset.Rows, dataset.Columns = frames.shape[1:3]
    dataset.NumberOfFrames = len(frames)
    dataset.SamplesPerPixel = frames.shape[3] if frames.ndim == 4 else 1
    if dataset.SamplesPerPixel == 3:
        dataset.PlanarConfiguration = 0
    dataset.PhotometricInterpretation = photometric
    dataset.BitsAllocated = dataset.BitsStored = frames.dtype.itemsize * 8
    dataset.HighBit = dataset.BitsStored - 1
    dataset.PixelRepresentation = 0
    dataset.FrameTime = 40
    dataset.FrameIncrementPointer = 0x00181063
    if regions is not None:
        dataset.SequenceOfUltrasoundRegions = Sequence(regions)
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OW" if frames.dtype.itemsize == 2 else "OB"
    return dataset


def element_place(content: bytes, keyword: str) -> tuple[int, int]:
    """Where an element of an explicit little-endian file begins and ends."""
    tag = tag_for_keyword(keyword)
    assert tag is not None
    place = content.index(struct.pack("<HH", tag >> 16, tag & 0xFFFF), 132)
    if content[place + 4 : place + 6] in (b"SQ", b"OB", b"OW", b"UN"):
        return place, place + 12 + int(struct.unpack_from("<L", content, place + 8)[0])
    return place, place + 8 + int(struct.unpack_from("<H", content, place + 6)[0])


def with_raw_value(content: bytes, keyword: str, value: bytes, vr: str | None = None) -> bytes:
    """A file with another value, and type, of an element that it has: one that pydicom would not write."""
    start, end = element_place(content, keyword)
    written = content[start + 4 : start + 6] if vr is None else vr.encode()
    is_long = written in (b"SQ", b"OB", b"OW", b"UN")
    length = b"\0\0" + struct.pack("<L", len(value)) if is_long else struct.pack("<H", len(value))
    return content[: start + 4] + written + length + value + content[end:]


def compressed(dataset: FileDataset, syntax: str, folder: Path) -> FileDataset:
    """The dataset in another transfer syntax."""
    if syntax == JPEGBaseline8Bit:
        return jpeg_baseline(dataset)
    if syntax in (JPEGLossless, JPEGLosslessSV1):
        return jpeg_lossless(dataset, syntax, folder)
    compress(dataset, syntax)
    return dataset


def jpeg_baseline(dataset: FileDataset) -> FileDataset:
    frames = dataset.pixel_array
    encoded = []
    for frame in frames:
        stream = io.BytesIO()
        Image.fromarray(frame).save(stream, format="JPEG", quality=97, subsampling=0)
        encoded.append(stream.getvalue())
    dataset.PixelData = encapsulate(encoded)
    dataset.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    if dataset.SamplesPerPixel == 3:
        dataset.PhotometricInterpretation = "YBR_FULL_422"
    return dataset


def jpeg_lossless(dataset: FileDataset, syntax: str, folder: Path) -> FileDataset:
    import gdcm

    plain, packed = folder / "plain.dcm", folder / "packed.dcm"
    dcmwrite(plain, dataset, enforce_file_format=True)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(plain))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    kinds = {
        JPEGLossless: gdcm.TransferSyntax.JPEGLosslessProcess14,
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    }
    change.SetTransferSyntax(gdcm.TransferSyntax(kinds[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(packed))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return dcmread(packed)


def encode_video(
    path: Path | io.BytesIO, frames: Frames, codec: str, container: str, pixel_format: str = "yuv420p"
) -> None:
    """Write grey frames ``(n, height, width)`` at 25 frames a second, as good as the codec can."""
    with av.open(path if isinstance(path, io.BytesIO) else str(path), "w", format=container) as output:
        stream = output.add_stream(codec, rate=25)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:], pixel_format
        if codec == "libx264":
            stream.options = {"crf": "4", "preset": "ultrafast"}
        else:
            stream.codec_context.qmin = stream.codec_context.qmax = 2
            stream.codec_context.bit_rate = 20_000_000
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(np.repeat(frame[..., None], 3, axis=2), format="rgb24")
            output.mux(stream.encode(picture))
        output.mux(stream.encode())
