"""A head's bytes are read back only if they are sound, and give the same scores everywhere."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from lusfx.contracts import Bags, Features, Head, HeadSpec, TrainingSet
from lusfx.errors import TaskModelError
from lusfx.heads import lusfx_register_heads
from lusfx.heads.head_file import MAX_TENSOR_BYTES, TENSOR_FILE, content_of
from lusfx.heads.lightgbm import FOREST_FILE
from lusfx.tensors import METADATA_KEY

SPECS = {spec.name: spec for spec in lusfx_register_heads()}
LAYOUTS = {"logistic": "logistic/1", "mlp": "mlp/3", "attention": "attention/2"}
QUICK = {
    "logistic": {},
    "mlp": {"hidden": 3, "members": 2, "max_steps": 3},
    "attention": {"members": 2, "hidden": 3, "attention": 4},
}


@pytest.fixture(scope="module")
def saved(make_training_for: Callable[..., TrainingSet]) -> dict[str, Mapping[str, bytes]]:
    """The files of one small head of each kind that is written as arrays."""
    heads = {}
    for name, values in QUICK.items():
        training = make_training_for(SPECS[name], n_rows=60, n_features=5)
        heads[name] = SPECS[name].fit(training, SPECS[name].settings(**values), 0).files()
    return heads


@pytest.fixture(params=sorted(QUICK))
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_the_file_has_the_name_that_the_documentation_says(spec: HeadSpec, fitted: dict[str, Head]) -> None:
    files = fitted[spec.name].files()
    assert list(files) == [FOREST_FILE if spec.name == "lightgbm" else TENSOR_FILE]
    assert all(type(content) is bytes for content in files.values())


def test_same_seed_same_bytes(spec, fitted, make_training_for) -> None:
    again = spec.fit(make_training_for(spec), spec.settings(), seed=3)
    assert again.files() == fitted[spec.name].files()


def test_a_loaded_head_gives_the_same_scores_and_files(spec, fitted, make_training_for) -> None:
    features = make_training_for(spec, seed=6).features
    loaded = spec.load(fitted[spec.name].files())
    assert np.array_equal(loaded.predict_proba(features), fitted[spec.name].predict_proba(features))
    assert loaded.files() == fitted[spec.name].files()


def test_a_fresh_process_without_torch_gives_the_same_scores(
    fitted, make_training_for, tmp_path: Path, run_without_torch
) -> None:
    for name, head in fitted.items():
        features = make_training_for(SPECS[name], seed=7).features
        rows, starts = (features.rows, features.starts) if isinstance(features, Bags) else (features, [])
        np.savez(tmp_path / f"{name}.npz", rows=rows, starts=starts)
        (tmp_path / name).mkdir()
        for file, content in head.files().items():
            (tmp_path / name / file).write_bytes(content)
    run_without_torch(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from lusfx.contracts import Bags\n"
        "from lusfx.heads import lusfx_register_heads\n"
        "for spec in lusfx_register_heads():\n"
        "    given = np.load(f'{spec.name}.npz')\n"
        "    features = Bags(given['rows'], given['starts']) if spec.takes == 'bags' else given['rows']\n"
        "    head = spec.load({file.name: file.read_bytes() for file in Path(spec.name).iterdir()})\n"
        "    np.save(f'{spec.name}.npy', head.predict_proba(features))\n",
        tmp_path,
    )
    for name, head in fitted.items():
        expected = head.predict_proba(make_training_for(SPECS[name], seed=7).features)
        np.testing.assert_allclose(np.load(tmp_path / f"{name}.npy"), expected, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_loading_and_registering_imports_nothing_heavy(fitted, tmp_path: Path, run_without_torch) -> None:
    for name, head in fitted.items():
        (tmp_path / name).write_bytes(pickle.dumps(dict(head.files())))
    answer = run_without_torch(
        "import sys, pickle\n"
        "import lusfx.heads\n"
        "heavy = {'torch', 'sklearn', 'lightgbm', 'scipy', 'timm', 'matplotlib', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "specs = lusfx.heads.lusfx_register_heads()\n"
        "print(sorted(heavy & set(sys.modules)))\n"
        "heads = [spec.load(pickle.load(open(spec.name, 'rb'))) for spec in specs]\n"
        "print(sorted(heavy & set(sys.modules)))\n",
        tmp_path,
    )
    assert answer.splitlines() == ["[]", "[]", "['safetensors']"]


def test_refuses_a_file_that_is_missing_or_has_another_name(spec, fitted) -> None:
    ((name, content),) = fitted[spec.name].files().items()
    for files in ({}, {"DOE^JANE": content}):
        with pytest.raises(TaskModelError, match=f"{name} is missing") as error:
            spec.load(files)
        assert "DOE" not in str(error.value)


def test_files_of_other_parts_of_a_task_model_are_left_alone(spec, fitted) -> None:
    spec.load({**fitted[spec.name].files(), "evidence.json": b"{}"})


def test_refuses_a_file_larger_than_any_heads(spec) -> None:
    class Large(bytes):
        def __len__(self) -> int:
            return MAX_TENSOR_BYTES + 1

    name = FOREST_FILE if spec.name == "lightgbm" else TENSOR_FILE
    with pytest.raises(TaskModelError, match="larger than any head's"):
        spec.load({name: Large(b"DOE^JANE")})
    assert content_of({"x": b"1234"}, "x", 4) == b"1234"
    with pytest.raises(TaskModelError, match=r"x is larger than any head's \(5 bytes\)"):
        content_of({"x": b"12345"}, "x", 4)


def test_one_kind_of_head_is_not_loaded_as_another(saved, kind: str) -> None:
    for other in saved:
        if other != kind:
            with pytest.raises(TaskModelError, match=f"does not say that it holds '{LAYOUTS[kind]}'"):
                SPECS[kind].load(saved[other])


def test_holds_the_arrays_that_the_documentation_lists(saved) -> None:
    shapes = {name: {n: a.shape for n, a in load(files[TENSOR_FILE]).items()} for name, files in saved.items()}
    scales = {"mean": (5,), "inverse_std": (5,)}
    assert shapes["logistic"] == scales | {"weight": (5,), "bias": (1,)}
    assert shapes["mlp"] == scales | {
        "linear_weight": (5,),
        "hidden_weight": (5, 6),
        "hidden_bias": (6,),
        "output_weight": (6,),
        "bias": (1,),
    }
    assert shapes["attention"] == scales | {
        "projection_weight": (2, 5, 3),
        "projection_bias": (2, 3),
        "tanh_weight": (2, 3, 4),
        "tanh_bias": (2, 4),
        "gate_weight": (2, 3, 4),
        "gate_bias": (2, 4),
        "score_weight": (2, 4),
        "output_weight": (2, 3),
        "linear_weight": (2, 5),
        "output_bias": (2,),
    }


def test_refuses_arrays_that_do_not_fit(saved, kind: str) -> None:
    arrays = load(saved[kind][TENSOR_FILE])
    metadata = {METADATA_KEY: LAYOUTS[kind]}

    def load_with(**changed: np.ndarray) -> Head:
        return SPECS[kind].load({TENSOR_FILE: save({**arrays, **changed}, metadata=metadata)})

    load_with()
    for name, array in arrays.items():
        bad = [np.concatenate([array, array]), array[:0], array[None], array.astype(np.float32), array * np.nan]
        bad += [np.concatenate([array, array], axis=1)] if array.ndim == 2 else []
        for wrong in bad:
            with pytest.raises(TaskModelError, match=TENSOR_FILE):
                load_with(**{name: wrong})
        fewer = {n: a for n, a in arrays.items() if n != name}
        with pytest.raises(TaskModelError, match="no others"):
            SPECS[kind].load({TENSOR_FILE: save(fewer, metadata=metadata)})
    with pytest.raises(TaskModelError, match="no others"):
        load_with(more=arrays["mean"])
    with pytest.raises(TaskModelError, match="no others"):
        load_with(more=arrays["mean"], and_more=arrays["mean"])


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, b"{}", pickle.dumps({"a": 1}), bytes(range(256)) * 100])
def test_refuses_what_is_no_head_at_all(spec, content: bytes) -> None:
    name = FOREST_FILE if spec.name == "lightgbm" else TENSOR_FILE
    with pytest.raises(TaskModelError):
        spec.load({name: content})


def test_every_truncation_and_edit_is_refused_or_harmless(saved, kind: str, as_taken) -> None:
    content = saved[kind][TENSOR_FILE]
    for length in range(0, len(content), 7):
        with pytest.raises(TaskModelError):
            SPECS[kind].load({TENSOR_FILE: content[:length]})
    generator = np.random.default_rng(0)
    rows: Features = as_taken(SPECS[kind], np.zeros((3, 5), np.float32))
    n_refused = 0
    for _ in range(1000):
        edited = bytearray(content)
        edited[generator.integers(len(edited))] = generator.integers(256)
        try:
            head = SPECS[kind].load({TENSOR_FILE: bytes(edited)})
        except TaskModelError:
            n_refused += 1
            continue
        with np.errstate(all="ignore"):  # a changed exponent may overflow; the digest is what catches a changed weight
            assert head.predict_proba(rows).shape == (3, 2)
    assert 200 < n_refused < 1000
