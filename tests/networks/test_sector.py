"""The beam's shape from its mask, and coordinates there and back."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lusfx.networks.sector import Sector, beam_of  # noqa: E402

SIZE = 96


def grid() -> torch.Tensor:
    at = (2 * torch.arange(SIZE, dtype=torch.float32) + 1) / SIZE - 1
    return torch.stack(torch.meshgrid(at, at, indexing="xy"), dim=-1)[None]


def mask_of(sector: Sector) -> torch.Tensor:
    own = sector.to_own(grid())
    return ((own[..., 0].abs() <= 1) & (own[..., 1] >= 0) & (own[..., 1] <= 1)).float()[:, None]


def sector(*, x: float = 0.0, y: float, half_angle: float, near: float, far: float) -> Sector:
    return Sector(*(torch.tensor([value]) for value in (x, y, half_angle, near, far)))


CONVEX = sector(x=0.1, y=-1.4, half_angle=0.5, near=0.8, far=2.2)
PHASED = sector(y=-0.9, half_angle=0.7, near=0.05, far=1.5)


@pytest.mark.parametrize("truth", [CONVEX, PHASED], ids=["convex", "phased"])
def test_sector_is_found_in_its_mask(truth: Sector) -> None:
    found = Sector.of(beam_of(0.3 * mask_of(truth)))
    for name in ("x", "y", "half_angle", "near", "far"):
        assert float(getattr(found, name)) == pytest.approx(float(getattr(truth, name)), abs=0.06), name
    assert not found.linear


def test_rectangle_is_a_linear_beam() -> None:
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[:, :, 10:90, 30:70] = 1
    found = Sector.of(mask)
    assert found.linear
    assert float((mask_of(found) - mask).abs().mean()) < 0.005
    assert Sector.of(torch.zeros_like(mask)).linear


def test_coordinates_there_and_back() -> None:
    for one in (CONVEX, PHASED, Sector.of(torch.ones(1, 1, SIZE, SIZE))):
        assert torch.allclose(one.to_image(one.to_own(grid())), grid(), atol=5e-4)  # a thirtieth of a pixel


def test_another_top_keeps_the_bottom_and_the_length_of_the_sides() -> None:
    same = CONVEX.with_top(CONVEX.near / CONVEX.far, torch.ones(1))
    for name in ("half_angle", "near", "far"):
        assert float(getattr(same, name)) == pytest.approx(float(getattr(CONVEX, name)), rel=1e-4)
    for share in (0.0, 0.4):
        other = CONVEX.with_top(torch.tensor([share]), torch.ones(1))
        assert float(other.near / other.far) == pytest.approx(share, abs=1e-5)
        assert float(other.far - other.near) == pytest.approx(1.4, rel=1e-5)
        assert float(other.far * torch.sin(other.half_angle)) == pytest.approx(2.2 * np.sin(0.5), rel=1e-4)
    straight = CONVEX.with_top(torch.ones(1), torch.tensor([0.5]))
    assert straight.linear
    assert float(straight.far * torch.sin(straight.half_angle)) == pytest.approx(2.2 * np.sin(0.5) / 2, rel=1e-3)


def test_fitted_sector_is_in_the_same_place() -> None:
    other = CONVEX.with_top(torch.zeros(1), torch.ones(1)).fitted(CONVEX)
    before, after = mask_of(CONVEX)[0, 0] > 0, mask_of(other)[0, 0] > 0
    for one in (0, 1):
        rows_before, rows_after = before.any(dim=one).nonzero(), after.any(dim=one).nonzero()
        middles = [float((rows.min() + rows.max()) / 2) for rows in (rows_before, rows_after)]
        assert middles[0] == pytest.approx(middles[1], abs=2)
    extents = [
        max(int(mask.any(dim=one).nonzero().max() - mask.any(dim=one).nonzero().min()) for one in (0, 1))
        for mask in (before, after)
    ]
    assert extents[0] == pytest.approx(extents[1], abs=2)


def test_beam_holds_its_shadows_and_not_what_is_beside_it() -> None:
    frame = mask_of(CONVEX)
    shadowed = frame.clone()
    shadowed[:, :, 50:60, 40:60] = 0
    assert torch.equal(beam_of(shadowed), frame)
    assert torch.equal(beam_of(frame), frame)  # above the arc of the top too
    assert not beam_of(torch.zeros_like(frame)).any()
