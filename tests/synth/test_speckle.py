"""Speckle has the statistics that theory gives it (Wagner et al. 1983), and moves with its tissue."""

from __future__ import annotations

import numpy as np
import pytest

from lusfx.synth.geometry import Grid, Placement, Transducer, polar_grid, scan_map
from lusfx.synth.speckle import Grain, Noise, Tissue, lateral_lines

GRAIN = Grain(axial_mm=0.35, lateral_mm=1.0, focus_mm=40)


@pytest.fixture
def grid() -> Grid:
    return polar_grid(Transducer("convex", radius_mm=60, half_angle_deg=33), 120)


@pytest.mark.parametrize("n_looks", [1, 3])
def test_intensity_is_exponential_and_looks_average_it(
    grid: Grid, n_looks: int, generator: np.random.Generator
) -> None:
    grain = Grain(GRAIN.axial_mm, GRAIN.lateral_mm, GRAIN.focus_mm, n_looks)
    intensity = Tissue(grid, grain, generator).shifted(0)
    assert intensity.mean() == pytest.approx(1, abs=0.15)
    assert intensity.std() / intensity.mean() == pytest.approx(1 / np.sqrt(n_looks), rel=0.15)


def test_speckle_moves_with_tissue(grid: Grid, generator: np.random.Generator) -> None:
    tissue = Tissue(grid, GRAIN, generator)
    still = tissue.shifted(0)
    np.testing.assert_allclose(tissue.shifted(5)[:, 5:], still[:, :-5], rtol=1e-5)
    np.testing.assert_allclose(tissue.shifted(0, 3)[3:], still[:-3], rtol=1e-5)
    half = tissue.shifted(0.5)
    assert np.corrcoef(half.ravel(), still.ravel())[0, 1] > 0.8


def test_the_point_spread_function_widens_from_the_focus(grid: Grid) -> None:
    lines = lateral_lines(grid, GRAIN)
    width_mm = lines * np.pi * 33 / 180 * (grid.depth_mm[:, 0] + 60) / 64
    focus = int(np.abs(grid.depth_mm[:, 0] - 40).argmin())
    assert width_mm.argmin() == pytest.approx(focus, abs=25)
    assert width_mm[-1] > 2 * width_mm[focus]


def test_noise_is_new_in_each_frame(generator: np.random.Generator) -> None:
    noise = Noise(generator)
    first, second = noise.next(), noise.next()
    assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(
    "transducer",
    [
        Transducer("convex", radius_mm=60, half_angle_deg=33),
        Transducer("linear", width_mm=45),
        Transducer("phased", radius_mm=3, half_angle_deg=42),
    ],
    ids=lambda transducer: transducer.kind,
)
def test_scan_conversion_puts_depths_where_they_are(transducer: Transducer) -> None:
    scan = scan_map(transducer, 100, Placement(200, 300, 10, 12, 290, 195))
    grid = polar_grid(transducer, 100)
    depths = np.zeros(scan.inside.shape, np.float32)
    depths[scan.inside] = scan.convert(np.ascontiguousarray(np.broadcast_to(grid.depth_mm, grid.x_mm.shape)))
    column, row = round(scan.face_px[0]), scan.face_px[1]
    for depth_mm in (20, 50, 90):
        assert depths[round(row + depth_mm * scan.px_per_mm), column] == pytest.approx(
            depth_mm, abs=0.6 / scan.px_per_mm
        )
    rows, columns = np.nonzero(scan.inside)
    assert (rows.min() >= 12, rows.max() < 195, columns.min() >= 10, columns.max() < 290) == (True,) * 4
