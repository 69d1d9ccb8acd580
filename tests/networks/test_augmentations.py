"""Views keep to their range and to the beam, come from the caller's generator alone, and do what they say."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lusfx.errors import UsageError  # noqa: E402
from lusfx.networks.augmentations import (  # noqa: E402
    AUGMENTATIONS,
    Augmentation,
    ByolAugmentation,
    DegradedAugmentation,
    UltrasoundAugmentation,
    byol_views,
)

SIZE = 64


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def sectors(n: int) -> torch.Tensor:
    """Convex beams of coarse noise, all alike."""
    at = (2 * torch.arange(SIZE) + 1) / SIZE - 1
    x, y = torch.meshgrid(at, at + 1.6, indexing="xy")
    radius, angle = torch.hypot(x, y), torch.atan2(x, y).abs()
    inside = (radius > 0.9) & (radius < 2.5) & (angle < 0.4)
    noise = torch.from_numpy(np.random.default_rng(0).uniform(0.1, 0.8, (SIZE // 4, SIZE // 4))).float()
    frame = noise.repeat_interleave(4, 0).repeat_interleave(4, 1) * inside
    return frame.expand(n, 1, SIZE, SIZE).contiguous()


def roughness(frames: torch.Tensor) -> torch.Tensor:
    return frames.diff(dim=3).abs().mean(dim=(1, 2, 3))


@pytest.mark.parametrize(
    "augmentation",
    [*byol_views(), UltrasoundAugmentation(), DegradedAugmentation()],
    ids=["byol-a", "byol-b", "ultrasound", "degraded"],
)
def test_views_keep_shape_and_range_and_leave_the_frames_alone(augmentation: Augmentation) -> None:
    frames = sectors(32)
    before = frames.clone()
    view = augmentation(frames, seeded())
    assert view.shape == frames.shape
    assert view.dtype == torch.float32
    assert bool(torch.isfinite(view).all())
    assert 0 <= float(view.min()) <= float(view.max()) <= 1
    assert torch.equal(frames, before)
    assert (view.amax(dim=(1, 2, 3)) > 0.05).all()  # none is black
    assert augmentation(frames.half(), seeded()).dtype == torch.float16


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_only_the_generator_decides(name: str) -> None:
    frames = sectors(8)
    first, second = AUGMENTATIONS[name]()
    state = torch.get_rng_state()
    view = first(frames, seeded(1))
    assert torch.equal(view, AUGMENTATIONS[name]()[0](frames, seeded(1)))
    assert torch.equal(state, torch.get_rng_state())
    assert not torch.equal(view, first(frames, seeded(2)))
    assert not torch.equal(view, second(frames, seeded(2)))
    different = [not torch.equal(view[i], view[j]) for i in range(8) for j in range(i)]
    assert all(different)  # each frame has its own parameters


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_background_stays_black(name: str) -> None:
    view = AUGMENTATIONS[name]()[0](torch.zeros(16, 1, SIZE, SIZE), seeded())
    assert not view.any()
    narrow = torch.zeros(64, 1, SIZE, SIZE)
    narrow[:, :, :, 24:40] = 0.5  # a linear beam, a quarter of the frame
    black = (UltrasoundAugmentation()(narrow, seeded()) == 0).float().mean(dim=(1, 2, 3))
    assert float(black.min()) > 0.2  # however noisy


def test_crops_show_the_beam() -> None:
    small = torch.zeros(256, 1, SIZE, SIZE)
    small[:, :, 20:44, 20:44] = 0.5  # a seventh of the frame: most small crops would miss it
    view = ByolAugmentation(blur=0, solarise=0)(small, seeded())
    share = (view > 0).float().mean(dim=(1, 2, 3))
    assert float((share > 0.05).float().mean()) > 0.98


def test_solarising_inverts_what_is_bright() -> None:
    solarised = ByolAugmentation(blur=0, solarise=1, min_area=1)
    bright = solarised(torch.full((32, 1, SIZE, SIZE), 0.9), seeded())
    assert float(bright.max()) < 0.5
    dark = solarised(torch.full((32, 1, SIZE, SIZE), 0.2), seeded())
    assert float(dark.max()) < 0.2 * 1.4 + 1e-4
    assert float(dark[:, :, 16:48, 16:48].min()) > 0.2 * 0.6 - 1e-4


def test_blurring_smooths() -> None:
    frames = torch.from_numpy(np.random.default_rng(0).uniform(0.1, 0.9, (32, 1, SIZE, SIZE))).float()
    sharp = ByolAugmentation(blur=0, solarise=0, min_area=0.9)(frames, seeded())
    blurred = ByolAugmentation(blur=1, solarise=0, min_area=0.9)(frames, seeded())  # the same crops
    ratio = roughness(blurred) / roughness(sharp)
    assert float(ratio.max()) <= 1 + 1e-4
    assert float(ratio.min()) < 0.7  # up to 2 pixels of 224 are 0.57 of 64


def test_flips_half_of_the_frames() -> None:
    frames = torch.zeros(400, 1, SIZE, SIZE) + 0.3
    frames[:, :, :, SIZE // 2 :] = 0.6
    view = ByolAugmentation(blur=0, solarise=0, min_area=0.9)(frames, seeded())
    left_is_brighter = view[..., : SIZE // 2].mean(dim=(1, 2, 3)) > view[..., SIZE // 2 :].mean(dim=(1, 2, 3))
    assert 0.4 < float(left_is_brighter.float().mean()) < 0.6


def test_ultrasound_views_keep_depth_in_order() -> None:
    """A bright line at the top of the beam stays in the upper part of what is shown: no view stands on its head."""
    frames = (sectors(128) > 0).float() * 0.2
    rows = torch.arange(SIZE)[None, None, :, None]
    upper = (rows > SIZE * 0.15) & (rows < SIZE * 0.3)
    frames = torch.where(upper & (frames > 0), 0.9, frames)
    view = UltrasoundAugmentation()(frames, seeded())
    place = rows.float().expand_as(view)
    shown = view > 0
    middle_of_shown = (place * shown).sum(dim=(1, 2, 3)) / shown.sum(dim=(1, 2, 3))
    bright = view > torch.quantile(view.flatten(1), 0.95, dim=1).view(-1, 1, 1, 1)
    middle_of_bright = (place * bright).sum(dim=(1, 2, 3)) / bright.sum(dim=(1, 2, 3)).clamp(min=1)
    assert float((middle_of_bright < middle_of_shown)[bright.sum(dim=(1, 2, 3)) > 20].float().mean()) > 0.95


def test_what_is_no_batch_of_frames_is_refused() -> None:
    augmentation = UltrasoundAugmentation()
    for wrong in (torch.zeros(2, 3, 8, 8), torch.zeros(2, 8, 8), torch.zeros(2, 1, 8, 9), torch.zeros(0, 1, 8, 8)):
        with pytest.raises(UsageError, match="frames"):
            augmentation(wrong, seeded())
    with pytest.raises(UsageError, match="floating"):
        augmentation(torch.zeros(2, 1, 8, 8, dtype=torch.uint8), seeded())
    for one in ({"blur": 2}, {"solarise": -1}, {"min_area": 0}):
        with pytest.raises(UsageError, match="from 0 to 1"):
            ByolAugmentation(**one)


@pytest.mark.parametrize("columns", [slice(0, SIZE), slice(16, 48)], ids=["wide", "narrow"])
@pytest.mark.parametrize("rows", [slice(0, SIZE), slice(0, 32)], ids=["deep", "shallow"])
def test_linear_beams_stay_in_sight(rows: slice, columns: slice) -> None:
    frames = torch.zeros(200, 1, SIZE, SIZE)
    frames[:, :, rows, columns] = 0.5
    area = (frames[0] > 0).float().mean()
    shown = (UltrasoundAugmentation()(frames, seeded()) > 0).float().mean(dim=(1, 2, 3))
    assert float(shown.min()) > 0.2 * float(area)
    assert float(shown.median()) > 0.6 * float(area)
