"""Plain files, opened and read without surprise: no pipe that blocks for ever, no device without an end."""

from __future__ import annotations

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path

NO_FILE = frozenset({errno.ELOOP, errno.EMLINK, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.EOPNOTSUPP})
"""What opening says of a link that is not followed, a circle of links, a socket, a device without a driver, a directory."""


class NotPlainError(OSError):
    """The file is no plain file, or too large; ``strerror`` says which."""


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
