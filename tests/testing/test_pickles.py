"""A pickle is found however it is packed, and what heads really write is none."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import pickle
import zipfile
import zlib

import numpy as np
import pytest
from safetensors.numpy import save

from lusfx.testing.pickles import holds_pickle

VALUE = {"weight": [0.5, 1.5], "name": "head"}


def zipped(**files: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("pack", [bytes, gzip.compress, bz2.compress, lzma.compress, zlib.compress])
def test_pickles_of_every_protocol(pack, protocol: int) -> None:
    assert holds_pickle(pack(pickle.dumps(VALUE, protocol)))


def test_pickles_within() -> None:
    assert holds_pickle(zipped(data=pickle.dumps(VALUE)))  # as torch.save writes
    assert holds_pickle(zipped(inner=zipped(data=pickle.dumps(VALUE, 0))))
    objects = npy(np.array([{"a": 1}, None], dtype=object))
    assert holds_pickle(objects)
    assert holds_pickle(zipped(arr_0=objects))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b".",
        b"0.5\n0.25\n",
        b"tree\nversion=v4\n",
        json.dumps(VALUE).encode(),
        save({"weight": np.zeros(7)}),
        (0x380).to_bytes(8, "little")
        + b"{}",  # a safetensors header of 896 bytes, whose length begins as protocol 3 does
        npy(np.zeros((3, 2))),
        npy(np.zeros(3, dtype=[("OLD", "<f4"), ("b", "<i2")])),
        zipped(weights=save({"weight": np.zeros(7)})),
        gzip.compress(b"text", mtime=0),
        b"\x1f\x8bnot gzip at all",
        b"PK\x03\x04 no archive",
        np.random.default_rng(0).bytes(5000),
    ],
)
def test_other_files(content: bytes) -> None:
    assert not holds_pickle(content)
