"""Durable: what was put in place is whole, its owner's alone, and stays there when the power goes."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lusfx.patience import REFUSED, insist, remove, replace

TEMPORARY_PREFIX = ".tmp-"
"""Begins the name of a file that is being written. What a killed program leaves bears it."""
FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
AT_FDCWD, RENAME_EXCHANGE = -100, 2
"""Of Linux's renameat2(2)."""


@contextmanager
def whole_file(path: Path) -> Iterator[int]:
    """A descriptor to write to, whose file takes the place of ``path`` when the block ends, or never.

    Temporary file in the same directory, fsync, rename, fsync of the directory. Whatever ends the block early leaves an old
    file as it was, and nothing else behind.

    :raises OSError: if the disk is full, read-only or gone. Its message may name the file: see that nobody's name is told.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), FILE_MODE)
        try:
            yield descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        replace(temporary, path)
        sync_directory(path.parent)
    finally:
        with contextlib.suppress(OSError):  # on a disk that is gone or read-only the first error says so
            remove(temporary)


def write_whole(path: Path, *parts: bytes) -> None:
    """Put a file in place whole and durable, or not at all.

    :raises OSError: as :func:`whole_file` does.
    """
    with whole_file(path) as descriptor:
        for part in parts:
            write_all(descriptor, part)


def write_all(descriptor: int, part: bytes | memoryview) -> None:
    """Write every byte: a system call may take fewer than it was given."""
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view) :]


def make_directory(path: Path, within: Path | None = None) -> None:
    """Make a directory that only its owner can enter, and those above it that are missing; durable on return.

    :param within: a directory above it that has to be there: where its disk was unmounted, nothing is begun in its place. Below
        it no link is followed: what is written within it stays in it.
    :raises OSError: if the disk is full, read-only or gone.
    """
    if within is not None and any(one.is_symlink() for one in (path, *path.parents) if within in one.parents):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    if path.is_dir():
        return
    if path == within:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    if path.parent != path:  # a Windows drive that is not there is its own parent
        make_directory(path.parent, within)
    path.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make what was made or renamed in a directory durable. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some network file systems cannot sync a directory, and say so like this
            raise
    finally:
        os.close(descriptor)


def exchange(first: Path, second: Path) -> bool:
    """Give two directories or files each other's names, at one stroke: whoever looks finds one of the two under either name.

    :returns: False where the system or the file system cannot do that; nothing is changed then.
    :raises OSError: if it can, and fails.
    """
    renameat2 = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None) if sys.platform == "linux" else None
    if renameat2 is None:
        return False

    def exchange_once() -> None:
        if renameat2(AT_FDCWD, os.fsencode(first), AT_FDCWD, os.fsencode(second), RENAME_EXCHANGE) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    try:
        insist(exchange_once, REFUSED)  # done twice it would be undone: so not where it may have been done
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):  # NFS says so, and old kernels
            return False
        raise
    return True
