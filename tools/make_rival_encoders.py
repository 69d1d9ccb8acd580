"""Make the encoders that lung-lite0 is compared with in docs/encoder.md: the same network, layer and size with other weights.

``imagenet-96`` has the weights of the bundled efficientnet-lite0, ``random-96`` random ones. Needs lusfx[timm]:

    python tools/make_rival_encoders.py rivals
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from safetensors.numpy import load_file

from lusfx.backbone import make_backbone
from lusfx.config import PreprocessSpec
from lusfx.encoders import BUNDLED
from lusfx.encoders.card import WEIGHTS, read_card
from lusfx.encoders.conversion import make_directory


def main(out: Path) -> None:
    lung = read_card(BUNDLED / "lung-lite0")
    torch.manual_seed(0)
    random = make_backbone(lung.identity.architecture.removeprefix("timm/"), lung.identity.layer).state_dict()
    imagenet = load_file(BUNDLED / "efficientnet-lite0" / WEIGHTS)
    for name, weights, data in (
        ("imagenet-96", {key: imagenet[key] for key in random}, "ImageNet-1k"),
        ("random-96", {key: value.numpy() for key, value in random.items()}, "nothing"),
    ):
        make_directory(
            out / name,
            name=name,
            architecture=lung.identity.architecture,
            layer=lung.identity.layer,
            weights=weights,
            mean=lung.identity.mean,
            std=lung.identity.std,
            preprocess=PreprocessSpec(size=lung.preprocess.size),
            licence="Apache-2.0",
            training_data=data,
            source="tools/make_rival_encoders.py",
            model_card=f"# {name}\n\nFor comparison with lung-lite0; trained on {data}.\n",
        )
        print(out / name)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
