"""From what a user names (folders, files, manifests) to the list of source files, each with its reader."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lusfx.contracts import HEAD_BYTES, Reader, ending_of
from lusfx.engine.extraction import file_kinds
from lusfx.engine.extraction.census import Census, Why
from lusfx.engine.extraction.file_kinds import FileKind, kind_of
from lusfx.engine.extraction.system_names import is_own_folder, is_system_file, is_system_folder
from lusfx.errors import TableError, UsageError
from lusfx.identifiers import canonical
from lusfx.plain_file import open_plain_file
from lusfx.plugins import Registry
from lusfx.site_key import SiteKey
from lusfx.tables import Row, is_table, read_table

NAMED_SOURCES = 10
"""That a message has room for."""
ZONE = re.compile(r"[A-Za-z0-9_-]{1,16}")


@dataclass(frozen=True, slots=True)
class Source:
    """One source file, and what its manifest says of it.

    :param path: absolute path; shown to nobody unless asked for.
    :param where: how messages name it without its path: ``row 17 (line 18)`` or ``file 3``.
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
    :param census: these and whatever else was left out, by kind.
    :param empty_places: numbers, from 1, of the named places that hold no source.
    :param notes: what was assumed of manifests, with the number of their rows.
    """

    sources: list[Source]
    not_clips: int
    census: Census = field(default_factory=Census, repr=False)
    empty_places: tuple[int, ...] = ()
    notes: Counter[str] = field(default_factory=Counter)


Known = Callable[[Path], bool]
"""Whether a file is known from an earlier run, so that nobody need look into it to tell what it is."""


class MissingSourcesError(UsageError):
    """Named sources that do not exist.

    :param paths: of them; for nobody's eyes unless asked for.
    """

    def __init__(self, numbers: Sequence[int], paths: Sequence[Path], of: int) -> None:
        named = ", ".join(map(str, numbers[:NAMED_SOURCES])) + (", ..." if len(numbers) > NAMED_SOURCES else "")
        which = f"source {named} of {of} does" if len(numbers) == 1 else f"sources {named} of {of} do"
        super().__init__(f"{which} not exist")
        self.paths = tuple(paths)


def check_places(places: Sequence[Path]) -> None:
    """Refuse places that no clips can come from, before anything is made for them.

    :raises UsageError: if nothing was named, or a named place does not exist.
    :raises TableError: if a manifest cannot be used.
    """
    _require_there(places)
    for place in places:
        if is_table(place) and not place.is_dir():
            for _ in _manifest_rows(place):
                pass


def _require_there(places: Sequence[Path]) -> None:
    if not places:
        raise UsageError("name at least one folder, file or manifest")
    missing = [number for number, place in enumerate(places, start=1) if _mode(place) is None]
    if missing:
        raise MissingSourcesError(missing, [places[number - 1] for number in missing], len(places))


def _mode(place: Path) -> int | None:
    """The kind of what is at a place; None where nothing is, or nobody can see it: pathlib's own question may raise."""
    try:
        return place.stat().st_mode
    except (OSError, ValueError):
        return None


def _manifest_rows(table: Path) -> Iterator[tuple[Path, Row, str | None]]:
    """The path, the row and the zone of each row of a manifest."""
    base = table.resolve().parent
    for row in read_table(table, required=("path",)):
        if not row["path"]:
            raise TableError(f"row {row.number} of the manifest has no path")
        yield Path(os.path.normpath(base / row["path"])), row, _checked_zone(row)


def discover(places: Sequence[Path], registry: Registry, site_key: SiteKey, known: Known) -> Discovery:
    """List the source files of folders, files and manifests, in any mixture.

    A folder is searched to the bottom. What belongs to a system (:mod:`lusfx.engine.extraction.system_names`) and links that
    lead out of it are left alone; the census counts what was left out. A file that is named, or listed in a manifest, counts
    as found whatever it is.

    :raises UsageError, TableError: as :func:`check_places` does, which finds out before anything is begun.
    """
    _require_there(places)
    finder = _Finder(registry, site_key, known)
    empty = []
    for number, place in enumerate(places, start=1):
        before = finder.n_told
        if stat.S_ISDIR(_mode(place) or 0):
            finder.add_folder(place)
        elif is_table(place):
            finder.add_manifest(place)
        else:
            finder.add_file(place)
        if finder.n_told == before:
            empty.append(number)
    not_clips = finder.census.count(Why.NO_READER)
    return Discovery(finder.sources, not_clips, finder.census, tuple(empty), finder.notes)


def reader_of(path: Path, registry: Registry) -> Reader | None:
    """The reader that claims a file, by its ending or else by its first bytes; None where nobody does."""
    endings = _endings(registry)
    ending = ending_of(path, endings)
    if ending in endings:
        return registry.readers.get(ending)
    head = _head_of(path)
    return None if head is None else _reader_of_content(head, registry)


def _endings(registry: Registry) -> set[str]:
    return {*registry.readers.names(), *registry.readers.clashes}


def _head_of(path: Path) -> bytes | None:
    """A file's first bytes; None where it cannot be read."""
    try:
        with open_plain_file(path, follow_links=True) as stream:
            return stream.read(HEAD_BYTES)
    except OSError:
        return None


def _reader_of_content(head: bytes, registry: Registry) -> Reader | None:
    readers = {id(reader): reader for reader in registry.readers.values()}
    claims = [reader for reader in readers.values() if reader.claims_content(head)]
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
        self.n_told = 0
        self.census = Census()
        self.notes: Counter[str] = Counter()
        self._seen: set[str] = set()
        self._left_out: set[str] = set()
        self._suffixes = _endings(registry)

    def add_folder(self, folder: Path) -> None:
        root = folder.resolve()
        for path in self._files_below(root):
            if path.is_symlink() and _leads_out(path, root):
                self._add(path, None, "link-leaves-folder")
            elif self._has_ending(path) and not path.name.startswith("._"):
                self._add(path, reader_of(path, self.registry))
            elif self.known(path):  # looked at by an earlier run
                self._add(path, reader_of(path, self.registry) if self._has_ending(path) else None)
            else:
                self._look_into(path)

    def _has_ending(self, path: Path) -> bool:
        return ending_of(path, self._suffixes) in self._suffixes

    def _look_into(self, path: Path) -> None:
        """Tell by its first bytes what a file is that its name does not tell."""
        head = _head_of(path)
        kind = file_kinds.UNREADABLE if head is None else kind_of(head)
        if path.name.startswith("._") and not kind.is_picture:
            return self._leave_out(path, kind, Why.SYSTEM)
        if self._has_ending(path):
            return self._add(path, reader_of(path, self.registry))
        reader = None if head is None else _reader_of_content(head, self.registry)
        if reader is not None:
            return self._add(path, reader)
        return self._leave_out(path, kind, Why.SYSTEM if kind == file_kinds.APPLE_DOUBLE else Why.NO_READER)

    def _add(self, path: Path, reader: Reader | None, problem: str | None = None) -> None:
        if self._is_new(path):
            self.sources.append(Source(path, f"file {len(self.sources) + 1}", reader, problem=problem))

    def _leave_out(self, path: Path, kind: FileKind, why: Why) -> None:
        if str(path) not in self._left_out:  # a folder may be named twice, or lie in another
            self._left_out.add(str(path))
            self.census.leave_out(path, kind, why)

    def _files_below(self, root: Path) -> Iterator[Path]:
        """Regular files and links to files, in order of name; what belongs to a system is left out."""

        def cannot_be_listed(error: OSError) -> None:
            self._add(Path(error.filename), None, "cannot-open")

        for directory, folders, files in os.walk(root, onerror=cannot_be_listed):
            here = Path(directory)
            if here != root and is_own_folder(here, files):
                self._leave_out(here, file_kinds.FOLDER, Why.SYSTEM)
                folders.clear()
                continue
            folders[:] = [name for name in sorted(folders) if self._may_enter(here / name, root)]
            for name in sorted(files):
                if is_system_file(name):
                    self._leave_out(here / name, file_kinds.SYSTEM_FILE, Why.SYSTEM)
                else:
                    yield here / name

    def _may_enter(self, folder: Path, root: Path) -> bool:
        if is_system_folder(folder.name):
            self._leave_out(folder, file_kinds.FOLDER, Why.SYSTEM)
            return False
        if folder.is_symlink():  # is not followed: what it leads to within the root is found by its own name
            if _leads_out(folder, root):
                self._leave_out(folder, file_kinds.FOLDER, Why.LINK)
            return False
        return True

    def add_manifest(self, table: Path) -> None:
        named: dict[Path, tuple[str, str]] = {}
        for path, row, zone in _manifest_rows(table):
            self.notes.update(f"a manifest: {note}" for note in row.form.notes)
            patient = canonical(row["patient_id"])
            first, said = named.setdefault(path, (patient, row.said)) if patient else ("", "")
            if first != patient:
                raise TableError(
                    f"rows {said} and {row.said} of the manifest name one file and two patients. Mend the one that is wrong"
                )
            if not self._is_new(path):
                continue
            self.sources.append(
                Source(
                    path,
                    f"row {row.said}",
                    reader_of(path, self.registry),
                    patient_key=self.site_key.patient(row["patient_id"]) if patient else None,
                    exam_key=self.site_key.exam(row["exam_id"]) if row["exam_id"] else None,
                    zone=zone,
                )
            )

    def add_file(self, file: Path) -> None:
        path = file.resolve()
        if self._is_new(path):
            self.sources.append(Source(path, f"file {len(self.sources) + 1}", reader_of(path, self.registry)))

    def _is_new(self, path: Path) -> bool:
        self.n_told += 1
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
        raise TableError(f"row {row.said} of the manifest: a zone has at most 16 letters, digits, '-' or '_'")
    return zone


def _leads_out(link: Path, root: Path) -> bool:
    # realpath and not Path.resolve, which raises where links lead in a circle.
    return not Path(os.path.realpath(link)).is_relative_to(root)
