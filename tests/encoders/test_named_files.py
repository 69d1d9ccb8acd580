"""A graph that looks for its values in other files finds none, wherever it is loaded."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from lusfx.contracts import EncoderRequest
from lusfx.encoders import open_directory
from lusfx.errors import EncoderError
from tests.golden.make import CELLS, DIM, FIRST, images


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The golden encoder, whose last product takes a matrix that lies in a file of the working directory."""
    (tmp_path / "values.bin").write_bytes(np.ones((CELLS, DIM), np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    directory = Path(shutil.copytree(FIRST.encoder, tmp_path / "encoder"))
    graph = onnx.load(directory / "encoder.onnx", load_external_data=False)
    named = onnx.TensorProto(name="named", data_type=onnx.TensorProto.FLOAT, dims=(CELLS, DIM))
    named.data_location = onnx.TensorProto.EXTERNAL
    named.external_data.add(key="location", value="values.bin")
    graph.graph.initializer.append(named)
    graph.graph.node[-1].input[1] = "named"
    content = graph.SerializeToString()
    (directory / "encoder.onnx").write_bytes(content)
    card = json.loads((directory / "encoder.json").read_text())
    card["files"]["encoder.onnx"] = card["identity"]["graph_sha256"] = hashlib.sha256(content).hexdigest()
    del card["files"]["weights.safetensors"]
    (directory / "encoder.json").write_text(json.dumps(card))
    return directory


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_graph_that_names_a_file_is_refused(hostile: Path, runtime: str) -> None:
    if runtime == "openvino":
        pytest.importorskip("openvino", reason="OpenVINO is an extra")
    request = EncoderRequest(str(hostile), device="cpu", threads=1, runtime=runtime)
    with pytest.raises(EncoderError, match=r"cannot be loaded|do not fit each other"):
        open_directory(hostile, request).encode(images())
