"""Whether bytes are a pickle, or hold one: loading a pickle runs whatever code it names."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickletools
import zipfile
import zlib
from collections.abc import Callable, Mapping

MAX_BYTES = 1 << 26
"""Of an unpacked file; far more than a pickle needs to show itself."""

MAX_NPY_HEADER = 1 << 16

UNPACKERS: Mapping[bytes, Callable[[bytes], bytes]] = {
    b"\x1f\x8b": gzip.decompress,
    b"BZh": bz2.decompress,
    b"\xfd7zXZ": lzma.decompress,
    b"\x5d\x00\x00": lzma.decompress,
    b"\x78": zlib.decompress,
}
"""What joblib packs pickles with, by how it begins."""


OPERATIONS = frozenset(ord(operation.code) for operation in pickletools.opcodes)


def holds_pickle(content: bytes) -> bool:
    """Whether a file is a pickle, packed or not, an array of objects, or an archive with one of these in it."""
    return _is_pickle(content) or _is_object_array(content) or any(map(holds_pickle, _unpacked(content)))


def _is_pickle(content: bytes) -> bool:
    # What follows is an operation; the length of a safetensors file's header, which may begin alike, goes on with zeros.
    if len(content) > 2 and content[0] == 0x80 and 2 <= content[1] <= 5 and content[2] in OPERATIONS:
        return True
    # Older protocols have no mark of their own; one that can be read from the first byte to a STOP at the very end is one.
    try:
        end = [position for _, _, position in pickletools.genops(content)][-1]
    except Exception:
        return False
    return len(content) > 2 and end == len(content) - 1


def _is_object_array(content: bytes) -> bool:
    header = content[:MAX_NPY_HEADER].partition(b"\n")[0]
    return content.startswith(b"\x93NUMPY") and b"'|O'" in header


def _unpacked(content: bytes) -> list[bytes]:
    if zipfile.is_zipfile(io.BytesIO(content)):
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                return [archive.read(item) for item in archive.infolist() if item.file_size <= MAX_BYTES]
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, zlib.error, EOFError):
            return []
    for magic, unpack in UNPACKERS.items():
        if content.startswith(magic):
            try:
                return [unpack(content)]
            except (OSError, ValueError, EOFError, lzma.LZMAError, zlib.error):
                continue
    return []
