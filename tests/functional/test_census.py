"""What was left out of an archive is told before and after it is encoded, and too much of it ends with its own exit code."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, UltrasoundImageStorage

from lusfx import plain_file
from lusfx.cache import Cache
from lusfx.engine.extraction.extract import extract
from lusfx.errors import UsageError
from lusfx.site_key import SiteKey

Lusfx = Callable[..., Any]


def dicom_still() -> bytes:
    """A small ultrasound still in Explicit VR Little Endian."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = UltrasoundImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3"
    dataset.Modality, dataset.Rows, dataset.Columns = "US", 64, 64
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
    dataset.PixelData = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8).tobytes()
    content = io.BytesIO()
    dataset.save_as(content, enforce_file_format=True)
    return content.getvalue()


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Two stills in a folder of a dot, three phone pictures that nobody reads, a note, and a system's own."""
    folder = tmp_path / "archive"
    (folder / ".CANARY R1").mkdir(parents=True)
    generator = np.random.default_rng(0)
    for number in range(2):
        pixels = generator.integers(0, 255, (48, 64)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / ".CANARY R1" / f"{number}.png")
    for number in range(3):
        (folder / f"CANARY {number}.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes([number]) * 12)
    (folder / "CANARY.txt").write_text("CANARY")
    (folder / ".DS_Store").write_bytes(b"CANARY")
    return folder


def test_too_many_pictures_left_out_end_with_exit_code_3(lusfx_here: Lusfx, archive: Path) -> None:
    run = lusfx_here("extract", archive, "--cache", "cache")
    assert run.code == 3
    assert "3 of 5 pictures were skipped or left out" in run.err
    assert "no reader claims them" in run.err
    assert "3         HEIC image   no reader claims it" in run.out
    assert "1         system file  a system's own" in run.out
    assert "2 found = 2 encoded" in run.out
    allowed = lusfx_here("extract", archive, "--cache", "cache", "--max-skipped", "0.6", "--json")
    assert allowed.code == 0
    assert (allowed.json["cached"], allowed.json["not_clips"]) == (2, 4)
    census = allowed.json["census"]
    assert (census["pictures"], census["lost"], census["share"]) == (5, {"no-reader": 3}, 0.6)
    assert census["left_out"][0] == {"kind": "HEIC image", "why": "no-reader", "count": 3, "picture": True}
    assert "CANARY" not in run.out + run.err + allowed.out + allowed.err


def test_the_ledger_says_how_many_were_left_out(archive: Path, tmp_path: Path, site_key: SiteKey) -> None:
    result = extract([archive], tmp_path / "cache", site_key=site_key, max_skipped=1)
    assert result.too_many_skipped is None
    (ledger,) = Cache.open(tmp_path / "cache").ledgers()
    assert b'"left_out":{"link-leaves-folder":0,"no-reader":4,"system":1}' in ledger.read_bytes().splitlines()[-1]


def test_shards_share_what_was_left_out(archive: Path, tmp_path: Path, site_key: SiteKey) -> None:
    results = [
        extract([archive], tmp_path / "cache", site_key=site_key, shard=(number, 3), max_skipped=1)
        for number in (1, 2, 3)
    ]
    assert sum(result.picture_share.n for result in results) == 5
    assert sum(result.picture_share.n_lost for result in results) == 3
    assert {result.not_clips for result in results} == {4}


def test_a_share_is_from_0_to_1(archive: Path, tmp_path: Path, site_key: SiteKey) -> None:
    with pytest.raises(UsageError):
        extract([archive], tmp_path / "cache", site_key=site_key, max_skipped=1.1)


def test_doctor_looks_at_an_archive_beforehand(lusfx_here: Lusfx, archive: Path, tmp_path: Path) -> None:
    (archive / "empty.dcm").write_bytes(b"")
    run = lusfx_here("doctor", "--sources", archive / ".CANARY R1", archive, "--json")
    assert run.code == 1
    checks = {check["name"]: check for check in run.json["checks"]}
    assert checks["sources"]["detail"] == "3 found = 2 readable + 0 skipped + 1 failed (empty-file 1)"
    found = run.json["sources"]
    assert (found["found"], found["readable"], found["failed"]) == (3, 2, {"empty-file": 1})
    assert found["census"]["share"] == 0.5
    assert found["census"]["left_out"][0]["kind"] == "HEIC image"
    assert "CANARY" not in run.out + run.err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive"]


def test_doctor_prints_what_would_be_left_out(lusfx_here: Lusfx, archive: Path) -> None:
    run = lusfx_here("doctor", "--sources", archive)
    assert run.code == 1
    assert "3 of 5 pictures" in run.out
    assert "HEIC image   no reader claims it" in run.out
    assert lusfx_here("doctor", archive).code == 2


def test_a_clip_without_an_ending_is_encoded_under_every_fingerprint(
    tmp_path: Path, site_key: SiteKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is known from a run with another encoder has a reader all the same."""
    monkeypatch.setattr(plain_file, "RACY_NS", 0)
    clip = tmp_path / "archive" / "IM0001"
    clip.parent.mkdir()
    clip.write_bytes(dicom_still())
    for encoder in ("lung-lite0", "efficientnet-lite0"):
        result = extract([clip.parent], tmp_path / "cache", site_key=site_key, encoder=encoder)
        assert result.counts == {"encoded": 1}
        again = extract([clip.parent], tmp_path / "cache", site_key=site_key, encoder=encoder)
        assert again.counts == {"cached": 1}
