"""Arrays are read back only if they are exactly what was written."""

from __future__ import annotations

import io
import json
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import load, save

from lusfx.errors import TaskModelError
from lusfx.tensors import METADATA_KEY, require_shapes, tensors_from_bytes, tensors_to_bytes

ARRAYS = {"mean": np.arange(4.0), "weight": np.linspace(-1, 1, 12).reshape(4, 3), "bias": np.array([1e-300])}
DIMENSIONS = {"mean": 1, "weight": 2, "bias": 1}


def read(content: bytes, layout: str = "thing/1") -> dict[str, np.ndarray]:
    return tensors_from_bytes(content, layout, DIMENSIONS, "thing.safetensors")


def image(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def test_what_is_written_is_read_back_to_the_last_bit() -> None:
    found = read(tensors_to_bytes("thing/1", ARRAYS))
    assert set(found) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == np.float64
        assert found[name].flags.writeable  # it is the reader's own
        assert np.array_equal(found[name], array)


def test_the_same_arrays_give_the_same_bytes_however_they_lie_in_memory() -> None:
    content = tensors_to_bytes("thing/1", ARRAYS)
    others = {name: np.asfortranarray(array) for name, array in reversed(ARRAYS.items())}
    others["mean"] = np.arange(8.0)[::2] / 2
    for array in others.values():
        array.flags.writeable = False
    assert tensors_to_bytes("thing/1", others) == content


def test_arrays_in_big_endian_and_float32_are_widened() -> None:
    arrays = {"mean": np.arange(4, dtype=">f8"), "weight": np.eye(2, dtype=np.float32), "bias": np.array([7])}
    found = read(tensors_to_bytes("thing/1", arrays))
    assert all(np.array_equal(found[name], arrays[name]) for name in arrays)


def test_other_programs_read_the_arrays() -> None:
    assert {name: array.shape for name, array in load(tensors_to_bytes("thing/1", ARRAYS)).items()} == {
        "mean": (4,),
        "weight": (4, 3),
        "bias": (1,),
    }


@pytest.mark.parametrize("version", ["thing/0", "thing/2", "thing/10"])
def test_another_version_of_the_layout_is_refused_with_what_to_do(version: str) -> None:
    with pytest.raises(TaskModelError, match=r"another version of lusfx .* 'thing/1'\. Train it again"):
        read(tensors_to_bytes(version, ARRAYS))


@pytest.mark.parametrize(
    "metadata", [None, {"other": "thing/1"}, {METADATA_KEY: "other/2"}, {METADATA_KEY: "DOE^JANE"}]
)
def test_refuses_another_layout_and_does_not_repeat_it(metadata: dict[str, str] | None) -> None:
    with pytest.raises(TaskModelError, match=r"thing\.safetensors does not say that it holds 'thing/1'") as error:
        read(save(ARRAYS, metadata=metadata))
    assert "DOE" not in str(error.value)


@pytest.mark.parametrize("name", ARRAYS)
def test_refuses_arrays_that_are_not_as_they_must_be(name: str) -> None:
    metadata = {METADATA_KEY: "thing/1"}
    array = ARRAYS[name]
    bad = {
        "empty": array[:0],
        "one axis more": array[None],
        "float32": array.astype(np.float32),
        "integers": array.astype(np.int64),
        "not a number": np.full_like(array, np.nan),
        "infinite": np.full_like(array, -np.inf),
    }
    for wrong in bad.values():
        with pytest.raises(TaskModelError, match=rf"thing\.safetensors: the array '{name}'"):
            read(save({**ARRAYS, name: wrong}, metadata=metadata))
    with pytest.raises(TaskModelError, match="no others"):
        read(save({n: a for n, a in ARRAYS.items() if n != name}, metadata=metadata))
    with pytest.raises(TaskModelError, match="no others"):
        read(save({**ARRAYS, f"{name}-DOE^JANE": array}, metadata=metadata))
    read(save(ARRAYS, metadata=metadata))


def test_shapes_must_fit() -> None:
    require_shapes(ARRAYS, {"mean": (4,), "weight": (4, 3)}, "x")
    for wrong in ({"mean": (5,)}, {"weight": (3, 4)}, {"weight": (12,)}):
        with pytest.raises(TaskModelError, match="has shape"):
            require_shapes(ARRAYS, wrong, "x")


def hostile_files() -> dict[str, bytes]:
    numpy_pickle = io.BytesIO()
    np.save(numpy_pickle, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    one = {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}
    sound = json.dumps(one)
    return {
        "empty": b"",
        "seven bytes": b"\0" * 7,
        "a header of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
        "a header longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
        "an empty header": image(b""),
        "no JSON": image(b"\xff\xff\xff\xff"),
        "deep JSON": image(b"[" * 100_000),
        "deep metadata": image(b'{"__metadata__":' * 10_000),
        "a list": image([]),
        "metadata that are a list": image({"__metadata__": ["lusfx"]}),
        "metadata that are numbers": image({"__metadata__": {METADATA_KEY: 1}}),
        "nothing at all": image({}),
        "an array larger than the file": image({"mean": {**one, "shape": [1 << 60]}}, b"\0" * 8),
        "a shape that overflows": image({"mean": {**one, "shape": [1 << 33, 1 << 33]}}, b"\0" * 8),
        "a shape below 0": image({"mean": {**one, "shape": [-1]}}, b"\0" * 8),
        "overlapping arrays": image({"mean": one, "bias": one}, b"\0" * 8),
        "a name that stands twice": image(f'{{"mean": {sound}, "mean": {sound}}}'.encode(), b"\0" * 8),
        "bytes behind the arrays": image({"mean": one}, b"\0" * 16),
        "a digit string of any length": image(
            b'{"mean": {"x": ' + b"9" * 10_000 + sound[1:].encode() + b"}", b"\0" * 8
        ),
        "a type that there is not": image({"mean": {**one, "dtype": "DOE^JANE"}}, b"\0" * 8),
        "a pickle": pickle.dumps({"weight": [1.0]}),
        "a pickle in npy": numpy_pickle.getvalue(),
        "zeros": b"\0" * 4096,
    }


@pytest.mark.parametrize("name", hostile_files())
def test_refuses_what_is_no_safetensors_file(name: str) -> None:
    with pytest.raises(TaskModelError, match=r"thing\.safetensors") as error:
        read(hostile_files()[name])
    assert "DOE^JANE" not in str(error.value)


def test_every_truncation_is_refused_and_every_edit_is_refused_or_finite() -> None:
    content = tensors_to_bytes("thing/1", ARRAYS)
    for length in range(len(content)):
        with pytest.raises(TaskModelError):
            read(content[:length])
    with pytest.raises(TaskModelError):
        read(content + b"\0")
    generator = np.random.default_rng(0)
    n_refused = 0
    for _ in range(3000):
        edited = bytearray(content)
        for _ in range(generator.integers(1, 4)):
            edited[generator.integers(len(edited))] = generator.integers(256)
        try:
            found = read(bytes(edited))
        except TaskModelError:
            n_refused += 1
            continue
        assert {name: array.ndim for name, array in found.items()} == DIMENSIONS
        assert all(np.isfinite(array).all() for array in found.values())
    assert 1000 < n_refused < 3000
