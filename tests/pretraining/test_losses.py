"""The objectives against their papers' formulas, and over two processes against one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from lusfx.errors import UsageError  # noqa: E402
from lusfx.pretraining.losses import LOSSES, BarlowTwins, Loss, SimCLR, VICReg, gather  # noqa: E402

N, DIM = 7, 5
EQUAL = np.ones(N)
SOME = np.array([1.0, 0.5, 0.25, 1.0, 0.75, 0.1, 0.9])


def projections(n: int = N, dim: int = DIM, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    a = generator.normal(0.3, 1.0, (n, dim))
    return a, 0.7 * a + 0.5 * generator.normal(size=(n, dim))


def value(loss: Loss, a: np.ndarray, b: np.ndarray, weights: np.ndarray) -> float:
    return float(loss(torch.from_numpy(a), torch.from_numpy(b), torch.from_numpy(weights)))


def nt_xent(a: np.ndarray, b: np.ndarray, weights: np.ndarray, temperature: float) -> float:
    """Chen et al. 2020, equation 1 and the mean over all 2N positive pairs, term by term."""
    views = [row / np.sqrt((row**2).sum()) for row in (*a, *b)]
    n, total = len(a), 0.0
    for i, view in enumerate(views):
        j = (i + n) % (2 * n)
        others = sum(np.exp(view @ views[k] / temperature) for k in range(2 * n) if k != i)
        total += weights[i % n] * -np.log(np.exp(view @ views[j] / temperature) / others)
    return total / (2 * n)


def barlow_twins(a: np.ndarray, b: np.ndarray, weights: np.ndarray, off_diagonal: float) -> float:
    """Zbontar et al. 2021, equations 1 and 2, with weighted sums over the batch and batch normalisation's epsilon."""
    a, b = (z - (weights[:, None] * z).sum(axis=0) / weights.sum() for z in (a, b))
    total = 0.0
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            scale = [(weights * z**2).sum() + 1e-5 * weights.sum() for z in (a[:, i], b[:, j])]
            correlation = (weights * a[:, i] * b[:, j]).sum() / np.sqrt(scale[0] * scale[1])
            total += (1 - correlation) ** 2 if i == j else off_diagonal * correlation**2
    return total


def vicreg(a: np.ndarray, b: np.ndarray, weights: np.ndarray, coefficients: tuple[float, float, float]) -> float:
    """Bardes et al. 2022, equations 1 to 6; the published code divides s by d and v by two."""
    n, d = a.shape
    s = sum(w * ((x - y) ** 2).sum() for w, x, y in zip(weights, a, b, strict=True)) / n
    v = [np.maximum(0, 1 - np.sqrt(z.var(axis=0, ddof=1) + 1e-4)).sum() / d for z in (a, b)]
    squares = [np.cov(z.T) ** 2 for z in (a, b)]
    c = [(of_z.sum() - np.trace(of_z)) / d for of_z in squares]
    return coefficients[0] * s / d + coefficients[1] * sum(v) / 2 + coefficients[2] * sum(c)


@pytest.mark.parametrize("weights", [EQUAL, SOME], ids=["equal", "some"])
def test_are_the_papers_formulas(weights: np.ndarray) -> None:
    a, b = projections()
    assert value(SimCLR(), a, b, weights) == pytest.approx(nt_xent(a, b, weights, 0.1), rel=1e-12)
    assert value(SimCLR(0.5), a, b, weights) == pytest.approx(nt_xent(a, b, weights, 0.5), rel=1e-12)
    assert value(BarlowTwins(), a, b, weights) == pytest.approx(barlow_twins(a, b, weights, 0.005), rel=1e-12)
    assert value(BarlowTwins(0.1), a, b, weights) == pytest.approx(barlow_twins(a, b, weights, 0.1), rel=1e-12)
    assert value(VICReg(), a, b, weights) == pytest.approx(vicreg(a, b, weights, (25, 25, 1)), rel=1e-12)
    small = a / 10, b / 10  # where the hinge is at work
    assert value(VICReg(8, 5, 2), *small, weights) == pytest.approx(vicreg(*small, weights, (8, 5, 2)), rel=1e-12)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_those_of_finite_differences(name: str) -> None:
    a, b = (torch.from_numpy(z).requires_grad_() for z in projections())
    assert torch.autograd.gradcheck(lambda x, y: LOSSES[name]()(x, y, torch.from_numpy(SOME)), (a, b))


def test_what_far_pairs_weigh() -> None:
    a, b = projections()
    b[0] += 3  # one pair that disagrees
    without = np.where(np.arange(N) == 0, 1e-3, 1.0)
    for name, loss in LOSSES.items():
        assert value(loss(), a, b, without) < value(loss(), a, b, EQUAL), name
    # With a weight of almost 0 a pair is hardly there for Barlow Twins.
    assert value(BarlowTwins(), a, b, np.where(np.arange(N) == 0, 1e-12, 1.0)) == pytest.approx(
        value(BarlowTwins(), a[1:], b[1:], EQUAL[1:]), rel=1e-6
    )


def test_barlow_twins_of_equal_and_independent_components_is_nothing() -> None:
    columns = np.column_stack([np.ones(64), np.random.default_rng(0).normal(size=(64, 9))])
    a = 1e3 * np.linalg.qr(columns)[0][:, 1:]  # at right angles to each other and to a mean
    assert value(BarlowTwins(), a, a, np.ones(64)) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_half_precision_is_computed_in_single(name: str) -> None:
    a, b = (torch.from_numpy(z).to(torch.bfloat16) for z in projections())
    weights = torch.from_numpy(SOME).to(torch.bfloat16)
    exact = LOSSES[name]()(a.double(), b.double(), weights.double())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = LOSSES[name]()(a, b, weights)
    assert loss.dtype == torch.float32
    assert float(loss) == pytest.approx(float(exact), rel=1e-4)


@pytest.mark.parametrize("name", LOSSES)
def test_collapsed_views_give_a_finite_gradient(name: str) -> None:
    a, b = (torch.zeros(4, 3, requires_grad=True) for _ in range(2))
    LOSSES[name]()(a, b, torch.ones(4)).backward()
    assert bool(torch.isfinite(a.grad).all())


def test_what_cannot_be_computed_is_refused() -> None:
    a = torch.zeros(3, 2)
    for name, loss in LOSSES.items():
        assert loss.name == name
        assert len(loss.projector) >= 2
        with pytest.raises(UsageError, match="at least two pairs"):
            loss()(a[:1], a[:1], torch.ones(1))
        with pytest.raises(UsageError, match="weights"):
            loss()(a, a, torch.ones(2))
        with pytest.raises(UsageError, match="weights"):
            loss()(a, a[:2], torch.ones(3))
    for wrong in (lambda: SimCLR(0), lambda: BarlowTwins(-1), lambda: VICReg(invariance=float("nan"))):
        with pytest.raises(UsageError, match="above 0"):
            wrong()


def test_alone_nothing_is_gathered() -> None:
    tensor = torch.zeros(2)
    assert gather(tensor) is tensor


def _share(rank: int, folder: str) -> None:
    """One of two processes: losses of its half and the gradients of a shared layer, averaged as DDP does."""
    torch.set_num_threads(1)
    try:
        torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/init", rank=rank, world_size=2)
    except RuntimeError as error:
        Path(folder, "no-gloo").write_text(str(error))
        return
    a, b = (torch.from_numpy(z[rank * 4 : rank * 4 + 4]) for z in projections(8))
    weights = torch.from_numpy(np.linspace(0.3, 1, 8)[rank * 4 : rank * 4 + 4])
    results = {}
    for name, loss in LOSSES.items():
        layer = torch.from_numpy(np.random.default_rng(1).normal(size=(DIM, DIM))).requires_grad_()
        of_batch = loss()(a @ layer, b @ layer, weights)
        of_batch.backward()
        torch.distributed.all_reduce(layer.grad)
        results[name] = of_batch.detach().numpy()
        results[f"{name}-gradient"] = layer.grad.numpy() / 2
    np.savez(Path(folder, f"{rank}.npz"), **results)
    torch.distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_are_one(tmp_path: Path) -> None:
    if not torch.distributed.is_available() or not torch.distributed.is_gloo_available():
        pytest.skip("this torch has no gloo")
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    torch.multiprocessing.start_processes(_share, args=(str(tmp_path),), nprocs=2, start_method="spawn")
    if (tmp_path / "no-gloo").exists():
        pytest.skip(f"gloo does not start here: {(tmp_path / 'no-gloo').read_text()}")
    a, b = (torch.from_numpy(z) for z in projections(8))
    weights = torch.from_numpy(np.linspace(0.3, 1, 8))
    for rank in range(2):
        with np.load(tmp_path / f"{rank}.npz") as found:
            for name, loss in LOSSES.items():
                layer = torch.from_numpy(np.random.default_rng(1).normal(size=(DIM, DIM))).requires_grad_()
                alone = loss()(a @ layer, b @ layer, weights)
                alone.backward()
                assert float(found[name]) == pytest.approx(float(alone.detach()), rel=1e-12)
                np.testing.assert_allclose(found[f"{name}-gradient"], layer.grad.numpy(), rtol=1e-9, atol=1e-12)
