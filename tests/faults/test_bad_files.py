"""One bad file never stops a run: every good one is encoded as without the spoilt ones, and those have their codes."""

from __future__ import annotations

import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from lusfx.cache import Cache, read_ledger
from lusfx.site_key import SiteKey
from lusfx.types import FrameStatus
from tests.faults.archive import MAX_RSS_MIB, Extraction, extract, plain_encoder, same, write_site_key
from tests.faults.children import ROOT
from tests.faults.sources import Sound, Spoilt, sound_files, spoilt_files, write_odd_entries

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the trials need named pipes")]

ALWAYS_CODED = frozenset({"text", "bomb"})
ROW = "one bad file never stops a run"


@dataclass(frozen=True)
class Spoiled:
    """The archive, and what became of it."""

    clean: Extraction
    run: Extraction
    folder: Path
    site_key: SiteKey
    sound: list[Sound]
    spoilt: list[Spoilt]
    readable: list[Path]
    unreadable: list[Path]

    def path_of(self, name: str | bytes) -> Path:
        return self.folder / os.fsdecode(name)

    def code_of(self, path: Path) -> str | None:
        """None of a clip that was encoded."""
        return self.run.codes().get(self.site_key.source(str(path)))


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory, trials: Callable[[int, int], int]) -> Spoiled:
    root = tmp_path_factory.mktemp("spoiled")
    site_key, encoder, sound = write_site_key(root), plain_encoder(root), sound_files()
    clean_folder, folder = root / "clean", root / "exams"
    for place in (clean_folder, folder):
        place.mkdir()
        for one in sound:
            (place / one.name).write_bytes(one.content)
    clean = extract(root, clean_folder, encoder)
    shutil.move(root / "cache", root / "clean-cache")
    spoilt = spoilt_files(sound, np.random.default_rng(5), trials(1, 40), trials(1, 40), inflated_mib=trials(4, 256))
    for one in spoilt:
        (folder / os.fsdecode(one.name)).write_bytes(one.content)
    video = next(one.content for one in sound if one.suffix == ".mp4" or one.suffix == ".m4v")
    readable, unreadable = write_odd_entries(folder, video)
    run = extract(root, folder, encoder)
    clean = replace(clean, cache=root / "clean-cache")
    return Spoiled(clean, run, folder, site_key, sound, spoilt, readable, unreadable)


def documented_codes() -> set[str]:
    """The codes that docs/readers.md lists."""
    section = (ROOT / "docs" / "readers.md").read_text().partition("## Codes")[2].partition("\n## ")[0]
    return set(
        re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in section.splitlines() if line.count("|") > 3))
    )


def test_the_run_ends_and_adds_up(spoiled: Spoiled, measured: Callable[..., None]) -> None:
    assert (spoiled.clean.code, spoiled.run.code) == (0, 3), spoiled.run.err[-2000:]
    facts = spoiled.run.facts
    n_sources = len(spoiled.sound) + len(spoiled.spoilt) + len(spoiled.readable) + len(spoiled.unreadable)
    assert facts["found"] == n_sources
    assert facts["found"] == facts["encoded"] + facts["cached"] + facts["failed"] + facts["skipped"]
    (ledger,) = (read_ledger(path) for path in Cache.open(spoiled.run.cache).ledgers())
    assert ledger.adds_up
    assert {entry.source: entry.code for entry in ledger.entries if entry.code} == spoiled.run.codes()
    assert "Traceback" not in spoiled.run.err
    assert spoiled.run.peak_mib < MAX_RSS_MIB
    counts = {outcome: facts[outcome] for outcome in ("encoded", "cached", "failed", "skipped")}
    bad = len(spoiled.spoilt) + len(spoiled.unreadable)
    codes = dict(sorted(Counter(spoiled.run.codes().values()).items()))
    good = len(spoiled.sound) + len(spoiled.readable)
    measured(ROW, {"spoilt": bad, "good": good, **counts, "codes": codes, "peak_mib": round(spoiled.run.peak_mib)})


def test_every_good_clip_is_encoded_as_in_a_clean_run(spoiled: Spoiled) -> None:
    assert spoiled.clean.facts["encoded"] == len(spoiled.sound)
    for one in spoiled.sound:
        expected = spoiled.clean.embeddings_of(spoiled.folder.with_name("clean") / one.name)
        assert same(spoiled.run.embeddings_of(spoiled.path_of(one.name)), expected), one.name


def test_odd_names_are_names(spoiled: Spoiled) -> None:
    for path in spoiled.readable:
        assert spoiled.run.embeddings_of(path) is not None, path.name
    assert not list(spoiled.folder.parent.rglob("executed"))


def test_what_is_no_file_has_a_code(spoiled: Spoiled) -> None:
    codes = {spoiled.code_of(path) for path in spoiled.unreadable}
    assert codes == {"cannot-open", "not-a-file"}


def test_every_code_is_documented(spoiled: Spoiled) -> None:
    assert set(spoiled.run.codes().values()) <= documented_codes()
    assert "reader-error" not in spoiled.run.codes().values()


def test_bombs_and_text_have_a_code(spoiled: Spoiled) -> None:
    without = [
        one for one in spoiled.spoilt if one.how in ALWAYS_CODED and spoiled.code_of(spoiled.path_of(one.name)) is None
    ]
    assert not [(one.name, one.how) for one in without]


def test_a_cut_file_gives_true_frames_only_and_says_what_is_missing(
    spoiled: Spoiled, measured: Callable[..., None]
) -> None:
    """Each frame that is encoded is the frame of the whole file; where some are missing, the clip is noted."""
    n_encoded = 0
    for one in spoiled.spoilt:
        path = spoiled.path_of(one.name)
        if one.how != "cut" or spoiled.code_of(path) is not None:
            continue
        n_encoded += 1
        found = spoiled.run.embeddings_of(path)
        whole = spoiled.clean.embeddings_of(spoiled.folder.with_name("clean") / one.of.name)
        assert found is not None
        assert whole is not None
        readable = np.flatnonzero(found.status == FrameStatus.OK)
        assert np.array_equal(found.embeddings[readable], whole.embeddings[found.source_frame[readable]]), one
        assert len(readable) == whole.n_frames or found.provenance["notes"], one.name
    n_cut = sum(one.how == "cut" for one in spoiled.spoilt)
    assert 0 < n_encoded < n_cut
    measured(
        "files that were cut short", {"cut": n_cut, "partly read": n_encoded, "made-up frames": 0, "silent gaps": 0}
    )
