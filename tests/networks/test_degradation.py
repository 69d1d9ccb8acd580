"""Degraded frames are poorer: darker on average, of less contrast, noisier; black stays black, and some frames stay clear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from lusfx.networks.augmentations import AUGMENTATIONS, DegradedAugmentation, UltrasoundAugmentation  # noqa: E402
from lusfx.networks.degradation import degraded  # noqa: E402
from lusfx.networks.draws import Draws  # noqa: E402
from lusfx.networks.threads import cpu_threads  # noqa: E402

SIZE, N = 48, 200


def seeded(seed: int = 0) -> Any:
    return torch.Generator().manual_seed(seed)


def poorer(frames: Any, beam: Any, seed: int = 0) -> Any:
    return degraded(frames, beam, Draws(seeded(seed), frames.device))


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """On frames as small as these, several wait for each other."""
    with cpu_threads(1):
        yield


@pytest.fixture(scope="module")
def beam() -> Any:
    """A disc."""
    at = (2 * torch.arange(SIZE) + 1) / SIZE - 1
    x, y = torch.meshgrid(at, at, indexing="xy")
    return (torch.hypot(x, y) < 0.8).float().expand(N, 1, SIZE, SIZE).contiguous()


@pytest.fixture(scope="module")
def frames(beam: Any) -> Any:
    """Bright stripes on a dark ground, all alike."""
    stripes = torch.where(torch.arange(SIZE) % 8 < 4, 0.8, 0.2)
    return stripes.expand(N, 1, SIZE, SIZE) * beam


def test_frames_keep_shape_and_range_and_what_is_outside_stays_black(frames: Any, beam: Any) -> None:
    before = frames.clone()
    view = poorer(frames, beam)
    assert view.shape == frames.shape
    assert view.dtype == torch.float32
    assert bool(torch.isfinite(view).all())
    assert 0 <= float(view.min()) <= float(view.max()) <= 1
    assert not view[beam == 0].any()
    assert torch.equal(frames, before)


def test_the_same_generator_gives_the_same_frames(frames: Any, beam: Any) -> None:
    state = torch.get_rng_state()
    few = slice(0, 8)
    view = poorer(frames[few], beam[few], 1)
    assert torch.equal(view, poorer(frames[few], beam[few], 1))
    assert not torch.equal(view, poorer(frames[few], beam[few], 2))
    assert all(not torch.equal(view[i], view[j]) for i in range(8) for j in range(i))  # each in its own way
    assert torch.equal(state, torch.get_rng_state())


def test_frames_are_darker_and_have_less_contrast(frames: Any, beam: Any) -> None:
    """On average: shading and haze may make one frame brighter."""
    view = poorer(frames, beam)
    bright, dark = (frames > 0.5) & (beam > 0), (frames < 0.5) & (beam > 0)

    def contrast(shown: Any) -> Any:
        levels = [(shown * part).sum(dim=(1, 2, 3)) / part.sum(dim=(1, 2, 3)) for part in (bright, dark)]
        return levels[0] - levels[1]

    inside = beam.sum(dim=(1, 2, 3))
    means = [shown.sum(dim=(1, 2, 3)) / inside for shown in (frames, view)]
    assert float(means[1].mean()) < 0.8 * float(means[0].mean())
    assert float((means[1] < means[0]).float().mean()) > 0.8
    assert float((contrast(view) < contrast(frames)).float().mean()) > 0.9
    assert float(contrast(view).mean()) < 0.7 * float(contrast(frames).mean())
    assert float(contrast(view).min()) > 0  # what was brighter is brighter still


def test_haze_and_noise_lift_the_dark(beam: Any) -> None:
    view = poorer(torch.zeros_like(beam), beam)
    inside = view[beam > 0].view(N, -1)
    assert float(inside.mean(dim=1).min()) > 0
    assert float(inside.mean()) < 0.1
    assert float(inside.std(dim=1).min()) > 0


def test_no_frames_are_no_frames() -> None:
    none = torch.zeros(0, 1, SIZE, SIZE)
    assert poorer(none, none).shape == none.shape


def test_one_frame_in_five_stays_clear(frames: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the ultrasound pipeline is then given: four in five frames are others, one in five is as it was."""
    given: list[Any] = []

    def as_they_are(self: Any, shown: Any, draws: Any) -> Any:
        given.append(shown)
        return shown

    monkeypatch.setattr(UltrasoundAugmentation, "_view", as_they_are)
    DegradedAugmentation()(frames, seeded())
    clear = (given[0] == frames).flatten(1).all(dim=1)
    assert 0.12 < float(clear.float().mean()) < 0.28


def test_views_of_the_pipeline_are_poorer_than_those_of_the_one_it_goes_on_with(frames: Any) -> None:
    first, second = AUGMENTATIONS["degraded"]()
    assert type(first) is type(second) is DegradedAugmentation

    def mean_of(augmentation: Any) -> float:
        view = augmentation(frames, seeded())
        return float(view.sum() / (view > 0).sum())

    assert mean_of(first) < 0.9 * mean_of(UltrasoundAugmentation())


def test_a_batch_of_one_may_stay_clear_or_not(frames: Any) -> None:
    """Either way there is a view: no part of the pipeline stumbles over an empty choice."""
    for seed in range(12):
        view = DegradedAugmentation()(frames[:1], seeded(seed))
        assert view.shape == (1, 1, SIZE, SIZE)
        assert bool(torch.isfinite(view).all())
