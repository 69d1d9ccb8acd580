"""One small network of each family of timm that docs/encoders.md names is converted, and computes what torch does."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lusfx.config import PreprocessSpec
from lusfx.encoders.directory import DirectoryEncoder
from lusfx.errors import EncoderError

timm = pytest.importorskip("timm", reason="timm is not installed")
pytest.importorskip("onnx", reason="onnx is not installed")

from lusfx.encoders.conversion import make_directory  # noqa: E402
from lusfx.encoders.torch_runtime import load_torch  # noqa: E402

pytestmark = pytest.mark.slow

SMALL = [
    "resnet18", "mobilenetv3_small_050", "mobilenetv4_conv_small", "tf_efficientnet_lite0", "regnetx_002", "densenet121",
    "ghostnet_100", "convnext_atto", "convnextv2_atto", "fastvit_t8", "repvit_m0_9", "edgenext_xx_small", "poolformer_s12",
    "vit_tiny_patch16_224", "vit_tiny_r_s16_p8_224", "deit_tiny_patch16_224", "deit_tiny_distilled_patch16_224",
    "vit_small_patch14_dinov2", "vit_small_patch16_dinov3", "eva02_tiny_patch14_224", "swin_tiny_patch4_window7_224",
    "mobilevit_xxs", "xcit_nano_12_p16_224", "pvt_v2_b0", "levit_128s", "mixer_s32_224",
]  # fmt: skip
"""A network a family, as small as the family has one."""
REFUSED = ["twins_svt_small", "hiera_tiny_224"]
PAGE = Path(__file__).parents[2] / "docs" / "encoders.md"


def facts_of(name: str) -> dict[str, Any]:
    """What a directory is made of: random weights, none of them so small that its part of the network does nothing."""
    import torch

    if not timm.is_model(name):
        pytest.skip(f"this timm has no {name}")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = timm.create_model(name, pretrained=False, num_classes=0)
        with torch.no_grad():
            for weight in network.parameters():
                if weight.abs().max() < 1e-3:
                    weight.normal_(0, 0.05)
    configuration = network.pretrained_cfg
    return {
        "name": name, "architecture": f"timm/{name}", "mean": tuple(configuration["mean"]), "std": tuple(configuration["std"]),
        "weights": {key: value.numpy() for key, value in network.state_dict().items()},
        "preprocess": PreprocessSpec(size=configuration["input_size"][-1]), "licence": "Apache-2.0", "training_data": "none",
        "source": "this test", "model_card": "# x",
    }  # fmt: skip


@pytest.mark.parametrize("name", SMALL)
def test_a_family_is_converted_and_computes_what_torch_does(tmp_path: Path, name: str) -> None:
    card = make_directory(tmp_path / "encoder", **facts_of(name))
    size = card.preprocess.size
    images = np.random.default_rng(0).integers(0, 256, (3, size, size), dtype=np.uint8)
    reference = load_torch(tmp_path / "encoder", card, "cpu")(images)
    found = DirectoryEncoder(tmp_path / "encoder", "cpu").encode(images)
    assert np.abs(found - reference).max() < 1e-4 * max(1.0, float(np.abs(reference).max()))
    assert np.std(reference, axis=0).max() > 1e-5  # images are told apart


@pytest.mark.parametrize("name", REFUSED)
def test_a_family_that_cannot_be_converted_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(EncoderError, match=r"cannot be (exported|converted)") as told:
        make_directory(tmp_path / "encoder", **facts_of(name))
    assert len(str(told.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_page_names_the_networks_that_are_tested() -> None:
    row = next(line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| tested |"))
    assert re.findall(r"`(\w+)`", row) == SMALL
