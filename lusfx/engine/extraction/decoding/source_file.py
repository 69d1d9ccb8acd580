"""The file of a source while it is decoded: its reader reads what was hashed, whatever becomes of the path meanwhile."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

from lusfx.contracts import Reader
from lusfx.errors import UnreadableClipError
from lusfx.plain_file import Stamp
from lusfx.readers.files import handed, open_source
from lusfx.site_key import SiteKey
from lusfx.types import Clip


class SourceFile:
    """A source, to be opened by its reader once or several times.

    A path is looked up anew each time it is opened, and one of its folders may be a link that leads elsewhere by then. So the
    file is opened here, must be the one that was hashed, and readers that open it by
    :func:`~lusfx.readers.files.open_source`, as all of lusfx do, are handed this open file. A plugin's reader that opens the
    path itself is believed if the path led to the same file before and after.

    :param stamp: of the file that was hashed; None where nothing was, and whatever the path leads to is right.
    """

    def __init__(self, reader: Reader, path: Path, site_key: SiteKey, stamp: Stamp | None) -> None:
        self._reader = reader
        self.path = path
        self._site_key = site_key
        self._stamp = stamp
        self._stream: IO[bytes] | None = None
        self._by_path = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the file open, and make sure in the end that it was not changed.

        :raises UnreadableClipError: with the code ``changed-while-read`` if it is or was another one; as
            :func:`~lusfx.readers.files.open_source` does if it cannot be opened.
        """
        if self._stamp is None:
            yield
            return
        with open_source(self.path) as self._stream:
            self._require(self._is_held())
            yield
            self._require(self._is_held() and (not self._by_path or self._is_at_path()))

    @contextmanager
    def opened(self) -> Iterator[Clip]:
        """The clip that its reader makes of it, while the file is held.

        :raises ClipError: as the reader does, and as :meth:`held` does.
        """
        with ExitStack() as stack:
            if self._stream is None:
                yield stack.enter_context(self._reader.open(self.path, self._site_key))
                return
            led_here = self._is_at_path()
            with handed(self.path, self._stream) as file:
                clip = stack.enter_context(self._reader.open(self.path, self._site_key))
            if not file.taken:
                self._by_path = True
                self._require(led_here and self._is_at_path())
            yield clip

    def _is_held(self) -> bool:
        return self._stream is not None and Stamp.of_status(os.fstat(self._stream.fileno())) == self._stamp

    def _is_at_path(self) -> bool:
        return Stamp.of(self.path) == self._stamp

    @staticmethod
    def _require(is_unchanged: bool) -> None:
        if not is_unchanged:
            raise UnreadableClipError("changed-while-read", "the file was changed while it was read; run again")
