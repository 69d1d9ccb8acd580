"""Directories of a cache: nothing done in them leads elsewhere, and what is set aside is what was judged."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lusfx.cache.folder import Folder, directories_in, names_in, remove_file
from lusfx.durable import make_directory
from lusfx.errors import CacheError, CorruptRecordError

pytestmark = pytest.mark.skipif(os.name == "nt", reason="making links needs a privilege on Windows")


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A directory that is not the cache's, with a file."""
    (tmp_path / "elsewhere" / "inner").mkdir(parents=True)
    (tmp_path / "elsewhere" / "inner" / "file").write_text("precious")
    return tmp_path / "elsewhere"


@pytest.fixture
def here(tmp_path: Path, elsewhere: Path) -> Path:
    """A cache of a directory with a file, and links out of it at two depths."""
    (tmp_path / "cache" / "inner").mkdir(parents=True)
    (tmp_path / "cache" / "inner" / "file").write_text("old")
    (tmp_path / "cache" / "linked").symlink_to(elsewhere)
    (tmp_path / "cache" / "inner" / "linked").symlink_to(elsewhere / "inner")
    return tmp_path / "cache"


@pytest.mark.parametrize("names", [("linked",), ("linked", "inner"), ("inner", "linked"), ("inner", "file")])
def test_no_link_is_followed_on_the_way_down(here: Path, elsewhere: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(CorruptRecordError, match="link or no directory"):
        names_in(here, *names)
    with pytest.raises(NotADirectoryError):
        remove_file(here, here.joinpath(*names, "file"))
    with pytest.raises(OSError):
        make_directory(here.joinpath(*names, "new"), within=here)
    assert [path.name for path in elsewhere.rglob("*")] == ["inner", "file"]


def test_the_cache_itself_may_be_a_link(here: Path, tmp_path: Path) -> None:
    (tmp_path / "named").symlink_to(here)
    assert names_in(tmp_path / "named") == ["inner", "linked"]
    assert directories_in(tmp_path / "named") == ["inner"]
    assert names_in(tmp_path / "named", "missing") == []


def test_a_directory_is_not_removed_as_a_file_and_of_a_link_the_link_is(here: Path, elsewhere: Path) -> None:
    with Folder.open(here) as folder:
        with pytest.raises(IsADirectoryError):
            folder.remove("inner")
        folder.remove("linked")
        folder.remove("linked")
    assert (elsewhere / "inner" / "file").read_text() == "precious"


@pytest.mark.parametrize("mended", ["before", "meanwhile", "never"])
def test_what_is_set_aside_is_what_was_judged(here: Path, mended: str) -> None:
    """The file may be replaced by a sound one before it is moved, or while the moved one is judged."""
    place = here / "inner" / "file"

    def is_sound(moved: Path) -> bool:
        if mended == "meanwhile":
            place.write_text("new")
        return moved.read_text() == "new"

    if mended == "before":
        place.write_text("new")
    with Folder.open(here, "inner") as folder, Folder.open(here, "quarantine", make=True) as quarantine:
        assert folder.set_aside("file", quarantine, "aside", is_sound) == (mended != "before")
        assert folder.names() == (["linked"] if mended == "never" else ["file", "linked"])
        assert quarantine.names() == ([] if mended == "before" else ["aside"])
    if mended != "never":
        assert place.read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_what_cannot_be_judged_is_put_back(here: Path, kind: str) -> None:
    if kind == "directory":
        (here / "inner" / "file").unlink()
        (here / "inner" / "file").mkdir()

    def fail(moved: Path) -> bool:
        raise CacheError("the disk is gone")

    with Folder.open(here, "inner") as folder, Folder.open(here) as other:
        with pytest.raises(CacheError):
            folder.set_aside("file", other, "aside", fail)
        assert folder.names() == ["file", "linked"]
        assert "aside" not in other.names()
