"""What users name becomes a list of source files."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from lusfx.contracts import Reader
from lusfx.engine.extraction.intake import refusal_of_unclaimed
from lusfx.engine.extraction.sources import discover, reader_of
from lusfx.errors import TableError, UsageError
from lusfx.plugins import Registry, build_registry
from lusfx.site_key import SiteKey
from lusfx.types import Clip


@pytest.fixture(scope="module")
def registry() -> Registry:
    return build_registry([])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "b" / "deep").mkdir(parents=True)
    for name in ("b/2.MP4", "b/deep/1.dcm", "a.png", "z.avi"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "b" / "IM0001").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / ".DS_Store").write_text("x")
    (tmp_path / "._a.png").write_text("x")
    return tmp_path


def unknown(path: Path) -> bool:
    return False


def test_a_folder_is_searched_to_the_bottom_in_a_stable_order(
    folder: Path, registry: Registry, site_key: SiteKey
) -> None:
    found = discover([folder], registry, site_key, unknown)
    names = [source.path.relative_to(folder.resolve()).as_posix() for source in found.sources]
    assert names == ["a.png", "z.avi", "b/2.MP4", "b/IM0001", "b/deep/1.dcm"]
    assert found.not_clips == 1
    assert [source.reader.name if source.reader else None for source in found.sources] == [
        "image", "video", "video", "dicom", "dicom",
    ]  # fmt: skip


def test_a_file_counts_once_however_often_it_is_named(folder: Path, registry: Registry, site_key: SiteKey) -> None:
    (folder / "m.csv").write_text("path,patient_id\na.png,7\n./a.png,07\n./a.png,\n")
    found = discover([folder / "m.csv", folder, folder / "a.png"], registry, site_key, unknown)
    assert len(found.sources) == 5
    assert found.sources[0].patient_key == site_key.patient("7")


def test_a_named_file_is_found_whatever_it_is(folder: Path, registry: Registry, site_key: SiteKey) -> None:
    (source,) = discover([folder / "notes.txt"], registry, site_key, unknown).sources
    assert source.reader is None


def test_known_files_are_not_looked_into(folder: Path, registry: Registry, site_key: SiteKey) -> None:
    found = discover([folder], registry, site_key, lambda path: path.name == "notes.txt")
    assert len(found.sources) == 6


def test_nothing_named_or_a_missing_place_is_a_usage_error(folder: Path, registry: Registry, site_key: SiteKey) -> None:
    with pytest.raises(UsageError, match="at least one"):
        discover([], registry, site_key, unknown)
    with pytest.raises(UsageError, match="source 2 of 2 does not exist") as caught:
        discover([folder, folder / "SECRET"], registry, site_key, unknown)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize(
    "content", ["file\na.png\n", "path\n\n", "path,zone\n,L1\n", "path,zone\na.png,Jane Doe 1950\n"]
)
def test_a_manifest_needs_paths_and_short_zones(
    folder: Path, registry: Registry, site_key: SiteKey, content: str
) -> None:
    (folder / "m.csv").write_text(content)
    with pytest.raises(TableError):
        discover([folder / "m.csv"], registry, site_key, unknown)


def test_the_longest_ending_that_a_reader_claims_is_the_files(folder: Path, site_key: SiteKey) -> None:
    class Volume(Reader):
        name = "volume"
        suffixes = (".nii.gz",)

        def open(self, path: Path, site_key: SiteKey) -> AbstractContextManager[Clip]:
            raise NotImplementedError

    registry = build_registry([])
    registry.readers.add(".nii.gz", Volume(), "this test")
    for name in ("a.nii.gz", "1.2.840.NII.GZ", "a.gz", "nii.gz"):
        (folder / name).write_bytes(b"\x1f\x8b")
    found = discover([folder], registry, site_key, unknown)
    assert {s.path.name for s in found.sources if s.reader and s.reader.name == "volume"} == {
        "a.nii.gz",
        "1.2.840.NII.GZ",
    }
    assert isinstance(reader_of(folder / "a.nii.gz", registry), Volume)
    assert reader_of(folder / "a.gz", registry) is None


def test_a_reader_is_told_by_the_ending_and_else_by_the_content(folder: Path, registry: Registry) -> None:
    def name(path: str) -> str | None:
        reader = reader_of(folder / path, registry)
        return reader.name if reader else None

    assert name("b/2.MP4") == "video"
    assert name("b/IM0001") == "dicom"
    assert name("notes.txt") is None
    assert name("missing") is None


def test_a_name_that_is_too_long_costs_its_row_alone(tmp_path: Path, registry: Registry, site_key: SiteKey) -> None:
    (tmp_path / "m.csv").write_text(f"path\n{'CANARY' * 99}\n")
    (source,) = discover([tmp_path / "m.csv"], registry, site_key, unknown).sources
    refusal = refusal_of_unclaimed(source)
    assert (refusal.status, refusal.code) == ("failed", "cannot-open")
    assert "CANARY" not in refusal.detail


@pytest.mark.parametrize("name", ["IM0001", "clip.mp4"])
def test_a_place_in_a_closed_folder_is_a_usage_error(
    tmp_path: Path, registry: Registry, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def closed(path: object, *_: object, **__: object) -> None:
        raise PermissionError(13, "closed", str(path))

    monkeypatch.setattr(os, "stat", closed)
    with pytest.raises(UsageError, match="source 1 of 1 does not exist") as caught:
        discover([tmp_path / name], registry, site_key, unknown)
    assert name not in str(caught.value)


def test_a_manifest_that_gives_one_file_to_two_patients_is_refused(
    tmp_path: Path, registry: Registry, site_key: SiteKey
) -> None:
    (tmp_path / "m.csv").write_text("path,patient_id\na.png,7\nb.png,9\n./a.png,8\n")
    with pytest.raises(TableError, match=r"rows 1 .* and 3 .* one file and two patients"):
        discover([tmp_path / "m.csv"], registry, site_key, unknown)


def test_an_identifier_that_nobody_sees_is_none(tmp_path: Path, registry: Registry, site_key: SiteKey) -> None:
    (tmp_path / "m.csv").write_text("path,patient_id\na.png,\u200b\n", encoding="utf-8")
    (source,) = discover([tmp_path / "m.csv"], registry, site_key, unknown).sources
    assert source.patient_key is None
