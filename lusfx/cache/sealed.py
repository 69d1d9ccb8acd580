"""Files that prove their own content: 512 bytes of seal, then a body that no parser sees before the seal is checked.

One flipped bit can make HDF5 spin for ever, so a body is hashed before HDF5 opens it. To HDF5 the seal is a *user block*: any
HDF5 tool opens the file as it is. Bodies are made in memory and written by plain system calls, because a full disk
underneath HDF5's own writing crashes the process on exit.

Layout of the seal, little endian: magic (16 bytes), version (4), body length (8), SHA-256 of the body (32), SHA-256 of the
60 bytes before (32), zeros up to 512.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import struct
from pathlib import Path

from lusfx.durable import sync_directory
from lusfx.errors import CacheError, CorruptRecordError

SEAL_BYTES = 512
MAGIC = b"\x89LUSFX-SEAL\r\n\x1a\n\x00"
VERSION = 1
FACTS = struct.Struct("<16sIQ32s")
TEMPORARY_PREFIX = ".tmp-"
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


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


def write_whole(path: Path, *parts: bytes) -> None:
    """Put a file in place whole and durable, or not at all.

    Temporary file in the same directory, fsync, rename, fsync of the directory.

    :raises CacheError: if the disk is full, read-only or gone; nothing is left behind.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")
    try:
        make_directory(path.parent)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), FILE_MODE)
        try:
            for part in parts:
                write_all(descriptor, part)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(temporary, path)  # noqa: PTH105 - the one system call that replaces atomically
        sync_directory(path.parent)
    except OSError as error:
        raise CacheError(f"the cache cannot be written: {os.strerror(error.errno or 0)}") from None
    finally:
        _remove_quietly(temporary)


def _remove_quietly(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # on a disk that is gone or read-only there is nothing to remove, and the first error says so


def write_all(descriptor: int, part: bytes) -> None:
    """Write every byte: a system call may take fewer than it was given."""
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view) :]


def make_directory(path: Path) -> None:
    """Make a directory that only its owner can enter, and those above it that are missing; durable on return."""
    if path.is_dir():
        return
    if path.parent != path:  # a Windows drive that is not there is its own parent
        make_directory(path.parent)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    sync_directory(path.parent)
