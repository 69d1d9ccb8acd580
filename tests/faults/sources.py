"""Small sound source files of every kind, and ways to spoil them: what an archive of twenty years holds, and could hold."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.faults import spoil
from tests.faults.spoil import Random

Frames = NDArray[np.uint8]
N_FRAMES, HEIGHT, WIDTH = 6, 48, 64
EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
)
RLE, JPEG, JPEG_LS, JPEG_2000 = (
    "1.2.840.10008.1.2.5",
    "1.2.840.10008.1.2.4.50",
    "1.2.840.10008.1.2.4.80",
    "1.2.840.10008.1.2.4.90",
)
H264 = "1.2.840.10008.1.2.4.102"
VIDEOS = (
    ("mp4", "mp4", "libx264"), ("m4v", "mp4", "mpeg4"), ("mov", "mov", "mjpeg"), ("avi", "avi", "mjpeg"),
    ("avi", "avi", "mpeg4"),
    ("mkv", "matroska", "mpeg4"), ("mpg", "mpeg", "mpeg2video"), ("wmv", "asf", "wmv2"), ("gif", "gif", "gif"),
)  # fmt: skip


@dataclass(frozen=True)
class Sound:
    """A sound source file.

    :param name: with its ending.
    :param cuts: places where its parts begin: elements, fragments, boxes.
    """

    name: str
    content: bytes
    cuts: tuple[int, ...] = ()

    @property
    def suffix(self) -> str:
        return Path(self.name).suffix


@dataclass(frozen=True)
class Spoilt:
    """A spoilt source.

    :param of: the sound file that it was.
    :param how: in a few words; ``cut`` of one that ends early and is otherwise as it was.
    """

    name: bytes
    of: Sound
    how: str
    content: bytes


def cine(seed: int) -> Frames:
    """Frames that all differ, ``(6, 48, 64)``: smooth, so that lossy codecs stay close."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    phase = np.arange(N_FRAMES)[:, None, None] * 1.7 + seed
    waves = np.sin(x / 9 + phase) + np.cos(y / 11 - phase / 2)
    return (np.clip((waves + 2) / 4, 0, 1) * 255).astype(np.uint8)


# ---- sound files ----------------------------------------------------------------------------------------------------


def dataset_of(frames: Frames, seed: int) -> Any:
    """An uncompressed ultrasound clip with a nested sequence and a private element."""
    from pydicom import Dataset
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.sequence import Sequence
    from pydicom.uid import UID, UltrasoundMultiFrameImageStorage

    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(EXPLICIT)
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = (
        UltrasoundMultiFrameImageStorage,
        UID(f"2.25.{seed + 1}"),
    )
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.PatientID, dataset.PatientName = "US", f"patient-{seed}", "Made^Up"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "2.25.77", "2.25.78"
    dataset.StudyDate, dataset.Manufacturer = "20000101", "nobody"
    dataset.Rows, dataset.Columns, dataset.NumberOfFrames = HEIGHT, WIDTH, len(frames)
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit, dataset.PixelRepresentation = 7, 0
    dataset.FrameTime, dataset.FrameIncrementPointer = 40, 0x00181063
    item = Dataset()
    item.RegionSpatialFormat, item.RegionDataType, item.RegionFlags = 1, 1, 0
    item.RegionLocationMinX0, item.RegionLocationMinY0 = 0, 0
    item.RegionLocationMaxX1, item.RegionLocationMaxY1 = WIDTH - 1, HEIGHT - 1
    dataset.SequenceOfUltrasoundRegions = Sequence([item])
    dataset.private_block(0x0011, "nobody", create=True).add_new(1, "LO", "private")
    dataset.PixelData = frames.tobytes()
    dataset["PixelData"].VR = "OB"
    return dataset


def dicom(seed: int, syntax: str) -> bytes:
    """A DICOM file in a transfer syntax."""
    from pydicom import dcmwrite
    from pydicom.encaps import encapsulate
    from pydicom.pixels.utils import compress
    from pydicom.uid import UID

    frames = cine(seed)
    dataset = dataset_of(frames, seed)
    if syntax in (JPEG, H264):
        parts = [_jpeg(frame) for frame in frames] if syntax == JPEG else [_video(frames, "mp4", "libx264")]
        dataset.PixelData = encapsulate(parts)
        dataset["PixelData"].is_undefined_length = True
    elif syntax in (RLE, JPEG_LS, JPEG_2000):
        compress(dataset, UID(syntax), generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(syntax)
    written = io.BytesIO()
    little, implicit = syntax != BIG_ENDIAN, syntax == IMPLICIT
    dcmwrite(written, dataset, enforce_file_format=True, little_endian=little, implicit_vr=implicit)
    return written.getvalue()


def _jpeg(frame: Frames) -> bytes:
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(frame).save(stream, format="JPEG", quality=95)
    return stream.getvalue()


def _video(frames: Frames, container: str, codec: str) -> bytes:
    import av

    stream = io.BytesIO()
    with av.open(stream, "w", format=container) as output:
        video = output.add_stream(codec, rate=25)
        video.height, video.width = frames.shape[1:]
        video.pix_fmt = {"mjpeg": "yuvj420p", "gif": "gray"}.get(codec, "yuv420p")
        video.codec_context.thread_count = 1
        video.codec_context.gop_size = 3
        for frame in frames:
            output.mux(video.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
        output.mux(video.encode())
    return stream.getvalue()


def _image(frames: Frames, kind: str) -> bytes:
    from PIL import Image

    pages = [Image.fromarray(frame) for frame in (frames if kind == "tif" else frames[:1])]
    stream = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:], "compression": "tiff_lzw"} if kind == "tif" else {}
    pages[0].save(stream, format={"tif": "TIFF", "jpg": "JPEG"}.get(kind, kind.upper()), **more)
    return stream.getvalue()


def sound_files() -> list[Sound]:
    """One of each kind that can be written here, no two of the same content."""
    from lusfx.synth.video_file import has_encoder

    found = []
    for number, syntax in enumerate((EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, RLE, JPEG, JPEG_LS, JPEG_2000, H264)):
        if syntax != H264 or has_encoder("libx264"):
            content = dicom(number, syntax)
            found.append(Sound(f"{number}.dcm", content, tuple(_element_starts(content))))
    for number, (suffix, container, codec) in enumerate(VIDEOS, start=20):
        if codec != "libx264" or has_encoder("libx264"):
            found.append(Sound(f"{number}.{suffix}", _video(cine(number), container, codec)))
    for number, kind in enumerate(("png", "jpg", "tif", "bmp"), start=40):
        found.append(Sound(f"{number}.{kind}", _image(cine(number), kind)))
    return found


def _element_starts(content: bytes) -> Iterator[int]:
    """Where elements, items and fragments of a DICOM file begin, as far as their lengths tell."""
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        dataset = dcmread(io.BytesIO(content), defer_size=0)
    except InvalidDicomError:
        return
    for element in dataset.file_meta:
        yield element.file_tell or 0
    for element in dataset:
        yield element.file_tell or 0
    place = content.find(b"\xfe\xff\x00\xe0", content.rfind(b"\xe0\x7f\x10\x00"))
    while 0 <= place < len(content) - 8:
        yield place
        (length,) = struct.unpack("<L", content[place + 4 : place + 8])
        yield place + 8
        place = content.find(b"\xfe\xff", place + 8 + (length if length < len(content) else 0))


# ---- spoilt ones ----------------------------------------------------------------------------------------------------

HEADER_LIES: tuple[tuple[str, Any], ...] = (
    *(("NumberOfFrames", value) for value in (0, None, 1, 5, 7, 2**31 - 1, -1, "x", "1e9", "3\\4")),
    *(("Rows", value) for value in (0, 1, 47, 96, 65535, None)),
    *(("Columns", value) for value in (0, 1, 63, 128, 65535, None)),
    *(("BitsAllocated", value) for value in (0, 1, 7, 12, 16, 32, 64, None)),
    *(("BitsStored", value) for value in (0, 1, 9, 12, 65535)),
    *(("SamplesPerPixel", value) for value in (0, 2, 3, 4, 65535)),
    *(("PhotometricInterpretation", value) for value in ("RGB", "YBR_FULL_422", "PALETTE COLOR", "MONOCHROME1", "X", None)),
    *(("PixelRepresentation", value) for value in (1, 7)),
    *(("PlanarConfiguration", value) for value in (1, 9)),
    *(("Modality", value) for value in ("CT", "X" * 200, None)),
    *(("FrameTime", value) for value in (0, -5, "1e308", "x")),
    ("FrameTimeVector", [0.0] * 3),
    ("SequenceOfUltrasoundRegions", []),
    ("SpecificCharacterSet", "NONSENSE"),
    ("PixelData", b""),
    ("PixelData", None),
    ("TransferSyntaxUID", EXPLICIT),
    ("TransferSyntaxUID", JPEG),
    ("TransferSyntaxUID", H264),
    ("TransferSyntaxUID", "1.2.3.4"),
    ("TransferSyntaxUID", None),
)  # fmt: skip


def lied(content: bytes, keyword: str, value: Any) -> bytes | None:
    """A DICOM file that says something else of itself; None where that cannot be written."""
    import warnings

    from pydicom import config, dcmread, dcmwrite
    from pydicom.datadict import dictionary_VR, tag_for_keyword
    from pydicom.dataelem import DataElement

    dataset = dcmread(io.BytesIO(content))
    target = dataset.file_meta if keyword == "TransferSyntaxUID" else dataset
    undefined = dataset["PixelData"].is_undefined_length
    encoding = dataset.original_encoding
    settings = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tag = tag_for_keyword(keyword)
            if value is None:
                del target[tag]
            elif keyword == "PixelData":
                dataset["PixelData"].value = value
                dataset["PixelData"].is_undefined_length = undefined
            else:
                target[tag] = DataElement(tag, dictionary_VR(tag), value, validation_mode=config.IGNORE)
            dcmwrite(written, dataset, enforce_file_format=False, implicit_vr=encoding[0], little_endian=encoding[1])
    except Exception:  # pydicom does not write every nonsense
        return None
    finally:
        config.settings.writing_validation_mode = settings
    return written.getvalue()


def nested(depth: int) -> bytes:
    """A DICOM file whose sequences lie within each other."""
    head = dicom(99, EXPLICIT)
    place = head.rfind(b"\xe0\x7f\x10\x00")
    opening = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    closing = b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0"
    return head[:place] + opening * depth + closing * depth + head[place:]


def png_bomb(side: int, n_rows: int) -> bytes:
    """A PNG of black, a thousand times smaller than its pixels; it need not hold all the rows that it declares."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">L", len(body)) + kind + body + struct.pack(">L", zlib.crc32(kind + body))

    packer = zlib.compressobj(9)
    rows = b"".join(packer.compress(b"\0" * (side + 1)) for _ in range(n_rows)) + packer.flush()
    head = struct.pack(">LLBBBBB", side, side, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def deflate_bomb(inflated_mib: int) -> bytes:
    """A deflated DICOM file that grows a thousandfold."""
    small = dicom(98, DEFLATED)
    place = small.find(b"DICM") + 4
    (length,) = struct.unpack("<L", small[place + 8 : place + 12])  # of the group of the file meta elements
    start = place + 12 + length
    packer = zlib.compressobj(9, wbits=-15)
    body = packer.compress(zlib.decompress(small[start:], wbits=-15))
    zeros = b"\0" * (1 << 20)
    body += b"".join(packer.compress(zeros) for _ in range(inflated_mib)) + packer.flush()
    return small[:start] + body


def text_files(sound: list[Sound]) -> Iterator[tuple[str, bytes]]:
    """Text, and other things, under names that they do not deserve."""
    for suffix in sorted({one.suffix for one in sound}):
        yield f"text{suffix}", b"This is no clip.\n"
        yield f"empty{suffix}", b""
        yield f"byte{suffix}", b"\0"
        yield f"zeros{suffix}", b"\0" * 4096
        yield f"page{suffix}", b"<!doctype html><script>1</script>"


def spoilt_files(sound: list[Sound], random: Random, n_random: int, n_cuts: int, *, inflated_mib: int) -> list[Spoilt]:
    """Spoilt files: cuts, lies and random damage of each sound file, bombs and text.

    :param n_random: random damages of each sound file.
    :param n_cuts: cuts at places where a part begins, and as many elsewhere, of each.
    :param inflated_mib: size that a deflated DICOM file grows to.
    """
    found: list[tuple[Sound, str, bytes]] = []
    for one in sound:
        places = [place for place in one.cuts if 0 < place < len(one.content)]
        chosen = set(random.permutation(places)[:n_cuts].tolist()) if places else set()
        chosen |= set(random.integers(1, len(one.content), n_cuts).tolist())
        found += [(one, "cut", one.content[:place]) for place in sorted(chosen)]
        for _ in range(n_random):
            change: Callable[[bytes, Random], bytes] = spoil.BYTES[int(random.integers(len(spoil.BYTES)))]
            how = "damaged" if change is not spoil.cut else "cut"
            found.append((one, how, change(one.content, random)))
    for one in (one for one in sound if one.suffix == ".dcm"):
        chosen_lies = [HEADER_LIES[int(n)] for n in random.permutation(len(HEADER_LIES))[: n_random + n_cuts]]
        for keyword, value in chosen_lies:
            content = lied(one.content, keyword, value)
            if content is not None:
                found.append((one, f"{keyword} {str(value)[:12]}", content))
    whole = Sound("0.dcm", b"")
    found += [(whole, "nested", nested(depth)) for depth in (10, 1_000, 20_000)]
    found += [(Sound("0.png", b""), "bomb", png_bomb(*size)) for size in ((9_000, 9_000), (30_000, 500))]
    found.append((whole, "inflates", deflate_bomb(inflated_mib)))
    found += [(Sound(name, b""), "text", content) for name, content in text_files(sound)]
    return [
        Spoilt(os.fsencode(f"spoilt-{number:05}{one.suffix}"), one, how, content)
        for number, (one, how, content) in enumerate(found)
        if content != one.content
    ]


ODD_NAMES = (
    b"line\nfeed.mp4",
    b"not-utf8-\xff\xfe.mp4",
    b"tab\t.mkv",
    b"quote'\".mov",
    b"%s%n.avi",
    b"$(touch executed).mp4",
    b"-rf.mp4",
    b"\xe2\x80\xae4pm.mp4",
    b"surrogate-\xed\xa0\x80.mp4",
    b"long-" + b"x" * 240 + b".mp4",
    b"; rm x.mp4",
    b"http:.mp4",
    b"pipe:0.mp4",
)


def write_odd_entries(folder: Path, good: bytes) -> tuple[list[Path], list[Path]]:
    """Entries that are no plain files, and names that nobody expects.

    :param good: content of a sound video, which the odd names get.
    :returns: those that can be read, and those that cannot.
    """
    readable, unreadable = [folder / os.fsdecode(name) for name in ODD_NAMES], []
    for number, path in enumerate(readable):
        path.write_bytes(good + number.to_bytes(4, "big"))  # each another content; videos may end in anything
    (folder / "directory.mp4").mkdir()
    links = {"loop-1.mp4": "loop-2.mp4", "loop-2.mp4": "loop-1.mp4", "dangling.mp4": "nowhere.mp4"}
    for name, target in links.items():
        (folder / name).symlink_to(target)
        unreadable.append(folder / name)
    (folder / "folder-loop").symlink_to(folder)
    for name in ("pipe.mp4", "pipe.dcm", "pipe"):
        os.mkfifo(folder / name)
        if name != "pipe":  # which nobody takes for a clip
            unreadable.append(folder / name)
    try:
        os.mknod(folder / "device.mp4", stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, without an end
        unreadable.append(folder / "device.mp4")
    except PermissionError:
        pass  # only root may make one
    return readable, unreadable
