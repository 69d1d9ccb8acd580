"""Files that prove their own content: 512 bytes of seal, then a body that no parser sees before the seal is checked.

One flipped bit can make HDF5 spin for ever, so a body is hashed before HDF5 opens it. To HDF5 the seal is a *user block*: any
HDF5 tool opens the file as it is. Bodies are made in memory and written by plain system calls, because a full disk
underneath HDF5's own writing crashes the process on exit.

Layout of the seal, little endian: magic (16 bytes), version (4), body length (8), SHA-256 of the body (32), SHA-256 of the
60 bytes before (32), zeros up to 512.
"""

from __future__ import annotations

import errno
import hashlib
import os
import struct
from pathlib import Path

from lusfx import durable
from lusfx.errors import CacheError, CorruptRecordError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, open_plain_file

SEAL_BYTES = 512
MAGIC = b"\x89LUSFX-SEAL\r\n\x1a\n\x00"
VERSION = 1
FACTS = struct.Struct("<16sIQ32s")


def seal(body: bytes | memoryview) -> bytes:
    """The 512 bytes that go before a body."""
    facts = FACTS.pack(MAGIC, VERSION, len(body), hashlib.sha256(body).digest())
    return (facts + hashlib.sha256(facts).digest()).ljust(SEAL_BYTES, b"\0")


def open_seal(content: bytes) -> memoryview:
    """Check a sealed file whole and return its body.

    :raises CorruptRecordError: if a single bit differs from what was written.
    """
    head = content[:SEAL_BYTES]
    if len(head) < SEAL_BYTES or not head.startswith(MAGIC):
        raise CorruptRecordError("a cache file does not begin with a seal")
    body = memoryview(content)[SEAL_BYTES:]
    if head != seal(body):
        raise CorruptRecordError("a cache file does not have the content that was written")
    return body


def read(path: Path, max_bytes: int) -> bytes:
    """Read a sealed file whole. Its seal says how long it is, and is checked before memory is taken for the rest.

    :raises CorruptRecordError: if it has another length, or more than ``max_bytes``: a file with holes may be of any.
    :raises OSError: as :func:`lusfx.plain_file.open_plain_file` does; no link is followed.
    """
    with open_plain_file(path, follow_links=False) as file:
        head, size = file.read(SEAL_BYTES), os.fstat(file.fileno()).st_size
        if len(head) < SEAL_BYTES or not head.startswith(MAGIC) or SEAL_BYTES + FACTS.unpack_from(head)[2] != size:
            raise CorruptRecordError("a cache file does not have the length that was written")
        if size > max_bytes:
            raise CorruptRecordError("a cache file is longer than any that is written")
        try:
            return head + file.read(size - SEAL_BYTES)
        except MemoryError:
            raise CacheError("a cache file cannot be read: there is too little memory") from None


def cannot_read(what: str, error: OSError) -> CacheError:
    """The error for a file of the cache that the system does not give. A bad block is damage, and so is what is no plain file;
    anything else may pass, and must not make repair set a sound file aside.
    """
    if isinstance(error, NotPlainError):
        return CorruptRecordError(f"{what} cannot be read: {error.strerror}")
    kind = CorruptRecordError if error.errno == errno.EIO else CacheError
    return kind(f"{what} cannot be read: {system_reason(error)}")


def write_whole(path: Path, *parts: bytes, within: Path | None = None) -> None:
    """Put a file in place whole and durable, or not at all; its directory is made where it is missing.

    :param within: a directory above it that is not made, and has to be there.
    :raises CacheError: if the disk is full, read-only or gone; nothing is left behind.
    """
    try:
        durable.make_directory(path.parent, within)
        durable.write_whole(path, *parts)
    except OSError as error:
        raise CacheError(f"the cache cannot be written: {system_reason(error)}") from None
