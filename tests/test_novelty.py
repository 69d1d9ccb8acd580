"""Novelty is about 1 for what training was like, large for what it was not, and survives its file exactly."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from lusfx.errors import TaskModelError, TrainingRefusedError
from lusfx.novelty import LAYOUT, Novelty, familiar_limit, fit_novelty
from lusfx.tensors import tensors_to_bytes

DIM = 48


def like_training(n: int, seed: int, dim: int = DIM) -> np.ndarray:
    """Embeddings of a few strong directions and some noise, on scales that differ a thousandfold."""
    generator = np.random.default_rng(seed)
    mixing = np.random.default_rng(99).normal(size=(5, dim))
    scale = np.random.default_rng(98).uniform(0.01, 10, dim)
    drawn = generator.normal(size=(n, 5)) @ mixing + 0.7 * generator.normal(size=(n, dim))
    return ((drawn + 3) * scale).astype(np.float32)


def patients(n_rows: int, n_patients: int) -> np.ndarray:
    return np.array([f"p-{i % n_patients:03}" for i in range(n_rows)])


def root_mean_square(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return fit_novelty(like_training(600, 0), patients(600, 300))


def test_what_is_like_training_lies_at_about_1(novelty: Novelty) -> None:
    distances = novelty.distance(like_training(2000, 1))
    assert root_mean_square(distances) == pytest.approx(1, abs=0.05)
    assert np.quantile(distances, 0.99) < 1.5


def test_what_is_unlike_training_lies_far(novelty: Novelty) -> None:
    known = like_training(100, 1)
    limit = familiar_limit(novelty.distance(like_training(2000, 2)), 0.99)
    shuffled = known[:, ::-1]  # each value is one that embeddings have, in another dimension
    assert (novelty.distance(shuffled) > limit).all()
    assert (novelty.distance(known + 10 * known.std(axis=0)) > limit).all()


def test_a_direction_in_which_training_did_not_vary_tells_more_than_one_in_which_it_did(novelty: Novelty) -> None:
    """What a distance of each dimension by itself could not see."""
    along = novelty.components[0]
    beside = np.random.default_rng(0).normal(size=DIM)
    beside -= novelty.components.T @ (novelty.components @ beside)
    beside /= np.linalg.norm(beside)
    step = 6 * np.stack([along, beside]) / novelty.inverse_std
    near, far = novelty.distance(novelty.mean + step)
    assert far > 3 * near


def test_components_are_orthonormal_and_the_variances_are_those_along_them() -> None:
    embeddings = like_training(500, 0)
    novelty = fit_novelty(embeddings, patients(500, 500))
    assert novelty.components.shape == (32, DIM)
    assert novelty.components @ novelty.components.T == pytest.approx(np.eye(32), abs=1e-12)
    standard = (embeddings - novelty.mean) * novelty.inverse_std
    assert standard.var(axis=0) == pytest.approx(np.ones(DIM))
    assert (standard @ novelty.components.T).var(axis=0) == pytest.approx(novelty.variances)
    assert novelty.variances.sum() + novelty.residual_variance * (DIM - 32) == pytest.approx(DIM)


def test_it_agrees_with_scikit_learn() -> None:
    """Its PCA is Tipping and Bishop's: the log likelihood is the distance but for a constant."""
    from sklearn.decomposition import PCA

    embeddings, others = like_training(100, 0), like_training(50, 1).astype(np.float64)
    novelty = fit_novelty(embeddings, patients(100, 20))
    n_components = len(novelty.variances)
    assert n_components == 5
    reference = PCA(n_components, svd_solver="full").fit((embeddings - novelty.mean) * novelty.inverse_std)
    # scikit-learn divides by n - 1.
    squared = -2 * reference.score_samples((others - novelty.mean) * novelty.inverse_std) * 100 / 99
    assert np.diff(novelty.distance(others) ** 2 * DIM * 99 / 100) == pytest.approx(np.diff(squared * 99 / 100))


def test_the_number_of_components_follows_the_patients_and_not_the_rows() -> None:
    for n_patients, n_components in ((2, 1), (7, 1), (8, 2), (40, 10), (200, 32)):
        fit = fit_novelty(like_training(400, 0), patients(400, n_patients))
        assert fit.components.shape == (n_components, DIM)


def test_both_ways_to_the_components_lead_to_the_same() -> None:
    """With fewer rows than dimensions the products of rows are taken, else those of dimensions."""
    few = like_training(DIM, 0)
    by_rows = fit_novelty(few, patients(DIM, DIM))
    by_dimensions = fit_novelty(np.repeat(few, 2, axis=0), np.repeat(patients(DIM, DIM), 2))
    others = like_training(50, 1)
    assert by_rows.distance(others) == pytest.approx(by_dimensions.distance(others), rel=1e-9)


def test_many_rows_are_measured_in_blocks_to_the_same_result() -> None:
    """10,000 rows are three blocks; numpy's own figures take them at once."""
    embeddings = like_training(10_000, 0)
    fit = fit_novelty(embeddings, patients(10_000, 10_000))
    assert fit.mean == pytest.approx(embeddings.mean(axis=0, dtype=np.float64))
    assert 1 / fit.inverse_std == pytest.approx(embeddings.std(axis=0, dtype=np.float64))
    standard = (embeddings - fit.mean) * fit.inverse_std
    assert fit.variances == pytest.approx(np.linalg.eigvalsh(np.cov(standard.T, bias=True))[::-1][:32])
    assert root_mean_square(fit.distance(embeddings)) == pytest.approx(1)


def test_each_patient_counts_alike() -> None:
    """A thousand clips of one patient are no thousand patients."""
    embeddings = like_training(40, 0)
    copies = np.concatenate([np.full(1000, 0), np.arange(1, 40)])
    once = fit_novelty(embeddings, patients(40, 40))
    often = fit_novelty(embeddings[copies], patients(40, 40)[copies])
    others = like_training(50, 1)
    assert often.distance(others) == pytest.approx(once.distance(others), rel=1e-6)


def test_the_order_of_rows_and_the_names_of_patients_do_not_matter() -> None:
    embeddings, groups = like_training(120, 0), patients(120, 40)
    order = np.random.default_rng(1).permutation(120)
    renamed = np.array([key[::-1] for key in groups])
    others = like_training(50, 1)
    distances = fit_novelty(embeddings, groups).distance(others)
    assert fit_novelty(embeddings[order], renamed[order]).distance(others) == pytest.approx(distances, rel=1e-9)


def test_the_same_rows_give_the_same_file() -> None:
    one, other = (fit_novelty(like_training(60, 0), patients(60, 30)).to_bytes() for _ in range(2))
    assert one == other


def test_distances_do_not_depend_on_the_batch(novelty: Novelty) -> None:
    embeddings = like_training(300, 1)
    together = novelty.distance(embeddings)
    apart = [novelty.distance(embeddings[[i]])[0] for i in range(300)]
    assert together == pytest.approx(np.array(apart), rel=1e-12)
    assert novelty.distance(embeddings[:0]).shape == (0,)


def test_distances_within_a_small_training_set_are_too_small() -> None:
    """Why the limit is taken from out-of-fold distances: it would turn away most who are like all others."""
    dim = 400
    fit = fit_novelty(like_training(40, 0, dim), patients(40, 40))
    own, others = fit.distance(like_training(40, 0, dim)), fit.distance(like_training(500, 1, dim))
    assert root_mean_square(own) == pytest.approx(1)
    assert np.median(others) > np.quantile(own, 0.95)
    own_limit, limit = familiar_limit(own, 0.95), familiar_limit(others[:200], 0.95)
    assert (others[200:] <= own_limit).mean() < 0.5
    assert (others[200:] <= limit).mean() == pytest.approx(0.95, abs=0.04)


def test_two_rows_are_enough() -> None:
    embeddings = like_training(2, 0)
    fit = fit_novelty(embeddings, np.array(["a", "b"]))
    assert fit.components.shape == (1, DIM)
    assert fit.distance(embeddings)[0] == pytest.approx(fit.distance(embeddings)[1])
    assert np.isfinite(fit.distance(like_training(50, 1))).all()


def test_rows_of_one_patient_alone_are_measured() -> None:
    fit = fit_novelty(like_training(30, 0), np.full(30, "a"))
    assert np.isfinite(fit.distance(like_training(5, 1))).all()


def test_copies_of_few_points_are_measured() -> None:
    embeddings = np.repeat(like_training(3, 0), 20, axis=0)
    fit = fit_novelty(embeddings, patients(60, 60))
    assert len(fit.variances) == 2
    assert (fit.variances > 0).all()
    assert np.isfinite(fit.distance(like_training(50, 1))).all()


def test_dimensions_that_never_vary_are_ignored() -> None:
    embeddings = like_training(100, 0)
    embeddings[:, 7] = 1000.1
    embeddings[:, 9] = 0
    fit = fit_novelty(embeddings, patients(100, 100))
    assert fit.inverse_std[[7, 9]].tolist() == [0, 0]
    other = like_training(3, 1)
    moved = other.copy()
    moved[:, [7, 9]] += 50
    assert fit.distance(moved) == pytest.approx(fit.distance(other))
    kept = [i for i in range(DIM) if i not in (7, 9)]
    without = fit_novelty(embeddings[:, kept], patients(100, 100))
    assert without.distance(other[:, kept]) == pytest.approx(fit.distance(other))


def test_one_dimension_is_measured() -> None:
    fit = fit_novelty(np.array([[1.0], [3.0]], np.float32), np.array(["a", "b"]))
    assert fit.distance(np.array([[2.0], [3.0], [4.0]])) == pytest.approx([0, 1, 2])


def test_embeddings_that_are_all_alike_are_refused() -> None:
    with pytest.raises(TrainingRefusedError, match="all alike"):
        fit_novelty(np.ones((10, 4), np.float32), patients(10, 10))


def test_embeddings_that_are_not_finite_are_refused() -> None:
    for bad in (np.nan, np.inf):
        embeddings = like_training(10, 0)
        embeddings[3, 4] = bad
        with pytest.raises(TrainingRefusedError, match="finite"):
            fit_novelty(embeddings, patients(10, 10))
    with pytest.raises(TrainingRefusedError):
        fit_novelty(np.empty((0, 4), np.float32), patients(0, 1))


def test_arrays_that_do_not_fit_each_other_are_refused(novelty: Novelty) -> None:
    with pytest.raises(ValueError, match="9 patient keys"):
        fit_novelty(like_training(10, 0), patients(9, 9))
    with pytest.raises(TaskModelError, match=r"\(n, 48\), and was given \(3, 7\)"):
        novelty.distance(np.ones((3, 7)))


def test_the_limit_lets_the_asked_share_pass_and_no_more() -> None:
    distances = np.random.default_rng(0).permutation(np.arange(1.0, 21.0))
    assert familiar_limit(distances, 0.95) == 19
    assert familiar_limit(distances, 0.94) == 19
    assert familiar_limit(distances, 0.5) == 10
    assert familiar_limit(distances, 1.0) == 20
    assert familiar_limit(np.array([2.0]), 0.9) == 2


def test_no_limit_is_taken_from_nothing() -> None:
    for distances in (np.empty(0), np.array([1.0, np.nan])):
        with pytest.raises(TrainingRefusedError, match="distances"):
            familiar_limit(distances, 0.95)


def test_the_file_brings_back_exactly_what_was_kept(novelty: Novelty) -> None:
    content = novelty.to_bytes()
    back = Novelty.from_bytes(content, DIM)
    others = like_training(20, 1)
    assert back.distance(others).tolist() == novelty.distance(others).tolist()
    assert back.to_bytes() == content


def sound() -> dict[str, np.ndarray]:
    return {
        "mean": np.zeros(3),
        "inverse_std": np.ones(3),
        "components": np.eye(3)[:2],
        "variances": np.array([2.0, 1.0]),
        "residual_variance": np.array([0.5]),
    }


def test_a_sound_file_is_read() -> None:
    assert Novelty.from_bytes(tensors_to_bytes(LAYOUT, sound()), 3).distance(np.zeros((1, 3))).tolist() == [0]


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("mean", np.zeros(4)),
        ("mean", np.full(3, np.nan)),
        ("inverse_std", np.ones(2)),
        ("inverse_std", -np.ones(3)),
        ("inverse_std", np.zeros(3)),
        ("components", np.eye(3)),
        ("components", np.eye(2)),
        ("components", np.ones((2, 3))),
        ("components", np.full((2, 3), 1e300)),
        ("variances", np.array([1.0, 0.0])),
        ("variances", np.array([1.0, -1.0])),
        ("variances", np.ones((2, 1))),
        ("variances", np.empty(0)),
        ("residual_variance", np.array([0.0])),
        ("residual_variance", np.array([-1.0])),
        ("residual_variance", np.array([np.inf])),
        ("residual_variance", np.ones(2)),
        ("more", np.ones(2)),
    ],
)
def test_a_bad_file_is_refused(name: str, array: np.ndarray) -> None:
    with pytest.raises(TaskModelError, match=r"novelty\.safetensors"):
        Novelty.from_bytes(tensors_to_bytes(LAYOUT, sound() | {name: array}), 3)


def test_more_components_than_dimensions_are_refused() -> None:
    wide = sound() | {"components": np.zeros((4, 3)), "variances": np.ones(4)}
    with pytest.raises(TaskModelError, match="more components than dimensions"):
        Novelty.from_bytes(tensors_to_bytes(LAYOUT, wide), 3)


def test_a_damaged_file_and_one_for_other_embeddings_are_refused(novelty: Novelty) -> None:
    for content in (b"", b"junk" * 100, novelty.to_bytes()[:-9], tensors_to_bytes("novelty/2", sound())):
        with pytest.raises(TaskModelError, match=r"novelty\.safetensors"):
            Novelty.from_bytes(content, DIM)
    with pytest.raises(TaskModelError, match="shape"):
        Novelty.from_bytes(novelty.to_bytes(), DIM + 1)


def test_distances_are_served_by_numpy_alone() -> None:
    code = (
        "import sys, numpy as np\n"
        "from lusfx.novelty import Novelty\n"
        "Novelty(np.zeros(2), np.ones(2), np.eye(2)[:1], np.ones(1), 1.0).distance(np.ones((1, 2)))\n"
        "assert not {'sklearn', 'scipy'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
