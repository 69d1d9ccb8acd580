"""Files of a pretraining run: private, and durable before anything says that they are there."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lusfx.durable import sync_directory
from lusfx.errors import LusfxError

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700
TEMPORARY_PREFIX = ".tmp-"
LOCK_FILE = "lock"


class PretrainingError(LusfxError):
    """A pretraining run cannot go on, or its directory is not what was written."""


def make_private_directory(directory: Path) -> None:
    """Make a directory that only its owner can enter; those above it that are missing are made, too.

    :raises PretrainingError: if it cannot be made.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise cannot_write(error) from None


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place whole and durable, or not at all: temporary file, fsync, rename, fsync of the directory.

    :raises PretrainingError: if the disk is full, read-only or gone; nothing is left behind.
    """
    temporary = path.with_name(f"{TEMPORARY_PREFIX}{os.getpid()}-{secrets.token_hex(6)}")
    try:
        with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise cannot_write(error) from None
    finally:
        with contextlib.suppress(OSError):  # on a disk that is gone the first error says so
            temporary.unlink(missing_ok=True)


@contextmanager
def held_alone(directory: Path) -> Iterator[None]:
    """Keep other runs out of a directory for so long; a killed run holds nothing. Windows has no such lock.

    :raises PretrainingError: if another run holds it.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    try:
        descriptor = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT, FILE_MODE)
    except OSError as error:
        raise cannot_write(error) from None
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PretrainingError("another run is at work in --out. Wait for its end, or take another --out") from None
        except OSError as error:
            if error.errno not in (
                errno.ENOSYS,
                errno.ENOTSUP,
                errno.ENOLCK,
            ):  # some network file systems have no locks
                raise cannot_write(error) from None
        yield
    finally:
        os.close(descriptor)


def remove_temporaries(directory: Path) -> None:
    """Remove what a killed run was writing."""
    for path in directory.glob(f"{TEMPORARY_PREFIX}*"):
        with contextlib.suppress(OSError):
            path.unlink()


def cannot_write(error: OSError) -> PretrainingError:
    """The error for a disk that refuses, without the file's name: a folder can name a patient."""
    return PretrainingError(f"the run's directory cannot be written: {os.strerror(error.errno or 0)}")
