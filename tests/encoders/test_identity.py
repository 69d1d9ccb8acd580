"""One fingerprint is one function of images: an edited encoder directory is refused or has another one, on every runtime."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.config import FeatureSpec, Precision, PreprocessSpec
from lusfx.contracts import Runtime
from lusfx.encoders import BUNDLED, DEFAULT_ENCODER, IMAGENET_ENCODER
from lusfx.encoders.card import read_card
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.encoders.known_graphs import GRAPHS, known_graph
from lusfx.encoders.probe import LIMITS, Probe, difference, probe_image, probed
from lusfx.errors import EncoderError, MissingExtraError
from tests.golden.make import FIRST

onnx = pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("timm", reason="timm is not installed")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from lusfx.encoders import trial  # noqa: E402
from lusfx.encoders.conversion import make_directory, make_directory_from_onnx  # noqa: E402
from lusfx.encoders.export import _without_remarks  # noqa: E402

FINGERPRINTS = {
    DEFAULT_ENCODER: "f067c3e6a8ab56f7306d356585bcedda28c3c5de0839a6ef81d473d55a65b89d",
    IMAGENET_ENCODER: "5f44011a8cf8b413e8a62132f88e1265860f3a1f96c57e3e68944103427e2749",
}
"""Caches are filled with these: they stay."""
RUNTIMES: list[Runtime] = ["onnxruntime", "torch"]
if importlib.util.find_spec("openvino"):
    RUNTIMES.append("openvino")
PRECISIONS: list[tuple[Runtime, Precision]] = [(runtime, "float32") for runtime in RUNTIMES] + [("torch", "float16")]
Edit = Callable[[Any], None]


def behind_the_end(graph: Any, operation: str, value: float) -> None:
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    graph.initializer.append(numpy_helper.from_array(np.float32(value), "value"))
    graph.node.append(helper.make_node(operation, ["before", "value"], [output]))


def in_one_case(graph: Any) -> None:
    """Other values for images whose first pixel is 254, which the probe's is not."""
    output = graph.output[0].name
    for node in graph.node:
        node.output[:] = ["before" if name == output else name for name in node.output]
    for name, value in {"first": [0], "value": [254], "three": 3.0, "axis": [1]}.items():
        kind = np.float32 if name == "three" else np.uint8 if name == "value" else np.int64
        graph.initializer.append(numpy_helper.from_array(np.array(value, kind), name))
    graph.node.extend(
        [
            helper.make_node("Gather", [graph.input[0].name, "first"], ["row"], axis=1),
            helper.make_node("Gather", ["row", "first"], ["pixel"], axis=2),
            helper.make_node("Squeeze", ["pixel", "axis"], ["one"]),
            helper.make_node("Equal", ["one", "value"], ["is_value"]),
            helper.make_node("Mul", ["before", "three"], ["other"]),
            helper.make_node("Where", ["is_value", "other", "before"], [output]),
        ]
    )


def other_constants(graph: Any) -> None:
    """What normalises the image."""
    for entry in graph.initializer:
        if entry.data_location != TensorProto.EXTERNAL and tuple(entry.dims) == (1, 3, 1, 1):
            entry.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(entry) * np.float32(1.01), entry.name))


def exchanged_weights(graph: Any) -> None:
    """Two weights of one shape, each in the other's place."""
    one, other = "blocks.0.0.bn1.weight", "blocks.0.0.bn1.bias"
    names = {one: other, other: one}
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]


def without_a_limit(graph: Any) -> None:
    """The first activation is left out."""
    node = next(node for node in graph.node if node.op_type in ("Clip", "Relu", "Sigmoid"))
    node.op_type = "Identity"
    del node.input[1:]


EDITS: dict[str, Edit] = {
    "multiplied": lambda graph: behind_the_end(graph, "Mul", -3),
    "added": lambda graph: behind_the_end(graph, "Add", 1),
    "in one case": in_one_case,
    "constants": other_constants,
    "weights": exchanged_weights,
    "activation": without_a_limit,
}


def edited(source: Path, place: Path, edit: Edit | None = None, *, own: bool = False, **identity: Any) -> Path:
    """A copy of an encoder directory with another graph or identity, whose digests are made right.

    :param own: whether the identity says the new graph's digest, too.
    """
    shutil.copytree(source, place)
    card = json.loads((place / "encoder.json").read_text())
    if edit is not None:
        model = onnx.load_model(place / "encoder.onnx", load_external_data=False)
        before = model.SerializeToString()
        edit(model.graph)
        assert model.SerializeToString() != before
        (place / "encoder.onnx").write_bytes(model.SerializeToString())
        card["files"]["encoder.onnx"] = hashlib.sha256((place / "encoder.onnx").read_bytes()).hexdigest()
    if own:
        card["identity"]["graph_sha256"] = card["files"]["encoder.onnx"]
    card["identity"] |= identity
    (place / "encoder.json").write_text(json.dumps(card))
    return place


def as_before(source: Path, place: Path) -> Path:
    """The directory as an earlier lusfx wrote it: neither the graph's digest nor a probe."""
    edited(source, place, graph_sha256=None)
    card = json.loads((place / "encoder.json").read_text())
    del card["probe"]
    (place / "encoder.json").write_text(json.dumps(card | {"format_version": 1}))
    return place


def opened(place: Path, runtime: Runtime = "onnxruntime", precision: Precision = "float32") -> DirectoryEncoder:
    encoder = DirectoryEncoder(place, "cpu", 1, precision, runtime)
    encoder.warm_up()
    return encoder


def images(encoder: DirectoryEncoder) -> Any:
    size = encoder.preprocess.size
    return np.random.default_rng(0).integers(0, 256, (3, size, size), np.uint8)


@pytest.mark.parametrize("name", list(FINGERPRINTS))
def test_fingerprints_of_bundled_encoders_stay_and_their_graphs_are_known(name: str) -> None:
    card = read_card(BUNDLED / name)
    assert FeatureSpec(encoder=card.identity, preprocess=card.preprocess).fingerprint == FINGERPRINTS[name]
    assert known_graph(card.identity) == card.files["encoder.onnx"]
    assert card.probe is not None


def test_no_other_graph_is_known_but_that_of_the_golden_files() -> None:
    card = read_card(FIRST.encoder)
    assert known_graph(card.identity) == card.files["encoder.onnx"]
    assert len(GRAPHS) == len(FINGERPRINTS) + 1


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_bundled_encoder_with_another_graph_is_refused(tmp_path: Path, edit: Edit) -> None:
    for runtime in RUNTIMES:
        with pytest.raises(EncoderError, match="not the graph that the identity means"):
            opened(edited(BUNDLED / DEFAULT_ENCODER, tmp_path / runtime, edit), runtime)
    other = edited(BUNDLED / DEFAULT_ENCODER, tmp_path / "own", edit, own=True)
    assert DirectoryEncoder(other).feature_spec.fingerprint != FINGERPRINTS[DEFAULT_ENCODER]


def test_a_bundled_encoder_with_the_graph_of_another_is_refused(tmp_path: Path) -> None:
    place = Path(shutil.copytree(BUNDLED / DEFAULT_ENCODER, tmp_path / "encoder"))
    card = json.loads((place / "encoder.json").read_text())
    shutil.copy(BUNDLED / IMAGENET_ENCODER / "encoder.onnx", place)
    card["files"]["encoder.onnx"] = read_card(BUNDLED / IMAGENET_ENCODER).files["encoder.onnx"]
    (place / "encoder.json").write_text(json.dumps(card))
    with pytest.raises(EncoderError, match="not the graph that the identity means"):
        DirectoryEncoder(place)


@pytest.mark.slow
@pytest.mark.parametrize("change", [{"mean": [0.1] * 3}, {"pooling": "none"}, {"layer": "blocks.5"}], ids=str)
def test_a_bundled_encoder_with_another_identity_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    place = edited(BUNDLED / DEFAULT_ENCODER, tmp_path / "encoder", **change)
    with pytest.raises(EncoderError):
        opened(place, "torch")
    old = as_before(place, tmp_path / "before")
    with pytest.raises(EncoderError):
        opened(old)  # OpenVINO is given the same graph by the same code
    if "mean" in change:  # torch computes what the identity says, under the fingerprint of that identity
        assert opened(old, "torch").feature_spec.fingerprint != FINGERPRINTS[DEFAULT_ENCODER]


@pytest.mark.slow
@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_a_new_encoder_with_another_graph_is_refused_or_another_one(
    cut_encoder: Path, tmp_path: Path, edit: Edit
) -> None:
    true = opened(cut_encoder)
    with pytest.raises(EncoderError, match="not the graph that the identity means"):
        DirectoryEncoder(edited(cut_encoder, tmp_path / "other", edit))
    place = edited(cut_encoder, tmp_path / "own", edit, own=True)
    assert DirectoryEncoder(place).feature_spec.fingerprint != true.feature_spec.fingerprint
    if edit is in_one_case:
        return  # the probe does not see it: but the fingerprint is another one
    for runtime in RUNTIMES:
        with pytest.raises(EncoderError, match="does not compute what its card says"):
            opened(place, runtime)
    # With a probe of its own it is what its author made of it, on the runtimes that compute graphs.
    card = json.loads((place / "encoder.json").read_text())
    (place / "encoder.json").write_text(json.dumps(card | {"probe": None, "format_version": 1}))
    with pytest.raises(EncoderError, match="goes with a probe"):
        DirectoryEncoder(place)


def test_torch_computes_no_other_function_than_the_graph(cut_encoder: Path, tmp_path: Path) -> None:
    """Of an identity whose normalisation is not the graph's, whichever of the two the card's probe is of."""
    changed = edited(cut_encoder, tmp_path / "changed", mean=[0.1] * 3)
    assert opened(changed).feature_spec.fingerprint != opened(cut_encoder).feature_spec.fingerprint
    with pytest.raises(EncoderError, match="does not compute what its card says"):
        opened(changed, "torch")
    card = read_card(changed)
    from lusfx.encoders.torch_runtime import load_torch

    probe = Probe.of(probed(load_torch(changed, card, "cpu"), card.preprocess.size))
    (changed / "encoder.json").write_text(card.model_copy(update={"probe": probe}).model_dump_json())
    for runtime in RUNTIMES:
        with pytest.raises(EncoderError, match="does not compute what its card says"):
            opened(changed, runtime)


@pytest.mark.slow
def test_a_directory_of_before_is_proven_by_making_its_graph_again(cut_encoder: Path, tmp_path: Path) -> None:
    as_before(cut_encoder, tmp_path / "old")
    for runtime in RUNTIMES:
        old = opened(tmp_path / "old", runtime)
        x = images(old)
        assert difference(old.encode(x), opened(cut_encoder).encode(x)) < LIMITS["float32"]


@pytest.mark.slow
def test_a_directory_of_before_with_another_graph_is_refused_or_computes_the_right_one(
    cut_encoder: Path, tmp_path: Path
) -> None:
    def with_edit(name: str) -> DirectoryEncoder:
        place = edited(cut_encoder, tmp_path / f"{name} new", EDITS[name], own=True)
        return opened(as_before(place, tmp_path / name))

    with pytest.raises(EncoderError, match="does not compute what its weights"):
        with_edit("constants")
    encoder = with_edit("in one case")  # what no image of lusfx's shows is not computed either
    x = images(encoder)
    x[:, 0, 0] = 254
    assert difference(encoder.encode(x), opened(cut_encoder).encode(x)) < LIMITS["float32"]


def test_what_nothing_proves_is_refused_with_the_next_step(
    cut_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = as_before(cut_encoder, tmp_path / "old")
    with pytest.raises(EncoderError, match=r"no identity\.graph_sha256\. Make the directory again"):
        opened(edited(old, tmp_path / "of-nobody", architecture="mine"))
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"written by an earlier lusfx.*lusfx\[timm\]"):
        opened(old)
    opened(cut_encoder)  # a new one needs no proof


def test_the_probe_is_the_same_image_everywhere() -> None:
    assert (
        hashlib.sha256(probe_image(96).tobytes()).hexdigest()
        == "b67c6edd64451cae740b03fe4548a8d79c123ff6dd7b9b847c68e350ca0cb6d8"
    )


@pytest.mark.parametrize(("runtime", "precision"), PRECISIONS)
def test_another_embedding_of_the_probe_ends_the_run(
    cut_encoder: Path, tmp_path: Path, runtime: Runtime, precision: Precision
) -> None:
    opened(cut_encoder, runtime, precision)
    place = edited(cut_encoder, tmp_path / "encoder")
    card = read_card(place)
    assert card.probe is not None
    values = card.probe.values()
    assert values is not None
    values = values + np.float32(2 * LIMITS[precision]) * np.abs(values).max()
    card = card.model_copy(update={"probe": Probe.of(values)})
    (place / "encoder.json").write_text(card.model_dump_json())
    encoder = DirectoryEncoder(place, "cpu", 1, precision, runtime)
    with pytest.raises(EncoderError, match="does not compute what its card says"):
        encoder.encode(images(encoder))


def tiny(place: Path, operation: str) -> Path:
    """A graph that ends in an operation on a row of grey values."""
    nodes = [
        helper.make_node("Cast", ["images"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["m"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["m", "m"], ["zero"]),
        *{
            "nan": [helper.make_node("Div", ["zero", "zero"], ["embeddings"])],
            "infinite": [helper.make_node("Div", ["m", "zero"], ["embeddings"])],
            "random": [helper.make_node("RandomNormalLike", ["m"], ["embeddings"])],
            "sound": [helper.make_node("Identity", ["m"], ["embeddings"])],
        }[operation],
    ]
    ends = [
        helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", 16, 16]),
        helper.make_tensor_value_info("embeddings", TensorProto.FLOAT, ["n", 16]),
    ]
    graph = helper.make_graph(nodes, "tiny", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    place.write_bytes(model.SerializeToString())
    return place


FACTS: dict[str, Any] = {
    "preprocess": PreprocessSpec(size=16), "licence": "CC0-1.0", "training_data": "none", "source": "a test", "model_card": "#",
    "name": "x",
}  # fmt: skip


@pytest.mark.parametrize(
    ("operation", "said"),
    [("nan", "not finite"), ("infinite", "not finite"), ("random", "another embedding"), ("sound", "within 0.001 s")],
)
def test_what_gives_no_steady_numbers_becomes_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, operation: str, said: str
) -> None:
    if operation == "sound":
        monkeypatch.setattr(trial, "LONGEST_S", 0.001)
    graph = tiny(tmp_path / "g.onnx", operation)
    with pytest.raises(EncoderError, match=said):
        make_directory_from_onnx(tmp_path / "e", graph, dim=16, channels=1, mean=(0.0,), std=(1.0,), **FACTS)
    assert [path.name for path in tmp_path.iterdir()] == ["g.onnx"]


def test_a_bare_graph_is_bound_to_its_identity_too(tmp_path: Path) -> None:
    graph = tiny(tmp_path / "g.onnx", "sound")
    make_directory_from_onnx(tmp_path / "e", graph, dim=16, channels=1, mean=(0.0,), std=(1.0,), **FACTS)
    with pytest.raises(EncoderError, match="not the graph that the identity means"):
        DirectoryEncoder(edited(tmp_path / "e", tmp_path / "f", EDITS["multiplied"]))


@pytest.mark.slow
def test_weights_that_overflow_become_no_directory(cut_encoder: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    weights = load_file(cut_encoder / "weights.safetensors")
    weights["bn1.weight"] = weights["bn1.weight"] + np.float32(3e38)
    identity = read_card(cut_encoder).identity
    with pytest.raises(EncoderError, match="not finite"):
        make_directory(
            tmp_path / "e", architecture=identity.architecture, layer=identity.layer, weights=weights,
            mean=identity.mean, std=identity.std, **FACTS | {"preprocess": PreprocessSpec(size=48)},
        )  # fmt: skip
    assert list(tmp_path.iterdir()) == []


def test_a_graphs_digest_says_nothing_of_who_exported_it(cut_encoder: Path) -> None:
    content = (cut_encoder / "encoder.onnx").read_bytes()
    model = onnx.load_model_from_string(content)
    model.producer_version = "another"
    model.graph.name = "another"
    model.graph.metadata_props.add(key="k", value="v")
    for number, node in enumerate(model.graph.node):
        node.name = f"another_{number}"
        node.input[:] = [f"x{name}" if name.startswith("%") else name for name in node.input]
        node.output[:] = [f"x{name}" if name.startswith("%") else name for name in node.output]
    for entry in model.graph.initializer:
        entry.name = f"x{entry.name}" if entry.name.startswith("%") else entry.name
    model.graph.initializer.sort(key=lambda entry: str(entry.name))
    assert model.SerializeToString(deterministic=True) != content
    assert _without_remarks(model) == content
    assert b"pytorch" not in content
