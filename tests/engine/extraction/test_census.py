"""What a search leaves out is counted by kind and reason, and nothing of an archive is left out for its name alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lusfx.engine.extraction.census import PictureShare
from lusfx.engine.extraction.sources import Discovery, discover
from lusfx.engine.extraction.system_names import SYSTEM_NAMES, is_system_file, is_system_folder
from lusfx.plugins import Registry, build_registry
from lusfx.site_key import SiteKey

DICOM = bytes(128) + b"DICM"
APPLE_DOUBLE = b"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X        " + bytes(200)


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry([])


class Folder:
    """A folder to be searched."""

    def __init__(self, root: Path, registry: Registry, site_key: SiteKey) -> None:
        self.root, self.registry, self.site_key = root, registry, site_key

    def write(self, name: str, content: bytes = DICOM) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def search(self, *places: Path, known: bool = False) -> Discovery:
        return discover(places or [self.root], self.registry, self.site_key, lambda _path: known)

    def names(self) -> list[str]:
        return [source.path.relative_to(self.root.resolve()).as_posix() for source in self.search().sources]

    def left_out(self, *places: Path) -> list[tuple[str, str, int]]:
        return [(kind.name, str(why), count) for kind, why, count in self.search(*places).census.rows()]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry, site_key: SiteKey) -> Folder:
    (tmp_path / "archive").mkdir()
    return Folder(tmp_path / "archive", registry, site_key)


@pytest.mark.parametrize(
    "name",
    [".LUNG R1/IM0001.dcm", ".LUNG R1/IM0001", ".R2.dcm", ".IM0002", "a/.b/.c/.d.dcm", "._LUNG/IM0001.dcm", ".dcm"],
)
def test_names_that_begin_with_a_dot_are_read(folder: Folder, name: str) -> None:
    folder.write(name)
    assert folder.names() == [name]
    assert folder.left_out() == []


@pytest.mark.parametrize("pattern", [pattern for names in SYSTEM_NAMES for pattern in names.patterns.split()])
def test_what_belongs_to_a_system_is_left_alone_and_counted(folder: Folder, pattern: str) -> None:
    name = pattern.replace("*", "0001").replace("?", " ").upper()
    folder.write(f"{name}IM0001.dcm" if name.endswith("/") else name)
    assert folder.names() == []
    assert folder.left_out() == [("folder" if name.endswith("/") else "system file", "system", 1)]


@pytest.mark.parametrize("name", [".gitter", ".trasher.dcm", "trash", "thumbs.db.dcm", ".cachet", "cache", "snapshot"])
def test_names_that_only_resemble_a_systems_are_not(name: str) -> None:
    assert not is_system_folder(name)
    assert not is_system_file(name)


def test_the_second_halves_of_macos_are_told_by_their_first_bytes(folder: Folder) -> None:
    folder.write("clip.dcm")
    folder.write("._clip.dcm", APPLE_DOUBLE)
    folder.write("._empty.dcm", b"")
    folder.write("halves/clip", APPLE_DOUBLE)
    folder.write("._R3.dcm")  # a series of this name
    folder.write("._R4")
    assert folder.names() == ["._R3.dcm", "._R4", "clip.dcm"]
    assert folder.left_out() == [("AppleDouble", "system", 2), ("empty file", "system", 1)]


def test_kinds_that_no_reader_claims_are_counted(folder: Folder) -> None:
    for number in range(3):
        folder.write(f"{number}.heic", b"\0\0\0\x18ftypheic" + bytes(12))
    folder.write("notes.txt", b"none")
    folder.write("IM0001", b"")
    found = folder.search()
    assert found.sources == []
    assert found.not_clips == 5
    assert found.census.as_list()[0] == {"kind": "HEIC image", "why": "no-reader", "count": 3, "picture": True}
    assert folder.left_out()[1:] == [("empty file", "no-reader", 1), ("text", "no-reader", 1)]
    assert len(found.census.pictures) == 3


def test_a_file_is_counted_once_however_often_its_folder_is_named(folder: Folder) -> None:
    folder.write("a/notes.txt", b"none")
    folder.write("a/.git/x", b"none")
    assert folder.left_out(folder.root, folder.root / "a", folder.root) == [
        ("folder", "system", 1),
        ("text", "no-reader", 1),
    ]


def test_a_manifest_may_name_what_a_folder_leaves_out(folder: Folder) -> None:
    folder.write("exam.zip", b"PK\x05\x06" + bytes(18))
    manifest = folder.write("m.csv", b"path\nexam.zip\n")
    (source,) = folder.search(folder.root, manifest).sources
    assert source.reader is None


def test_what_lusfx_wrote_is_its_own(folder: Folder) -> None:
    folder.write("cache/cache.json", b'{"format":"lusfx-cache","version":1}')
    folder.write("cache/clips/a.dcm")
    folder.write("export/cache.json", b'{"format":"another program"}')
    folder.write("export/b.dcm")
    assert folder.names() == ["export/b.dcm"]
    assert ("folder", "system", 1) in folder.left_out()


def test_known_files_are_not_looked_into_again(folder: Folder) -> None:
    folder.write("IM0001")
    folder.write("._R3.dcm")
    found = folder.search(known=True)
    assert len(found.sources) == 2
    assert found.census.rows() == []


@pytest.mark.skipif(os.name == "nt", reason="links need rights on Windows")
def test_a_linked_folder_counts_where_it_leads_out(folder: Folder, tmp_path: Path) -> None:
    folder.write("a/1.dcm")
    (tmp_path / "elsewhere").mkdir()
    (folder.root / "out").symlink_to(tmp_path / "elsewhere")
    (folder.root / "in").symlink_to(folder.root / "a")
    (folder.root / "round").symlink_to(folder.root)
    assert folder.names() == ["a/1.dcm"]
    assert folder.left_out() == [("folder", "link-leaves-folder", 1)]


def test_a_folder_that_cannot_be_listed_is_a_failure(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write("a/1.dcm")
    folder.write("b/2.dcm")
    scandir = os.scandir

    def refuse(path: str) -> object:
        if Path(path).name == "b":
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    found = folder.search()
    assert [(source.path.name, source.problem) for source in found.sources] == [("1.dcm", None), ("b", "cannot-open")]


# ---- the share ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "skipped", "left_out", "share"),
    [
        (10, [], 0, 0.0),
        (0, [], 0, 0.0),
        (10, ["no-b-mode-region"] * 4, 0, 0.4),
        (10, ["no-b-mode-region"] * 5, 10, 0.75),
        (0, [], 3, 1.0),
        (3, ["no-pixel-data"] * 2, 0, 0.0),  # a report and an index beside a clip
        (3, ["no-pixel-data"] * 2, 1, 0.5),
        (2, ["no-pixel-data"] * 2, 0, 1.0),  # nothing but pictures that were removed
        (1, ["no-b-mode-region"], 0, 1.0),
    ],
)
def test_the_share_is_of_pictures(found: int, skipped: list[str], left_out: int, share: float) -> None:
    assert PictureShare.of(found, skipped, left_out).share == pytest.approx(share)


def test_the_share_itself_is_allowed_and_the_biggest_code_is_named() -> None:
    half = PictureShare.of(4, ["no-b-mode-region", "not-ultrasound"], 0)
    assert not half.exceeds(0.5)
    more = PictureShare.of(4, ["no-b-mode-region", "not-ultrasound", "not-ultrasound"], 0)
    assert more.exceeds(0.5)
    assert "3 of 4 pictures" in more.sentence(0.5)
    assert "2 times: code 'not-ultrasound'" in more.sentence(0.5)
    assert "no reader claims them" in PictureShare.of(1, [], 5).sentence(0.5)
