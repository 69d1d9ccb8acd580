"""Opening a source file without telling anyone its name."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lusfx.errors import UnreadableClipError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, open_plain_file


def is_dicom(leading_bytes: bytes) -> bool:
    """Whether a file begins as DICOM files do (PS3.10, 7.1), whose first 128 bytes may be anything: a TIFF's head, say."""
    return leading_bytes[128:132] == b"DICM"


@contextmanager
def open_source(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading.

    :raises UnreadableClipError: if it cannot be opened (``cannot-open``), is a pipe, a device or a directory
        (``not-a-file``), or is empty (``empty-file``).
    """
    try:
        stream = open_plain_file(path, follow_links=True)
    except NotPlainError as error:
        raise UnreadableClipError("not-a-file", f"the file cannot be read: {error.strerror}") from None
    except OSError as error:
        raise UnreadableClipError("cannot-open", f"the file cannot be read: {system_reason(error)}") from None
    with stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise UnreadableClipError("empty-file", "the file is empty")
        yield stream


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what decoding libraries warn of and log: they quote values of the file, which may name a patient."""
    logger = logging.getLogger("pydicom")
    was_disabled = logger.disabled
    logger.disabled = True
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.disabled = was_disabled
