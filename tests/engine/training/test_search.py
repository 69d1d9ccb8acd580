"""What a search brought is told by the difference on patients that no choice saw, and not by the best figure it found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lusfx.engine.samples.samples import Samples
from lusfx.engine.training.cross_validation import CrossValidation
from lusfx.engine.training.search import SearchBenefit, benefit_of
from lusfx.metrics import Interval

pytestmark = pytest.mark.usefixtures("few_resamples")
N_REPEATS = 2
MakeSamples = Callable[..., Samples]


def validation_of(samples: Samples, noise: float, seed: int) -> CrossValidation:
    """Answers that tell yes from no, the worse the more noise there is."""
    generator = np.random.default_rng(seed)
    targets = samples.targets[:, 0]
    scores = targets + generator.normal(scale=noise, size=(N_REPEATS, len(targets)))
    folds = np.tile(np.arange(len(targets)) % 2, (N_REPEATS, 1))
    return CrossValidation(np.arange(len(targets)), 1 / (1 + np.exp(-scores)), folds, {}, [])


def benefit(samples: Samples, default_noise: float, search_noise: float) -> SearchBenefit:
    without, searched = validation_of(samples, default_noise, 1), validation_of(samples, search_noise, 2)
    return benefit_of("mean: mlp", [without], [searched], samples, 0)


def test_a_search_that_ranks_much_better_is_better(made_up_samples: MakeSamples) -> None:
    found = benefit(made_up_samples(n_patients=40), 20.0, 0.1)
    assert found.verdict == "better"
    assert found.difference.value == pytest.approx(1 - found.default_auc.value)
    assert str(found).startswith("the search is better than the default settings (mean: mlp): ")
    assert f"have AUC {found.default_auc}, and the search +" in str(found)


def test_a_search_that_ranks_much_worse_is_worse(made_up_samples: MakeSamples) -> None:
    assert benefit(made_up_samples(n_patients=40), 0.1, 20.0).verdict == "worse"


def test_a_search_that_finds_the_same_is_no_better(made_up_samples: MakeSamples) -> None:
    samples = made_up_samples(n_patients=40)
    one = validation_of(samples, 1.0, 1)
    found = benefit_of("mean: mlp", [one], [one], samples, 0)
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)
    assert "no better than the default settings" in str(found)
    assert found.as_dict()["verdict"] == "no better than the default settings"


def test_a_difference_that_cannot_be_known_is_no_better() -> None:
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    assert SearchBenefit("mean: mlp", nothing, nothing).verdict == "no better"
