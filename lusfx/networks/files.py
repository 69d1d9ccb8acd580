"""Files of a run that trains a network: private, and durable before anything says that they are there."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lusfx import durable
from lusfx.durable import DIRECTORY_MODE, FILE_MODE, TEMPORARY_PREFIX
from lusfx.messages import system_reason
from lusfx.networks.errors import NetworkError

LOCK_FILE = "lock"


def make_private_directory(directory: Path) -> None:
    """Make a directory that only its owner can enter; those above it that are missing are made, too.

    :raises NetworkError: if it cannot be made.
    """
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        directory.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
    except OSError as error:
        raise cannot_write(error) from None


def write_whole(path: Path, content: bytes) -> None:
    """Put a file in place whole and durable, or not at all.

    :raises NetworkError: if the disk is full, read-only or gone; nothing is left behind.
    """
    try:
        durable.write_whole(path, content)
    except OSError as error:
        raise cannot_write(error) from None


@contextmanager
def held_alone(directory: Path, option: str = "--out") -> Iterator[None]:
    """Keep other runs out of a directory for so long; a killed run holds nothing. Windows has no such lock.

    :param option: that names the directory, for messages.
    :raises NetworkError: if another run holds it.
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
            raise NetworkError(
                f"another run is at work in {option}. Wait for its end, or take another {option}"
            ) from None
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


def cannot_write(error: OSError) -> NetworkError:
    """The error for a disk that refuses, without the file's name: a folder can name a patient."""
    return NetworkError(f"the run's directory cannot be written: {system_reason(error)}")
