"""docs/cache-format.md is true: the reader that it prints reads what the store writes, and its tables are the code's."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from lusfx.cache import Cache, LedgerEntry, Store, pack, pack_layout, record, sealed
from lusfx.types import ClipEmbeddings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cache-format.md"
KEY = "0a" * 32


@pytest.fixture(scope="module")
def page() -> str:
    return PAGE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def readers(page: str) -> dict[str, Any]:
    """The readers of the page, run as they stand there."""
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        exec(compile(code, str(PAGE), "exec"), names)
    return names


@pytest.fixture(scope="module")
def read_clip(readers: dict[str, Any]) -> Callable[..., Any]:
    reader: Callable[..., Any] = readers["read_clip"]
    return reader


@pytest.fixture(scope="module")
def read_pack(readers: dict[str, Any]) -> Callable[..., Any]:
    reader: Callable[..., Any] = readers["read_pack"]
    return reader


def test_the_reader_of_the_page_reads_a_clip(
    store: Store, embeddings: ClipEmbeddings, read_clip: Callable[..., Any]
) -> None:
    store.write(KEY, embeddings)
    arrays, provenance = read_clip(store.path_of(KEY), KEY, store.fingerprint)
    np.testing.assert_array_equal(arrays["embeddings"], embeddings.embeddings.astype(np.float16))
    np.testing.assert_array_equal(arrays["times_s"], embeddings.times_s)
    assert set(arrays) == set(record.DTYPES)
    assert provenance == {"reader": "video"}


def test_the_reader_of_the_page_reads_a_pack(
    cache: Cache, store: Store, embeddings: ClipEmbeddings, read_pack: Callable[..., Any]
) -> None:
    keys = ["0b" * 32, KEY]
    for key in keys:
        store.write(key, replace(embeddings, provenance={"clip": key[:2]}))
    pack(cache)
    (path,) = store.packs.files()
    found = list(read_pack(path, store.fingerprint))
    assert [key for key, *_ in found] == sorted(keys)
    for key, arrays, provenance in found:
        clip = store.read(key)
        assert set(arrays) == set(pack_layout.COLUMNS)
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, getattr(clip, name))
        assert provenance == {"clip": key[:2]}
    content = path.read_bytes()
    for position in [*range(sealed.SEAL_BYTES), *range(sealed.SEAL_BYTES, len(content), 97)]:
        altered = bytearray(content)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="damaged"):
            list(read_pack(path, store.fingerprint))


def test_the_table_of_a_pack_s_seal_is_its_layout(page: str) -> None:
    seal = page.split("| seal of a pack |")[1].split("\n\n", maxsplit=1)[0]
    offsets = [int(row.split("|")[1]) for row in seal.splitlines()[2:]]
    lengths = [row.split("|")[2].strip() for row in seal.splitlines()[2:]]
    ends = [offset + int(length) for offset, length in zip(offsets[:-1], lengths[:-1], strict=True)]
    assert ends == offsets[1:]
    assert offsets[-3] == pack_layout.FACTS.size
    assert pack_layout.MAGIC.hex(" ").upper() in seal
    datasets = [
        name
        for row in re.findall(r"^\| `[a-z].*", page.split("| dataset | shape |")[2], re.MULTILINE)[:7]
        for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])
    ]
    assert datasets == list(pack_layout.DATASETS)


def test_the_reader_of_the_page_notices_every_byte(
    store: Store, embeddings: ClipEmbeddings, read_clip: Callable[..., Any]
) -> None:
    store.write(KEY, embeddings)
    path = store.path_of(KEY)
    original = path.read_bytes()
    for position in [*range(sealed.SEAL_BYTES), *range(sealed.SEAL_BYTES, len(original), 37)]:
        altered = bytearray(original)
        altered[position] ^= 1
        path.write_bytes(altered)
        with pytest.raises(ValueError, match="damaged"):
            read_clip(path, KEY, store.fingerprint)


def test_the_seal_is_as_the_page_says(page: str) -> None:
    of_a_clip, _ = page.split("## A pack", maxsplit=1)
    (magic,) = re.findall(r"magic: `([0-9A-F ]+)`", of_a_clip)
    assert bytes.fromhex(magic) == sealed.MAGIC
    seal = sealed.seal(b"body")
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", of_a_clip, re.MULTILINE)
    assert [int(n_bytes) for _, n_bytes in rows] == [16, 4, 8, 32, 32, 420]
    assert sum(int(n_bytes) for _, n_bytes in rows) == sealed.SEAL_BYTES == len(seal)
    parts = {int(offset): seal[int(offset) : int(offset) + int(n_bytes)] for offset, n_bytes in rows}
    assert int.from_bytes(parts[16], "little") == sealed.VERSION
    assert int.from_bytes(parts[20], "little") == 4
    assert parts[28] == hashlib.sha256(b"body").digest()
    assert parts[60] == hashlib.sha256(seal[:60]).digest()
    assert not any(parts[92])


def test_datasets_are_stored_as_the_page_says(store: Store, embeddings: ClipEmbeddings) -> None:
    n_frames = 300
    long = ClipEmbeddings(
        np.ones((n_frames, 5), np.float32),
        np.zeros(n_frames),
        np.arange(n_frames, dtype=np.int64),
        np.zeros(n_frames, np.uint8),
    )
    for clip, rows in ((replace(embeddings), 7), (long, 256)):
        store.write(KEY, clip)
        with h5py.File(store.path_of(KEY)) as file:
            assert set(file.attrs) == {"format", "version", "clip_key", "fingerprint", "provenance"}
            for name in record.DTYPES:
                dataset = file[name]
                assert dataset.chunks[0] == rows
                assert dataset.fletcher32
                assert dataset.compression is None
                assert dataset.maxshape == dataset.shape


def test_the_fields_of_a_ledger_stand_on_the_page(cache: Cache, page: str) -> None:
    with cache.start_run("ab" * 32, "test") as ledger:
        ledger.record(LedgerEntry("s-1", "failed", code="x", detail="y"))
        ledger.finish(not_reached=0)
    rows = [
        re.findall(r"`(\w+)`", row) for row in re.findall(r"^\| (?:first|one a source|last) \| (.*) \|$", page, re.M)
    ]
    lines = ledger.path.read_bytes().splitlines()
    for line, named in zip(lines, rows, strict=True):
        text, check = line.split(b"\t")
        assert check.decode() == hashlib.sha256(text).hexdigest()[:16]
        facts = json.loads(text)
        assert text == json.dumps(facts, sort_keys=True, separators=(",", ":")).encode()
        fields = set(facts) | set(facts.get("totals", {}))
        assert fields <= set(named)
