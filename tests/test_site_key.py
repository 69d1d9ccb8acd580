"""Pseudonyms are stable at a site, different at another, and their secret is the owner's."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lusfx.site_key import SiteKey, SiteKeyError, same_patient, spellings


def test_pseudonyms_are_stable_and_tell_kinds_and_patients_apart(site_key: SiteKey) -> None:
    assert site_key.patient("7") == site_key.patient(" 7 ")
    assert len({site_key.patient("7"), site_key.patient("8"), site_key.exam("7"), site_key.source("7")}) == 4


def test_a_key_holds_the_identifier_as_it_is_written_and_its_canonical_form(site_key: SiteKey) -> None:
    plain, written = site_key.patient("jane"), site_key.patient("Jane")
    assert spellings(plain) == (plain,)
    assert len(set(spellings(written))) == 2
    assert same_patient(written) == same_patient(plain) == plain


def test_the_number_of_another_issuer_is_another_patient(site_key: SiteKey) -> None:
    keys = [site_key.patient("7"), site_key.patient("7", "A"), site_key.patient("7", "B"), site_key.patient("B7")]
    assert len({same_patient(key) for key in keys}) == 4
    assert same_patient(site_key.patient("07", "a ")) == same_patient(site_key.patient("7", "A"))


def test_pseudonyms_of_before_are_still_made() -> None:
    """Those of caches and models that know no canonical form."""
    key = SiteKey(bytes(range(32)))
    assert spellings(key.patient("P 001"))[0] == "p-516375fba63830ec7a9c"
    assert spellings(key.patient("P 001", "Ward"))[0] == "p-11a7a409ff200a5d6c09"


def test_a_check_tells_keys_apart_and_nothing_else(site_key: SiteKey) -> None:
    assert site_key.check == SiteKey(site_key.secret).check != SiteKey(b"x" * 32).check
    assert site_key.check.startswith("k-")
    assert site_key.secret.hex() not in site_key.check


def test_a_reading_command_makes_no_key(tmp_path: Path) -> None:
    with pytest.raises(SiteKeyError, match="--make"):
        SiteKey.load(tmp_path / "site.key", make=False)
    assert not list(tmp_path.iterdir())


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
