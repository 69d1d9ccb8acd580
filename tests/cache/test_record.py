"""A clip's record is not believed for its seal, and a packed clip not for its checksum: anybody can make them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from typing import Any

import h5py
import numpy as np
import pytest

from lusfx.cache import Cache, Store, record, sealed, verify
from lusfx.cache.packing import write_pack
from lusfx.errors import CorruptRecordError
from lusfx.types import ClipEmbeddings

KEY, OTHER = "0a" * 32, "0b" * 32
N, DIM = 4, 5


def arrays() -> dict[str, np.ndarray]:
    return {
        "embeddings": np.ones((N, DIM), np.float16),
        "times_s": np.arange(N) / 25,
        "source_frame": np.arange(N, dtype=np.int64),
        "status": np.zeros(N, np.uint8),
    }


def column(values: list[Any], dtype: type) -> np.ndarray:
    return np.array(values, dtype)


SENSELESS: dict[str, dict[str, np.ndarray]] = {
    "frames fall": {"source_frame": column([3, 2, 1, 0], np.int64)},
    "frames repeat": {"source_frame": column([0, 1, 1, 2], np.int64)},
    "frames below 0": {"source_frame": column([-2, -1, 0, 1], np.int64)},
    "frames overflow": {"source_frame": column([0, 2**63 - 1, -(2**63), 1], np.int64)},
    "times fall": {"times_s": column([0, 2, 1, 3], float)},
    "times fall over a gap": {"times_s": column([0, 2, math.nan, 1], float)},
    "times below 0": {"times_s": column([-1, 0, 1, 2], float)},
    "times below 0 after a gap": {"times_s": column([math.nan, -1, 0, 1], float)},
    "times end in infinity": {"times_s": column([0, 1, 2, math.inf], float)},
    "times begin in infinity": {"times_s": column([-math.inf, 0, 1, 2], float)},
    "all times infinite": {"times_s": column([math.inf] * N, float)},
    "a status that there is not": {
        "status": column([0, 0, 0, 7], np.uint8),
        "embeddings": np.vstack([np.ones((3, DIM)), np.full((1, DIM), np.nan)]).astype(np.float16),
    },
    "a readable frame is NaN": {"embeddings": np.full((N, DIM), np.nan, np.float16)},
    "a readable frame is infinite": {"embeddings": np.full((N, DIM), -np.inf, np.float16)},
    "an unreadable frame has values": {"status": column([0, 0, 0, 1], np.uint8)},
}
FACTS: dict[str, bytes] = {
    "a list": b"[]", "NaN": b'{"beam_confidence": NaN}', "infinity": b'{"beam_confidence": 1e999}', "null": b'{"reader": null}',
    "nested": b'{"reader": {"name": "x"}}', "a list within": b'{"reader": ["x"]}', "deep": b"[" * 30_000, "text": b"x",
    "no text": b"\xff", "too long": json.dumps({"reader": "x" * (1 << 20)}).encode(),
}  # fmt: skip


def nothing(file: h5py.File) -> None:
    """Changes nothing."""


def write_loose(
    store: Store,
    columns: dict[str, np.ndarray],
    facts: bytes = b"{}",
    change: Callable[[h5py.File], None] = nothing,
) -> None:
    stream = io.BytesIO()
    with h5py.File(stream, "w", libver="latest") as file:
        for name, text in {"format": "lusfx-clip", "clip_key": KEY, "fingerprint": store.fingerprint}.items():
            file.attrs[name] = np.bytes_(text)
        file.attrs["version"], file.attrs["provenance"] = np.int64(1), np.bytes_(facts)
        for name, array in columns.items():
            file[name] = array
        change(file)
    sealed.write_whole(store.path_of(KEY), sealed.seal(stream.getvalue()), stream.getvalue())


def write_packed(
    cache: Cache, store: Store, columns: dict[str, np.ndarray], facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clip and a sound one, in a pack."""
    cache.allow_packs()
    with monkeypatch.context() as patch:
        patch.setattr(record, "check", lambda embeddings, dim: None)
        patch.setattr(record, "provenance_of", json.loads)
        patch.setattr(json, "dumps", lambda *given, allow_nan=True, _real=json.dumps, **more: _real(*given, **more))
        write_pack(store, [(KEY, ClipEmbeddings(**columns, provenance=facts)), (OTHER, ClipEmbeddings(**arrays()))])


def assert_refused(cache: Cache, store: Store, code: str) -> None:
    with pytest.raises(CorruptRecordError):
        store.read(KEY)
    assert [finding.code for finding in verify(cache).findings] == [code]


@pytest.mark.parametrize("change", SENSELESS.values(), ids=SENSELESS)
def test_what_makes_no_sense_is_refused_loose_and_packed_and_never_written(
    cache: Cache, store: Store, change: dict[str, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = arrays() | change
    with pytest.raises(ValueError):
        store.write(KEY, ClipEmbeddings(**columns))
    write_loose(store, columns)
    assert_refused(cache, store, "damaged-clip")
    store.path_of(KEY).unlink()
    write_packed(cache, store, columns, {}, monkeypatch)
    assert_refused(cache, store, "damaged-pack")
    assert store.read(OTHER).n_frames == N


@pytest.mark.parametrize("facts", FACTS.values(), ids=FACTS)
def test_provenance_is_an_object_of_plain_values(cache: Cache, store: Store, facts: bytes) -> None:
    write_loose(store, arrays(), facts[: 1 << 16] if facts[:1] == b"[" else facts)
    assert_refused(cache, store, "damaged-clip")


@pytest.mark.parametrize("facts", [{"beam_confidence": math.nan}, {"reader": None}, {"reader": ["x"]}])
def test_provenance_of_a_pack_is_one_too(
    cache: Cache, store: Store, facts: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_packed(cache, store, arrays(), facts, monkeypatch)
    assert_refused(cache, store, "damaged-pack")
    assert store.read(OTHER).n_frames == N


def attribute(file: h5py.File) -> None:
    file.attrs["PatientName"] = "DOE"


def attribute_of_dataset(file: h5py.File) -> None:
    file["status"].attrs["PatientName"] = "DOE"


def version_as_float(file: h5py.File) -> None:
    file.attrs["version"] = 1.0


def anew(file: h5py.File, name: str, **how: Any) -> None:
    data = file[name][()]
    del file[name]
    file.create_dataset(name, data=data, **how)


def enumeration(file: h5py.File) -> None:
    anew(file, "status", dtype=h5py.enum_dtype({"OK": 0, "NO": 1}, "u1"))


def shuffled(file: h5py.File) -> None:
    anew(file, "embeddings", shuffle=True, fletcher32=True)


def scaled(file: h5py.File) -> None:
    anew(file, "source_frame", scaleoffset=0)


def packed(file: h5py.File) -> None:
    anew(file, "times_s", compression="gzip")


@pytest.mark.parametrize(
    "change", [attribute, attribute_of_dataset, version_as_float, enumeration, shuffled, scaled, packed]
)
def test_what_no_writer_writes_is_refused(cache: Cache, store: Store, change: Callable[[h5py.File], None]) -> None:
    write_loose(store, arrays(), change=change)
    assert_refused(cache, store, "damaged-clip")


@pytest.mark.parametrize("how", [
    {}, {"chunks": True}, {"chunks": True, "fletcher32": True}, {"chunks": (1,), "maxshape": (None,)},
])  # fmt: skip
def test_where_the_same_numbers_lie_does_not_matter(cache: Cache, store: Store, how: dict[str, Any]) -> None:
    write_loose(store, arrays(), change=lambda file: anew(file, "status", **how))
    np.testing.assert_array_equal(store.read(KEY).status, arrays()["status"])
    assert verify(cache).sound


@pytest.mark.parametrize("times_s", [[0, 0, 0, 0], [math.nan] * N, [0, math.nan, 1, math.nan], [0.5, 1, 1, 1e6]])
def test_times_may_be_unknown_and_equal(store: Store, times_s: list[float]) -> None:
    store.write(KEY, ClipEmbeddings(**arrays() | {"times_s": column(times_s, float)}))
    np.testing.assert_array_equal(store.read(KEY).times_s, times_s)
