"""Clip keys: what a clip is, whatever it is called and wherever it lies."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from lusfx.errors import UnreadableClipError
from lusfx.messages import system_reason
from lusfx.plain_file import NotPlainError, Stamp, open_plain_file

CLIP_KEY = re.compile(r"[0-9a-f]{64}")


def clip_key(path: Path) -> str:
    """SHA-256 of a source file's content, 64 hexadecimal digits.

    :raises UnreadableClipError: if the file cannot be read.
    """
    return stamped_clip_key(path)[0]


def stamped_clip_key(path: Path) -> tuple[str, Stamp]:
    """A source file's key, and the stamp of the very file that was read: where the path leads may be another one already.

    :raises UnreadableClipError: if the file cannot be read.
    """
    try:
        with open_plain_file(path, follow_links=True) as stream:
            # Before the content is read: a change in between must show.
            stamp = Stamp.of_status(os.fstat(stream.fileno()))
            return hashlib.file_digest(stream, "sha256").hexdigest(), stamp
    except NotPlainError as error:
        raise UnreadableClipError("not-a-file", f"the file cannot be read: {error.strerror}") from None
    except OSError as error:
        raise UnreadableClipError("cannot-open", f"the file cannot be read: {system_reason(error)}") from None
    except ValueError:  # a NUL in the name
        raise UnreadableClipError("cannot-open", "no file can have this name") from None
