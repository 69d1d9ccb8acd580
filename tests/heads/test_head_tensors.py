"""``head.safetensors`` is read back only if it is exactly what was written."""

from __future__ import annotations

import io
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lusfx.contracts import HeadSpec
from lusfx.errors import TaskModelError
from lusfx.heads.linear import LogisticHeadSpec
from lusfx.heads.mlp import MlpHeadSpec, MlpSettings
from lusfx.heads.standardiser import Standardiser, two_class_probabilities
from lusfx.heads.tensors import METADATA_KEY, TENSOR_FILE

SPECS: dict[str, HeadSpec] = {"logistic": LogisticHeadSpec(), "mlp": MlpHeadSpec()}


@pytest.fixture(scope="module")
def files(make_training, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of one saved head of each kind."""
    folders = {name: tmp_path_factory.mktemp(name) for name in SPECS}
    training = make_training(n_rows=60, n_features=5)
    LogisticHeadSpec().fit(training, LogisticHeadSpec.settings(), 0).save(folders["logistic"])
    MlpHeadSpec().fit(training, MlpSettings(hidden=3, max_epochs=3), 0).save(folders["mlp"])
    return folders


@pytest.fixture(params=sorted(SPECS))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_holds_the_arrays_that_the_documentation_lists(files: dict[str, Path]) -> None:
    shapes = {name: array.shape for name, array in load_file(files["mlp"] / TENSOR_FILE).items()}
    assert shapes == {
        "mean": (5,),
        "inverse_std": (5,),
        "hidden_weight": (5, 3),
        "hidden_bias": (3,),
        "output_weight": (3,),
        "output_bias": (1,),
    }
    shapes = {name: array.shape for name, array in load_file(files["logistic"] / TENSOR_FILE).items()}
    assert shapes == {"mean": (5,), "inverse_std": (5,), "weight": (5,), "bias": (1,)}


def test_refuses_arrays_that_do_not_fit(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    arrays = load_file(files[kind] / TENSOR_FILE)
    metadata = {METADATA_KEY: f"{kind}/1"}
    for name, array in arrays.items():
        bad = {
            "longer": np.concatenate([array, array]),
            "empty": array[:0],
            "one axis more": array[None],
            "float32": array.astype(np.float32),
            "integers": array.astype(np.int64),
            "not a number": np.full_like(array, np.nan),
            "infinite": np.full_like(array, np.inf),
        }
        for wrong in bad.values():
            save_file({**arrays, name: wrong}, tmp_path / TENSOR_FILE, metadata=metadata)
            with pytest.raises(TaskModelError, match=TENSOR_FILE):
                SPECS[kind].load(tmp_path)
        save_file({n: a for n, a in arrays.items() if n != name}, tmp_path / TENSOR_FILE, metadata=metadata)
        with pytest.raises(TaskModelError, match="no others"):
            SPECS[kind].load(tmp_path)
    save_file({**arrays, "more": arrays["mean"]}, tmp_path / TENSOR_FILE, metadata=metadata)
    with pytest.raises(TaskModelError, match="no others"):
        SPECS[kind].load(tmp_path)
    save_file(arrays, tmp_path / TENSOR_FILE, metadata=metadata)
    SPECS[kind].load(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"other": "x"}, {METADATA_KEY: "svm/1"}, {METADATA_KEY: "mlp/2"}])
def test_refuses_another_layout(files: dict[str, Path], metadata: dict[str, str] | None, tmp_path: Path) -> None:
    save_file(load_file(files["mlp"] / TENSOR_FILE), tmp_path / TENSOR_FILE, metadata=metadata)
    with pytest.raises(TaskModelError, match="mlp/1"):
        SPECS["mlp"].load(tmp_path)


def test_one_kind_of_head_is_not_loaded_as_the_other(files: dict[str, Path]) -> None:
    with pytest.raises(TaskModelError, match="logistic/1"):
        SPECS["logistic"].load(files["mlp"])


def hostile_files() -> dict[str, bytes]:
    numpy_pickle = io.BytesIO()
    np.save(numpy_pickle, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    deep = b"[" * 100_000
    huge = json.dumps({"mean": {"dtype": "F64", "shape": [1 << 60], "data_offsets": [0, 8]}}).encode()
    overlapping = json.dumps(
        {n: {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]} for n in ("mean", "bias")}
    ).encode()
    return {
        "empty": b"",
        "seven bytes": b"\0" * 7,
        "a header of 2^63 bytes": struct.pack("<Q", 1 << 63) + b"{}",
        "a header longer than the file": struct.pack("<Q", 1 << 20) + b"{}",
        "no JSON": struct.pack("<Q", 4) + b"\xff\xff\xff\xff",
        "deep JSON": struct.pack("<Q", len(deep)) + deep,
        "an array larger than the file": struct.pack("<Q", len(huge)) + huge + b"\0" * 8,
        "overlapping arrays": struct.pack("<Q", len(overlapping)) + overlapping + b"\0" * 8,
        "a pickle": pickle.dumps({"weight": [1.0]}),
        "a pickle in npy": numpy_pickle.getvalue(),
        "zeros": b"\0" * 4096,
    }


@pytest.mark.parametrize("name", hostile_files())
def test_refuses_what_is_no_safetensors_file(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / TENSOR_FILE).write_bytes(hostile_files()[name])
    with pytest.raises(TaskModelError, match=TENSOR_FILE):
        SPECS[kind].load(tmp_path)


def test_refuses_a_file_that_is_missing_or_a_directory(kind: str, tmp_path: Path) -> None:
    with pytest.raises(TaskModelError, match="missing"):
        SPECS[kind].load(tmp_path)
    (tmp_path / TENSOR_FILE).mkdir()
    with pytest.raises(TaskModelError, match=TENSOR_FILE):
        SPECS[kind].load(tmp_path)


def test_every_truncation_and_edit_is_refused_or_harmless(files: dict[str, Path], kind: str, tmp_path: Path) -> None:
    content = (files[kind] / TENSOR_FILE).read_bytes()
    path = tmp_path / TENSOR_FILE
    for length in range(0, len(content), 7):
        path.write_bytes(content[:length])
        with pytest.raises(TaskModelError):
            SPECS[kind].load(tmp_path)
    generator = np.random.default_rng(0)
    rows = np.zeros((3, 5), np.float32)
    n_refused = 0
    for _ in range(1000):
        edited = bytearray(content)
        edited[generator.integers(len(edited))] = generator.integers(256)
        path.write_bytes(edited)
        try:
            head = SPECS[kind].load(tmp_path)
        except TaskModelError:
            n_refused += 1
            continue
        with np.errstate(all="ignore"):  # a changed exponent may overflow; the digest is what catches a changed weight
            assert head.predict_proba(rows).shape == (3, 2)
    assert 200 < n_refused < 1000


def test_constant_features_are_ignored_however_they_are_rounded() -> None:
    generator = np.random.default_rng(0)
    varies = generator.normal(1000, 1, 500)
    features = np.stack([varies, np.full(500, 1 / 3), np.zeros(500), np.full(500, 1e30)], axis=1).astype(np.float32)
    features[::2, 1] = np.nextafter(features[0, 1], np.float32(1))
    standardiser = Standardiser.of(features)
    assert (standardiser.inverse_std > 0).tolist() == [True, False, False, False]
    scaled = standardiser(features)
    assert scaled[:, 0].mean() == pytest.approx(0, abs=1e-9)
    assert scaled[:, 0].std() == pytest.approx(1)
    assert not scaled[:, 1:].any()


def test_probabilities_are_exact_near_0_and_1() -> None:
    probabilities = two_class_probabilities(np.array([-1e300, -700.0, 0.0, 700.0, 1e300]))
    assert probabilities[:, 1].tolist() == pytest.approx([0.0, np.exp(-700.0), 0.5, 1.0, 1.0], rel=1e-12)
    assert probabilities[:, 0].tolist() == probabilities[::-1, 1].tolist()
