"""Reader: what turns a source file into a clip."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Container
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar

from lusfx.site_key import SiteKey
from lusfx.types import Clip

HEAD_BYTES = 4096
"""How many leading bytes of a source a reader is shown when it is asked whether the source is its own."""


def ending_of(path: Path, known: Container[str]) -> str:
    """The longest ending of a file's name that is known, ``.nii.gz`` say; its last one where none is."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    endings = ("".join(suffixes[start:]) for start in range(len(suffixes)))
    return next((ending for ending in endings if ending in known), path.suffix.lower())


class Reader(ABC):
    """Turns one kind of source file into a :class:`~lusfx.types.Clip`."""

    name: ClassVar[str]
    suffixes: ClassVar[tuple[str, ...]]
    """File name endings, lower case with their dot, of one part or several (``.nii.gz``), the longest of which counts. This
    reader claims them whatever the content is: a text file named
    ``.mp4`` is then reported as a damaged video and not passed over."""

    def claims_content(self, leading_bytes: bytes) -> bool:
        """Whether a file whose ending nobody claims is this reader's, judged by its first :data:`HEAD_BYTES` bytes."""
        return False

    @abstractmethod
    def open(self, path: Path, site_key: SiteKey) -> AbstractContextManager[Clip]:
        """Open a source; leaving the context frees the decoder.

        :param path: the file.
        :param site_key: makes the pseudonyms; identifiers inside the file leave the reader in no other form.
        :raises UnreadableClipError: the file is damaged, unsupported or not what it claims to be.
        :raises SkippedClipError: the file is sound but holds nothing to encode.
        """
