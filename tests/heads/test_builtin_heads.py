"""What every built-in head must do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from lusfx.contracts import Head, HeadSpec, TrainingSet
from lusfx.errors import MissingExtraError, TaskModelError, TrainingRefusedError
from lusfx.heads import lusfx_register_heads

SPECS = {spec.name: spec for spec in lusfx_register_heads()}


@pytest.fixture(params=sorted(SPECS))
def spec(request: pytest.FixtureRequest) -> HeadSpec:
    found: HeadSpec = SPECS[request.param]
    return found


@pytest.fixture(scope="module")
def fitted(make_training: Callable[..., TrainingSet]) -> dict[str, Head]:
    """Each head, trained once on the same rows."""
    return {name: spec.fit(make_training(), spec.settings(), seed=3) for name, spec in SPECS.items()}


def ranked_above(probabilities: np.ndarray, targets: np.ndarray) -> float:
    """Area under the ROC curve: how often a row of class 1 has the higher probability."""
    positive, negative = probabilities[targets == 1], probabilities[targets == 0]
    return float((positive[:, None] > negative).mean() + 0.5 * (positive[:, None] == negative).mean())


def test_names_are_those_of_the_documentation() -> None:
    assert sorted(SPECS) == ["lightgbm", "logistic", "mlp"]
    assert all(spec.summary for spec in SPECS.values())


def test_learns_what_can_be_learnt(spec, fitted, make_training) -> None:
    unseen = make_training(seed=1)
    probabilities = fitted[spec.name].predict_proba(unseen.features)
    assert ranked_above(probabilities[:, 1], unseen.targets) > 0.9


def test_finds_nothing_where_there_is_nothing(spec, make_training) -> None:
    head = spec.fit(make_training(separation=0.0), spec.settings(), seed=0)
    unseen = make_training(separation=0.0, seed=1, n_rows=600)
    assert 0.4 < ranked_above(head.predict_proba(unseen.features)[:, 1], unseen.targets) < 0.6


def test_gives_probabilities(spec, fitted, make_training) -> None:
    features = make_training(seed=2).features
    extreme = np.concatenate([features, features * 1e6, -features * 1e6, np.zeros_like(features[:1])])
    probabilities = fitted[spec.name].predict_proba(extreme)
    assert probabilities.shape == (len(extreme), 2)
    assert probabilities.dtype == np.float64
    assert ((probabilities >= 0) & (probabilities <= 1)).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


def test_probabilities_follow_the_base_rate(spec, make_training) -> None:
    training = make_training(n_rows=1200, positives=0.2)
    head = spec.fit(training, spec.settings(), seed=0)
    mean = head.predict_proba(make_training(n_rows=1200, positives=0.2, seed=1).features)[:, 1].mean()
    assert 0.12 < mean < 0.28


def test_a_row_does_not_depend_on_the_others(spec, fitted, make_training) -> None:
    features = make_training(seed=4, n_rows=50).features
    together = fitted[spec.name].predict_proba(features)
    alone = np.concatenate([fitted[spec.name].predict_proba(row[None]) for row in features])
    np.testing.assert_allclose(alone, together, rtol=0, atol=1e-12)
    turned = fitted[spec.name].predict_proba(np.asfortranarray(features)[::-1])[::-1]
    np.testing.assert_allclose(turned, together, rtol=0, atol=1e-12)


def test_scores_more_rows_than_a_block_and_none(spec, fitted, make_training) -> None:
    features = make_training(seed=5, n_rows=60).features
    many = np.tile(features, (100, 1))
    np.testing.assert_allclose(
        fitted[spec.name].predict_proba(many), np.tile(fitted[spec.name].predict_proba(features), (100, 1)), atol=1e-12
    )
    assert fitted[spec.name].predict_proba(features[:0]).shape == (0, 2)


def test_refuses_rows_of_another_length(spec, fitted, make_training) -> None:
    features = make_training().features
    with pytest.raises(TaskModelError, match=r"\(n, 40\)"):
        fitted[spec.name].predict_proba(features[:, :39])
    with pytest.raises(TaskModelError):
        fitted[spec.name].predict_proba(features[0])


def test_same_seed_same_head(spec, fitted, make_training, tmp_path: Path) -> None:
    again = spec.fit(make_training(), spec.settings(), seed=3)
    for name, head in (("first", fitted[spec.name]), ("again", again)):
        (tmp_path / name).mkdir()
        head.save(tmp_path / name)
    (first,), (second,) = ((list((tmp_path / name).iterdir())) for name in ("first", "again"))
    assert first.name == second.name
    assert first.read_bytes() == second.read_bytes()


def test_the_seed_reaches_what_is_random(make_training) -> None:
    training = make_training(separation=0.5)
    for name in ("mlp", "lightgbm"):
        scores = [SPECS[name].fit(training, SPECS[name].settings(), s).predict_proba(training.features) for s in (0, 1)]
        assert not np.array_equal(*scores), name


def test_training_leaves_the_callers_random_state_alone(spec, make_training) -> None:
    import torch

    np.random.seed(0)
    before = np.random.get_state()[1].copy(), torch.get_rng_state(), torch.get_num_threads()
    spec.fit(make_training(n_rows=60), spec.settings(), seed=11)
    assert np.array_equal(np.random.get_state()[1], before[0])
    assert torch.equal(torch.get_rng_state(), before[1])
    assert torch.get_num_threads() == before[2]


def test_a_loaded_head_gives_the_same_scores(spec, fitted, make_training, tmp_path: Path) -> None:
    fitted[spec.name].save(tmp_path)
    features = make_training(seed=6).features
    loaded = SPECS[spec.name].load(tmp_path)
    assert np.array_equal(loaded.predict_proba(features), fitted[spec.name].predict_proba(features))
    second = tmp_path / "second"
    second.mkdir()
    loaded.save(second)
    (file,) = second.iterdir()
    assert file.read_bytes() == (tmp_path / file.name).read_bytes()


def test_a_fresh_process_without_torch_gives_the_same_scores(
    spec, fitted, make_training, tmp_path: Path, run_without_torch
) -> None:
    fitted[spec.name].save(tmp_path)
    features = make_training(seed=7).features
    np.save(tmp_path / "features.npy", features)
    run_without_torch(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from lusfx.heads import lusfx_register_heads\n"
        f"(spec,) = [spec for spec in lusfx_register_heads() if spec.name == {spec.name!r}]\n"
        "np.save('scores.npy', spec.load(Path('.')).predict_proba(np.load('features.npy')))\n",
        tmp_path,
    )
    expected = fitted[spec.name].predict_proba(features)
    np.testing.assert_allclose(np.load(tmp_path / "scores.npy"), expected, rtol=0, atol=1e-6)


def test_loading_and_registering_imports_nothing_heavy(fitted, tmp_path: Path) -> None:
    for name, head in fitted.items():
        (tmp_path / name).mkdir()
        head.save(tmp_path / name)
    code = (
        "import sys; from pathlib import Path; from lusfx.heads import lusfx_register_heads\n"
        f"heads = [spec.load(Path({str(tmp_path)!r}) / spec.name) for spec in lusfx_register_heads()]\n"
        "print(sorted({'torch', 'sklearn', 'lightgbm', 'scipy', 'timm', 'matplotlib'} & set(sys.modules)))"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_constant_features_say_nothing(spec, make_training) -> None:
    training = make_training()
    constant = np.full((len(training.targets), 2), [7.25, 0.0], dtype=np.float32)
    training = replace(training, features=np.concatenate([training.features, constant], axis=1))
    head = spec.fit(training, spec.settings(), seed=0)
    changed = training.features.copy()
    changed[:, -2:] = 1e4
    assert np.array_equal(head.predict_proba(changed), head.predict_proba(training.features))


def test_all_features_constant_gives_the_base_rate(spec, make_training) -> None:
    training = make_training(n_rows=120, positives=0.3)
    training = replace(training, features=np.full((120, 5), 0.1, dtype=np.float32))
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)
    assert np.ptp(probabilities[:, 1]) < 1e-12
    assert probabilities[0, 1] == pytest.approx(training.targets.mean(), abs=0.15)


@pytest.mark.parametrize("n_features", [1, 1280])
def test_twenty_rows_are_enough(spec, n_features: int, make_training) -> None:
    training = make_training(n_rows=20, n_features=max(n_features, 3), rows_a_patient=2, seed=8)
    training = replace(training, features=training.features[:, :n_features])
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)[:, 1]
    assert ranked_above(probabilities, training.targets) >= 0.5  # so few rows may teach nothing, but nothing wrong
    assert probabilities.mean() == pytest.approx(training.targets.mean(), abs=0.2)


def test_a_rare_class_is_still_ranked(spec, make_training) -> None:
    training = make_training(n_rows=1000, positives=0.03)
    unseen = make_training(n_rows=1000, positives=0.03, seed=1)
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(unseen.features)
    assert ranked_above(probabilities[:, 1], unseen.targets) > 0.85


@pytest.mark.parametrize("name", ["logistic", "lightgbm"])
def test_balanced_weights_raise_a_rare_class(name: str, make_training) -> None:
    training = make_training(n_rows=600, positives=0.1)
    plain, balanced = (
        SPECS[name].fit(training, SPECS[name].settings(class_weight=weight), 0).predict_proba(training.features)[:, 1]
        for weight in ("none", "balanced")
    )
    assert balanced.mean() > plain.mean() + 0.05


def test_wide_and_few_is_quick_and_silent(spec, make_training) -> None:
    """The usual case, 236 clips and two statistics of 1,280 features; warnings are errors here."""
    training = make_training(n_rows=236, n_features=2560)
    probabilities = spec.fit(training, spec.settings(), seed=0).predict_proba(training.features)
    assert ranked_above(probabilities[:, 1], training.targets) > 0.8


@pytest.mark.parametrize(
    "broken",
    [
        lambda t: replace(t, features=t.features[:-1]),
        lambda t: replace(t, groups=t.groups[:-1]),
        lambda t: replace(t, features=t.features[:, 0]),
        lambda t: replace(t, features=t.features[:, :0]),
        lambda t: replace(t, features=np.where(np.eye(len(t.targets), 40) > 0, np.nan, t.features)),
        lambda t: replace(t, features=np.where(np.eye(len(t.targets), 40) > 0, np.inf, t.features)),
        lambda t: replace(t, targets=np.zeros_like(t.targets)),
        lambda t: replace(t, targets=t.targets + 1),
        lambda t: replace(t, targets=t.targets * np.arange(len(t.targets))),
        lambda t: TrainingSet(t.features[:0], t.targets[:0], t.groups[:0]),
    ],
)
def test_refuses_rows_that_cannot_be_learnt_from(spec, broken, make_training) -> None:
    with pytest.raises(TrainingRefusedError):
        spec.fit(broken(make_training(n_rows=60)), spec.settings(), seed=0)


def test_refuses_settings_that_make_no_sense(spec) -> None:
    with pytest.raises(ValidationError):
        spec.settings(no_such_setting=1)
    nonsense = {
        "logistic": [{"logit_variance": 0}, {"logit_variance": float("inf")}, {"class_weight": "heavy"}],
        "mlp": [{"hidden": 0}, {"dropout": 1.0}, {"hold_out_one_in": 1}, {"learning_rate": -1}],
        "lightgbm": [{"rounds": 0}, {"num_leaves": 1}, {"feature_fraction": 0}, {"learning_rate": float("nan")}],
    }
    for values in nonsense[spec.name]:
        with pytest.raises(ValidationError):
            spec.settings(**values)


def test_settings_of_another_head_are_refused(spec, make_training) -> None:
    other = SPECS["mlp" if spec.name != "mlp" else "lightgbm"].settings()
    with pytest.raises(ValidationError):
        spec.fit(make_training(n_rows=60), other, seed=0)


def test_an_mlp_without_torch_says_what_to_install(make_training, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"training an MLP head needs the extra 'train'.*lusfx\[train\]"):
        SPECS["mlp"].fit(make_training(n_rows=60), SPECS["mlp"].settings(), seed=0)
