"""The yardstick of the simulator: the distance between two sets of pictures, and a run of it on simulated archives."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lusfx.synth import write_archive


def test_the_distance_is_that_of_two_normal_distributions(tool: Any) -> None:
    """Of independent normal variables it is the squared difference of means and of standard deviations, summed."""
    generator = np.random.default_rng(1)
    rows = generator.standard_normal((20_000, 3))
    moved = generator.standard_normal((20_000, 3)) * [1, 2, 1] + [3, 0, 0]
    assert tool.frechet_distance(rows, moved) == pytest.approx(9 + 1, abs=0.2)


def test_a_set_is_nowhere_from_itself(tool: Any) -> None:
    rows = np.random.default_rng(2).standard_normal((500, 5))
    assert tool.frechet_distance(rows, rows) == pytest.approx(0, abs=1e-6)


def test_the_simulated_set_has_no_say_in_the_components(tool: Any) -> None:
    generator = np.random.default_rng(3)
    real = [generator.standard_normal((60, 40)) for _ in range(2)]
    near, far = generator.standard_normal((60, 40)), 100 * generator.standard_normal((60, 40))
    between_real = [next(d for a, b, d in tool.distances([*real, other]) if (a, b) == (0, 1)) for other in (near, far)]
    assert between_real[0] == between_real[1]


@pytest.mark.slow
def test_measures_archives_and_draws_a_sheet(tool: Any, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    write_archive(tmp_path / "a", n_patients=2, clips_per_patient=2, n_frames=3, seed=5)
    sheet = tmp_path / "sheet.png"
    command = ["measure_realism.py", str(tmp_path / "a" / "labels.csv"), "--patients", "1", "--sheet", str(sheet)]
    monkeypatch.setattr(sys, "argv", command)
    tool.main()
    said = capsys.readouterr().out
    assert "real 1: 4 clips" in said
    assert "simulated (varied): 6 clips" in said
    assert "real 1 to simulated (varied): " in said
    with Image.open(sheet) as drawn:
        assert drawn.width == tool.SHEET_COLUMNS * (tool.SHEET_PX + tool.GAP_PX)
