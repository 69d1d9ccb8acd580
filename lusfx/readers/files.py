"""Opening a source file without telling anyone its name."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
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
    file = _handed.get()
    try:
        stream = file.take() if file is not None and file.path == path else open_plain_file(path, follow_links=True)
    except NotPlainError as error:
        raise UnreadableClipError("not-a-file", f"the file cannot be read: {error.strerror}") from None
    except OSError as error:
        raise UnreadableClipError("cannot-open", f"the file cannot be read: {system_reason(error)}") from None
    with stream:
        if os.fstat(stream.fileno()).st_size == 0:
            raise UnreadableClipError("empty-file", "the file is empty")
        yield stream


@dataclass(slots=True)
class HandedFile:
    """An open file in the place of a path.

    :param taken: whether it was read in the place of the path.
    """

    path: Path
    stream: IO[bytes]
    taken: bool = False

    def take(self) -> IO[bytes]:
        """The file from its beginning. Those who have it share one position: none may read on when another one has begun."""
        self.taken = True
        stream = os.fdopen(os.dup(self.stream.fileno()), "rb")
        stream.seek(0)
        return stream


_handed: ContextVar[HandedFile | None] = ContextVar("_handed", default=None)


@contextmanager
def handed(path: Path, stream: IO[bytes]) -> Iterator[HandedFile]:
    """Let :func:`open_source` give whoever opens this path this open file, wherever the path leads by now."""
    file = HandedFile(path, stream)
    token = _handed.set(file)
    try:
        yield file
    finally:
        _handed.reset(token)


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
