"""Plain files, opened and read without surprise: no pipe that blocks for ever, no device without an end."""

from __future__ import annotations

import errno
import os
import stat
import time
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import Self

RACY_NS = 2_000_000_000
"""A file changed this shortly before it was hashed may change again within the same tick of its clock (as git knows)."""

NO_FILE = frozenset({errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EOPNOTSUPP})
"""What opening says of a link that is not followed, a circle of links, a socket, a device without a driver, a directory."""


class NotPlainError(OSError):
    """The file is no plain file, or too large; ``strerror`` says which."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Which file it is, and what shows that its content changes: taken *before* that is read.

    Two are equal where they are of one file that did not change in between.

    :param size: in bytes.
    :param is_racy: whether it had changed so shortly before that another change might leave the same times.
    """

    size: int
    mtime_ns: int
    ctime_ns: int
    inode: int
    device: int
    is_racy: bool = field(default=False, compare=False)

    @classmethod
    def of(cls, path: Path) -> Self | None:
        """Of the file that a path leads to now; None where there is no such regular file."""
        try:
            status = path.stat()
        except (OSError, ValueError):
            return None
        return cls.of_status(status) if stat.S_ISREG(status.st_mode) else None

    @classmethod
    def of_status(cls, status: os.stat_result) -> Self:
        """Of a file that was asked for its status, an open one by :func:`os.fstat`."""
        # Judged now and not when it is recorded: seconds may pass in between, and a change in them would go unseen.
        is_racy = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < RACY_NS
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_dev, is_racy)

    def as_text(self) -> str:
        """For the stat index. Devices have other numbers after each mount, so theirs is not in it."""
        return f"{self.size}:{self.mtime_ns}:{self.ctime_ns}:{self.inode}"


def open_plain_file(path: Path, *, follow_links: bool) -> BufferedReader:
    """Open a plain file for reading. Its ``fileno()`` serves whoever reads by ``pread``.

    :param follow_links: whether the name itself may be a link: it could lead out of its directory.
    :raises NotPlainError: if it is a directory, a pipe, a socket, a device, or a link where none is followed.
    :raises OSError: if it is missing or cannot be read. ``strerror`` names no file.
    """
    flags = os.O_RDONLY | _flag("O_NONBLOCK") | _flag("O_CLOEXEC") | _flag("O_BINARY")
    try:
        descriptor = os.open(path, flags if follow_links else flags | _flag("O_NOFOLLOW"))
    except OSError as error:
        if error.errno in NO_FILE and not follow_links:
            raise NotPlainError(0, "it is not a plain file") from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotPlainError(0, "it is not a plain file")
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read_plain_file(path: Path, max_bytes: int, *, follow_links: bool = False) -> bytes:
    """Read a plain file whole; see :func:`open_plain_file`.

    :raises NotPlainError: if it is none, or larger than ``max_bytes``.
    """
    with open_plain_file(path, follow_links=follow_links) as file:
        # One byte more than there is would show that the file grows. So much memory is taken at once, and no more.
        content = file.read(min(os.fstat(file.fileno()).st_size, max_bytes) + 1)
    if len(content) > max_bytes:
        raise NotPlainError(0, f"it is larger than {max_bytes} bytes")
    return content


def _flag(name: str) -> int:
    return getattr(os, name, 0)
