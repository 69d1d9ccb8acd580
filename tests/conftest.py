"""Fixtures that all tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from lusfx.site_key import SECRET_BYTES, SiteKey

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real clips; the test is skipped where they are absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real clips of ../shared/data are not on this machine")
    return SHARED_DATA


@pytest.fixture
def site_key() -> SiteKey:
    """A site key that is not the user's own."""
    return SiteKey(bytes(range(SECRET_BYTES)))


@pytest.fixture(autouse=True)
def own_user_directory(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the user's site key and encoders out of the tests, and the tests out of theirs."""
    monkeypatch.setenv("LUSFX_HOME", str(tmp_path_factory.getbasetemp() / "lusfx-home"))
    monkeypatch.delenv("LUSFX_SITE_KEY", raising=False)
