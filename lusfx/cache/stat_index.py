"""The stat index: which clip key a file had when its size and times were last seen.

It spares a second run the reading of what has not changed. It is derived, local and disposable: damaged, it is made anew;
on a read-only cache it does nothing. File paths enter it as keyed hashes only.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
import zlib
from pathlib import Path
from types import TracebackType

from lusfx.cache.keys import CLIP_KEY
from lusfx.durable import FILE_MODE
from lusfx.plain_file import Stamp, open_plain_file
from lusfx.site_key import SiteKey

FILE_NAME = "stat-index.sqlite"
TABLE = (
    "CREATE TABLE IF NOT EXISTS clips (place TEXT PRIMARY KEY, stamp TEXT NOT NULL, clip TEXT NOT NULL,"
    " crc32 INTEGER NOT NULL) WITHOUT ROWID"
)
SCHEMA = [("table", "clips", TABLE.replace("IF NOT EXISTS ", ""))]
JOURNALS = ("-journal", "-wal", "-shm")
NAMES_ANOTHER = bytes.fromhex("d9d505f920a163d7")
"""Ends a journal that names another file (SQLite's file format, 3)."""
MAX_BYTES = 1 << 32
SAVE_EVERY = 4096
"""So many new files a transaction: what a killed run has to hash again."""
PASSING = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
"""Another process is writing, or this one may not: no sign of damage."""


class StatIndex:
    """All known files in memory while open; what is new is written now and then, and on leaving.

    :param file: the database.
    :param site_key: makes pseudonyms of paths.
    """

    def __init__(self, file: Path, site_key: SiteKey) -> None:
        self._file = file
        self._site_key = site_key
        self._new: dict[str, tuple[str, str]] = {}
        self._known = self._load()

    def lookup(self, path: Path) -> str | None:
        """The clip key of a file that has not changed since it was recorded."""
        known = self._known.get(self._site_key.source(str(path)))
        if known is None:
            return None
        stamp = Stamp.of(path)
        return known[1] if stamp is not None and stamp.as_text() == known[0] else None

    def record(self, path: Path, stamp: Stamp | None, key: str) -> None:
        """Remember a file's key.

        :param stamp: of the file that was hashed, taken before; None, or too fresh to be trusted, and nothing is remembered.
        """
        if stamp is None or stamp.is_racy:
            return
        place = self._site_key.source(str(path))
        entry = (stamp.as_text(), key)
        if self._known.get(place) != entry:
            self._known[place] = self._new[place] = entry
        if len(self._new) >= SAVE_EVERY:
            self._save()

    def __enter__(self) -> StatIndex:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._new:
            self._save()

    def _load(self) -> dict[str, tuple[str, str]]:
        try:
            if not self._is_plain():
                return {}
            # Not read-only: what a killed run left half written has to be rolled back first.
            with contextlib.closing(sqlite3.connect(f"{self._file.absolute().as_uri()}?mode=rw", uri=True)) as database:
                # What is called so may be a view that never ends; what is not the table that was made is damage.
                schema = database.execute("SELECT type, name, sql FROM sqlite_master").fetchall()
                if not schema:
                    return {}  # another process is making it
                if schema != SCHEMA:
                    raise sqlite3.DatabaseError("another schema")
                rows = database.execute("SELECT place, stamp, clip, crc32 FROM clips").fetchall()
        except OSError:  # what lies there cannot be removed or looked at
            return {}
        except (sqlite3.Error, ValueError) as error:  # ValueError: text that is not UTF-8
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF not in PASSING:
                self._discard()
            return {}
        # SQLite does not notice a flipped bit inside a value.
        return {
            place: (stamp, clip)
            for place, stamp, clip, crc32 in rows
            if crc32 == _crc32(place, stamp, clip) and isinstance(clip, str) and CLIP_KEY.fullmatch(clip)
        }

    def _is_plain(self) -> bool:
        """Whether the database is there, and no link, pipe or device; what is, is removed, and so is a journal that is."""
        for file in (self._file, *(self._file.with_name(self._file.name + ending) for ending in JOURNALS)):
            with contextlib.suppress(FileNotFoundError):
                if not _is_own(file):
                    file.unlink()
                    return False
        return self._file.exists()

    def _discard(self) -> None:
        """Remove a damaged database, its journal first: SQLite would play that into the next one of this name."""
        with contextlib.suppress(OSError):
            self._file.with_name(self._file.name + "-journal").unlink(missing_ok=True)
            self._file.unlink()

    def _save(self) -> None:
        """Write what is new, or forget about it: the index may lack anything."""
        with contextlib.suppress(sqlite3.Error, OSError):
            if not self._is_plain():
                with contextlib.suppress(FileExistsError):
                    os.close(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE))
                if not self._is_plain():
                    raise FileNotFoundError  # what lies there cannot be removed
            with contextlib.closing(sqlite3.connect(self._file, timeout=10)) as database, database:
                database.execute(TABLE)
                rows = [(place, *entry, _crc32(place, *entry)) for place, entry in self._new.items()]
                database.executemany("INSERT OR REPLACE INTO clips VALUES (?, ?, ?, ?)", rows)
        self._new.clear()


def _is_own(file: Path) -> bool:
    """Whether this is a plain file such as this index leaves.

    SQLite plays a journal back that it finds, and then removes the file that is named at its end, which may be any: it stands
    there where several databases were changed together, as here none are. The database itself is not opened for a look, since
    closing it would give up the locks that this process has on it.

    :raises FileNotFoundError: if there is none.
    """
    status = file.lstat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_BYTES:
        return False
    if not file.name.endswith("-journal"):
        return True
    with open_plain_file(file, follow_links=False) as stream:
        stream.seek(max(0, status.st_size - len(NAMES_ANOTHER)))
        return stream.read() != NAMES_ANOTHER


def _crc32(place: object, stamp: object, clip: object) -> int:
    return zlib.crc32(f"{place}\t{stamp}\t{clip}".encode("utf-8", "surrogateescape"))
