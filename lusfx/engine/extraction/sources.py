"""From what a user names (folders, files, manifests) to the list of source files, each with its reader."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from lusfx.contracts import HEAD_BYTES, Reader
from lusfx.errors import TableError, UsageError
from lusfx.plain_file import open_plain_file
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.tables import Row, is_table, read_table

ZONE = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True, slots=True)
class Source:
    """One source file, and what its manifest says of it.

    :param path: absolute path; shown to nobody unless asked for.
    :param where: how messages name it without its path: ``row 17`` or ``file 3``.
    :param reader: who can open it; None where nobody claims it.
    :param problem: a code where the source cannot even be tried; else None.
    """

    path: Path
    where: str
    reader: Reader | None
    patient_key: str | None = None
    exam_key: str | None = None
    zone: str | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``n`` parts of all sources, counted from 1, as the jobs of an array are.

    A source belongs to the shard that the SHA-256 of its path says: all jobs must name the sources alike, and none needs
    to know of the others.

    :raises UsageError: if there is no such part.
    """

    number: int
    n: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.n:
            raise UsageError(f"there is no shard {self.number} of {self.n}; name 1/{self.n} to {self.n}/{self.n}")

    def __str__(self) -> str:
        return f"{self.number}/{self.n}"

    def holds(self, path: Path) -> bool:
        """Whether the source at an absolute path belongs here."""
        digest = hashlib.sha256(os.fsencode(path)).digest()
        return int.from_bytes(digest[:8], "big") % self.n == self.number - 1


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found.

    :param sources: in a stable order, each file once.
    :param not_clips: files in folders that no reader claims: tables, licences, notes.
    """

    sources: list[Source]
    not_clips: int


Known = Callable[[Path], bool]
"""Whether a file is known from an earlier run, so that nobody need look into it to tell what it is."""


def discover(places: Sequence[Path], registry: Registry, site_key: SiteKey, known: Known) -> Discovery:
    """List the source files of folders, files and manifests, in any mixture.

    A folder is searched to the bottom; hidden files and links that lead out of it are left alone. A file that is named,
    or listed in a manifest, counts as found whatever it is.

    :raises UsageError: if nothing was named, or a named place does not exist.
    :raises TableError: if a manifest cannot be read or has no column ``path``.
    """
    if not places:
        raise UsageError("name at least one folder, file or manifest")
    finder = _Finder(registry, site_key, known)
    for number, place in enumerate(places, start=1):
        if place.is_dir():
            finder.add_folder(place)
        elif not place.exists():
            raise UsageError(f"source {number} of {len(places)} does not exist")
        elif is_table(place):
            finder.add_manifest(place)
        else:
            finder.add_file(place)
    return Discovery(finder.sources, finder.not_clips)


def reader_of(path: Path, registry: Registry) -> Reader | None:
    """The reader that claims a file, by its ending or else by its first bytes; None where nobody does."""
    suffix = path.suffix.lower()
    if suffix in registry.readers.names() or suffix in registry.readers.clashes:
        return registry.readers.get(suffix)
    try:
        with open_plain_file(path, follow_links=True) as stream:
            leading_bytes = stream.read(HEAD_BYTES)
    except OSError:
        return None
    readers = {id(reader): reader for reader in registry.readers.values()}
    claims = [reader for reader in readers.values() if reader.claims_content(leading_bytes)]
    if len(claims) > 1:
        raise UsageError(
            f"the readers {' and '.join(r.name for r in claims)} both claim one file's content. Remove one."
        )
    return claims[0] if claims else None


class _Finder:
    """Collects sources, each file once: a later manifest's facts do not replace an earlier one's."""

    def __init__(self, registry: Registry, site_key: SiteKey, known: Known) -> None:
        self.registry = registry
        self.site_key = site_key
        self.known = known
        self.sources: list[Source] = []
        self.not_clips = 0
        self._seen: set[str] = set()
        self._suffixes = set(registry.readers.names()) | set(registry.readers.clashes)

    def add_folder(self, folder: Path) -> None:
        root = folder.resolve()
        for path in _files_below(root):
            problem = None
            # realpath and not Path.resolve, which raises where links lead in a circle.
            if path.is_symlink() and not Path(os.path.realpath(path)).is_relative_to(root):
                problem = "link-leaves-folder"
            reader = None if problem else reader_of(path, self.registry) if self._worth_a_look(path) else None
            if problem is None and reader is None and not self.known(path):
                self.not_clips += 1
            elif self._is_new(path):
                self.sources.append(Source(path, f"file {len(self.sources) + 1}", reader, problem=problem))

    def _worth_a_look(self, path: Path) -> bool:
        """Files with a claimed ending need no look, and known ones were looked at by an earlier run."""
        return path.suffix.lower() in self._suffixes or not self.known(path)

    def add_manifest(self, table: Path) -> None:
        base = table.resolve().parent
        for row in read_table(table, required=("path",)):
            if not row["path"]:
                raise TableError(f"row {row.number} of the manifest has no path")
            path = Path(os.path.normpath(base / row["path"]))
            if not self._is_new(path):
                continue
            self.sources.append(
                Source(
                    path,
                    f"row {row.number}",
                    reader_of(path, self.registry),
                    patient_key=self.site_key.patient(row["patient_id"]) if row["patient_id"] else None,
                    exam_key=self.site_key.exam(row["exam_id"]) if row["exam_id"] else None,
                    zone=_checked_zone(row),
                )
            )

    def add_file(self, file: Path) -> None:
        path = file.resolve()
        if self._is_new(path):
            self.sources.append(Source(path, f"file {len(self.sources) + 1}", reader_of(path, self.registry)))

    def _is_new(self, path: Path) -> bool:
        text = str(path)
        if text in self._seen:
            return False
        self._seen.add(text)
        return True


def _checked_zone(row: Row) -> str | None:
    """A zone is stored as it is, so it must be a short name and no free text."""
    zone = row["zone"]
    if not zone:
        return None
    if not ZONE.fullmatch(zone):
        raise TableError(f"row {row.number} of the manifest: a zone has at most 16 letters, digits, '-' or '_'")
    return zone


def _files_below(folder: Path) -> Iterator[Path]:
    """Regular files and links to files, hidden ones left out, in order of name."""
    for directory, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Path(directory, name)
