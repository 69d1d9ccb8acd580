"""Images resized together are what each would be alone, to the last bit: cached features depend on it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lusfx.preprocess import resize
from lusfx.preprocess.resize import resized
from lusfx.types import Box


@pytest.mark.parametrize("n_images", [0, 1, 3, 4, 5, 9])
@pytest.mark.parametrize("resample", ["BILINEAR", "BOX", "BICUBIC"])
@pytest.mark.parametrize("box", [None, Box(3, 5, 60, 41)])
def test_together_is_as_one_by_one(
    n_images: int, resample: str, box: Box | None, generator: np.random.Generator
) -> None:
    images = list(generator.integers(0, 256, (n_images, 47, 64), dtype=np.uint8))
    corners = None if box is None else (box.x0, box.y0, box.x1, box.y1)
    for size in ((20, 13), (90, 111)):
        chosen = Image.Resampling[resample]
        found = list(resized(images, size, chosen, box))
        assert len(found) == n_images
        for image, one in zip(images, found, strict=True):
            np.testing.assert_array_equal(one, np.asarray(Image.fromarray(image).resize(size, chosen, box=corners)))


def test_large_images_go_one_by_one_and_come_out_the_same(
    generator: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = list(generator.integers(0, 256, (5, 47, 64), dtype=np.uint8))
    together = list(resized(images, (20, 13), Image.Resampling.BILINEAR))
    monkeypatch.setattr(resize, "LARGE_PX", 47 * 64 - 1)
    taken = 0

    def counted() -> Iterator[NDArray[np.uint8]]:
        nonlocal taken
        for image in images:
            taken += 1
            yield image

    for number, one in enumerate(resized(counted(), (20, 13), Image.Resampling.BILINEAR)):
        assert taken == number + 1
        np.testing.assert_array_equal(one, together[number])


def test_pixels_that_do_not_lie_together_are_taken(generator: np.random.Generator) -> None:
    images = [generator.integers(0, 256, (30, 80), dtype=np.uint8)[::2, 10:50] for _ in range(4)]
    for image, one in zip(images, resized(images, (40, 15), Image.Resampling.BILINEAR), strict=True):
        np.testing.assert_array_equal(one, image)
