"""Random numbers of an augmentation: in their range, from one generator, and as often as they should be."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from lusfx.networks.draws import Draws  # noqa: E402 - after the skip


def seeded(seed: int = 0) -> Draws:
    return Draws(torch.Generator().manual_seed(seed), torch.device("cpu"))


def test_uniform_numbers_fill_their_range() -> None:
    drawn = seeded().uniform(4000, -2.0, 6.0)
    assert drawn.shape == (4000,)
    assert -2 <= float(drawn.min()) < -1.9
    assert 5.9 < float(drawn.max()) <= 6
    assert float(drawn.mean()) == pytest.approx(2, abs=0.2)


def test_normal_numbers_are_standard() -> None:
    drawn = seeded().normal((40, 100))
    assert drawn.shape == (40, 100)
    assert float(drawn.mean()) == pytest.approx(0, abs=0.06)
    assert float(drawn.std()) == pytest.approx(1, abs=0.05)


def test_things_happen_as_often_as_they_should() -> None:
    happened = seeded().happens(4000, 0.3)
    assert happened.dtype == torch.bool
    assert float(happened.float().mean()) == pytest.approx(0.3, abs=0.03)
    assert torch.equal(seeded().chosen(4000, 0.3), happened.nonzero()[:, 0])
    assert not seeded().happens(100, 0.0).any()
    assert seeded().happens(100, 1.0).all()
    assert len(seeded().chosen(100, 0.0)) == 0


def test_a_sign_flips_x_alone_for_half_of_the_frames() -> None:
    sign = seeded().sign(1000)
    assert sign.shape == (1000, 1, 1, 2)
    assert set(sign[..., 0].unique().tolist()) == {-1.0, 1.0}
    assert float((sign[..., 0] < 0).float().mean()) == pytest.approx(0.5, abs=0.06)
    assert (sign[..., 1] == 1).all()


def test_only_the_generator_decides() -> None:
    state = torch.get_rng_state()
    for draw in (
        lambda draws: draws.uniform(5, 0, 1),
        lambda draws: draws.normal((5,)),
        lambda draws: draws.happens(50, 0.5),
        lambda draws: draws.sign(50),
    ):
        assert torch.equal(draw(seeded(1)), draw(seeded(1)))
        assert not torch.equal(draw(seeded(1)), draw(seeded(2)))
        draws = seeded(1)
        assert not torch.equal(draw(draws), draw(draws))
    assert torch.equal(state, torch.get_rng_state())
    assert seeded().uniform(0, 0, 1).shape == (0,)
