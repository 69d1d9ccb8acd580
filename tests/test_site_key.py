"""Pseudonyms are stable at a site, different at another, and their secret is the owner's."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lusfx.site_key import SiteKey, SiteKeyError


def test_pseudonyms_are_stable_and_tell_kinds_and_patients_apart(site_key: SiteKey) -> None:
    assert site_key.patient("7") == site_key.patient(" 7 ")
    assert len({site_key.patient("7"), site_key.patient("8"), site_key.exam("7"), site_key.source("7")}) == 4


def test_another_site_has_other_pseudonyms(site_key: SiteKey) -> None:
    assert SiteKey(b"x" * 32).patient("7") != site_key.patient("7")


def test_the_key_is_made_once_and_kept(tmp_path: Path) -> None:
    file = tmp_path / "new" / "site.key"
    assert SiteKey.load(file).patient("7") == SiteKey.load(file).patient("7")
    assert list(file.parent.iterdir()) == [file]
    if os.name != "nt":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_first_runs_at_once_end_up_with_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: SiteKey.load(tmp_path / "site.key").patient("7"), range(8)))
    assert len(set(keys)) == 1


@pytest.mark.parametrize("content", ["", "abc", "zz" * 32, "ab" * 31])
def test_a_damaged_key_is_not_used(tmp_path: Path, content: str) -> None:
    (tmp_path / "site.key").write_text(content)
    with pytest.raises(SiteKeyError):
        SiteKey.load(tmp_path / "site.key")


def test_the_secret_is_not_shown(site_key: SiteKey) -> None:
    assert "0" not in repr(site_key)


def test_the_environment_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUSFX_SITE_KEY", str(tmp_path / "mine"))
    SiteKey.load()
    assert (tmp_path / "mine").exists()
