"""Kinds of files are told by their first bytes; what is cut, random or hostile is some kind all the same."""

from __future__ import annotations

import gzip
import io
import lzma
import struct
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from lusfx.contracts import HEAD_BYTES
from lusfx.engine.extraction.file_kinds import SIGNATURES, kind_of

DICOM = bytes(128) + b"DICM" + bytes(5000)


def image(form: str) -> bytes:
    content = io.BytesIO()
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(content, form)
    return content.getvalue()


def zip_of(**entries: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, value in entries.items():
            archive.writestr(name, value)
    return content.getvalue()


def tar_of(value: bytes, form: int = tarfile.PAX_FORMAT) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=form) as archive:
        folder = tarfile.TarInfo("exam")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        entry = tarfile.TarInfo("exam/IM0001")
        entry.size = len(value)
        archive.addfile(entry, io.BytesIO(value))
    return content.getvalue()


def brand(name: bytes) -> bytes:
    return struct.pack(">L", 24) + b"ftyp" + name + bytes(4) + b"mif1" + name


IMPLICIT = struct.pack("<HHL", 8, 5, 10) + b"ISO_IR 100"
EXPLICIT = struct.pack("<HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 100"
BIG = struct.pack(">HH2sH", 8, 5, b"CS", 10) + b"ISO_IR 100"
META = struct.pack("<HH2sHL", 2, 0, b"UL", 4, 100)
PICTURES = {
    "DICOM": DICOM,
    "JPEG image": image("JPEG"),
    "PNG image": image("PNG"),
    "GIF image": image("GIF"),
    "TIFF image": image("TIFF"),
    "BMP image": image("BMP"),
    "WebP image": image("WEBP"),
    "Netpbm image": image("PPM"),
    "HEIC image": brand(b"heic"),
    "AVIF image": brand(b"avif"),
    "MP4 or MOV video": brand(b"isom"),
    "AVI video": b"RIFF" + bytes(4) + b"AVI LIST",
    "ASF or WMV video": bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"),
    "MPEG transport stream": (b"\x47" + bytes(187)) * 4,
    "H.264 or H.265 video": b"\0\0\0\1\x67\x42\x00\x0a",
    "NIfTI image": struct.pack("<L", 348) + bytes(340) + b"n+1\0",
    "gzip of DICOM": gzip.compress(DICOM, mtime=0),
    "xz of DICOM": lzma.compress(DICOM),
    "zip of DICOM": zip_of(**{"exam/": b"", "exam/IM0001": DICOM}),
    "tar of DICOM": tar_of(DICOM),
    "gzip of tar of DICOM": gzip.compress(tar_of(DICOM), mtime=0),
}
OTHERS = {
    "empty file": b"",
    "AppleDouble": b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200),
    "PDF document": b"%PDF-1.7\n",
    "office document": zip_of(**{"[Content_Types].xml": b"<Types/>"}),
    "HTML page": b"<!DOCTYPE html>\n<html></html>",
    "XML": b'<?xml version="1.0"?><exam/>',
    "JSON": b'{"a": 1}',
    "text": "Befund: Pleuraerguss links, größer\nals zuvor".encode(),
    "text table": b"path,patient_id\na.dcm,1\nb.dcm,2\n",
    "zip": zip_of(),
    "zip of text": zip_of(**{"readme.txt": b"read me"}),
    "sound": b"RIFF" + bytes(4) + b"WAVEfmt ",
    "program": b"\x7fELF" + bytes(60),
    "unknown": bytes(range(256)) * 4,
}


@pytest.mark.parametrize("name", [*PICTURES, *OTHERS])
def test_a_kind_is_told_by_its_first_bytes(name: str) -> None:
    content = (PICTURES | OTHERS)[name]
    kind = kind_of(content[:HEAD_BYTES])
    assert (kind.name, kind.is_picture) == (name, name in PICTURES)


@pytest.mark.parametrize("content", [IMPLICIT, EXPLICIT, BIG, META], ids=["implicit", "explicit", "big", "meta"])
def test_dicom_without_its_preamble_is_told(content: bytes) -> None:
    kind = kind_of(content + bytes(300))
    assert kind.name == "DICOM without a file header"
    assert kind.is_picture


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_archives_of_every_form_are_told(form: int) -> None:
    assert kind_of(tar_of(DICOM, form)[:HEAD_BYTES]).name == "tar of DICOM"


def test_text_of_old_code_pages_and_of_windows_is_text() -> None:
    assert kind_of("größer als zuvor".encode("latin-1")).name == "text"
    assert kind_of("größer".encode("utf-16")).name == "text"
    assert kind_of(("ä" * 4000).encode()[: HEAD_BYTES - 1]).name == "text"


def test_an_encrypted_archive_is_an_archive() -> None:
    content = bytearray(zip_of(**{"IM0001": DICOM}))
    content[6] |= 1
    assert kind_of(bytes(content)).name == "zip"


def test_a_bomb_is_not_unpacked() -> None:
    bomb = gzip.compress(gzip.compress(gzip.compress(gzip.compress(gzip.compress(bytes(10**6))))))
    assert kind_of(bomb[:HEAD_BYTES]).name.startswith("gzip of gzip of gzip")


def test_whatever_the_bytes_are_there_is_a_kind(generator: np.random.Generator) -> None:
    beginnings = [signature for offset, signature, _ in SIGNATURES if offset == 0]
    beginnings += [content[:600] for content in (*PICTURES.values(), *OTHERS.values())]
    for beginning in beginnings:
        for n in range(1, len(beginning) + 1, max(1, len(beginning) // 20)):
            assert kind_of(beginning[:n]).name
        noise = bytearray(beginning + generator.bytes(200))
        for place in generator.integers(len(noise), size=20).tolist():
            noise[place] ^= 1 << int(generator.integers(8))
            assert kind_of(bytes(noise)).name
