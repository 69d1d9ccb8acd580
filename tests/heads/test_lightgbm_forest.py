"""LightGBM's text is proved to be trees before LightGBM sees it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lusfx.errors import TaskModelError
from lusfx.heads.forest import Forest, Tree
from lusfx.heads.lightgbm import FOREST_FILE, LightGbmHead, LightGbmHeadSpec, LightGbmSettings

SETTINGS = LightGbmSettings(rounds=12, min_data_in_leaf=4, feature_fraction=0.5, num_leaves=6, lambda_l2=1.0)


@pytest.fixture(scope="module")
def head(make_training) -> LightGbmHead:
    return LightGbmHeadSpec().fit(make_training(n_rows=120, n_features=8), SETTINGS, seed=0)


@pytest.fixture(scope="module")
def text(head: LightGbmHead) -> str:
    return head._forest.text()


def walk(tree: Tree, row: np.ndarray) -> float:
    """The leaf that a row reaches, by the format's own words."""
    if not tree.split_feature:
        return tree.leaf_value[0]
    node = 0
    while node >= 0:
        left = row[tree.split_feature[node]] <= tree.threshold[node]
        node = (tree.left_child if left else tree.right_child)[node]
    return tree.leaf_value[~node]


def refused(text: str) -> str:
    with pytest.raises(TaskModelError) as error:
        Forest.parse(text)
    return str(error.value)


def test_the_text_is_read_back_as_the_same_trees(text: str, head: LightGbmHead) -> None:
    assert Forest.parse(text) == head._forest
    assert len(head._forest.trees) == 12
    assert any(len(tree.leaf_value) > 2 for tree in head._forest.trees)


def test_lightgbm_sums_the_trees_that_we_read(head: LightGbmHead, make_training) -> None:
    features = make_training(n_rows=50, n_features=8, seed=1).features
    log_odds = np.array([sum(walk(tree, row.astype(np.float64)) for tree in head._forest.trees) for row in features])
    np.testing.assert_allclose(head.predict_proba(features)[:, 1], 1 / (1 + np.exp(-log_odds)), rtol=1e-12)


def test_what_we_leave_out_changes_no_score(make_training) -> None:
    import lightgbm

    training = make_training(n_rows=120, n_features=8)
    parameters = {"objective": "binary", "verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5, "num_leaves": 9}
    booster = lightgbm.train(parameters, lightgbm.Dataset(training.features, training.targets), 20)
    head = LightGbmHead(Forest.of_trained(booster.model_to_string()))
    assert np.array_equal(head.predict_proba(training.features)[:, 1], booster.predict(training.features))


def test_the_file_tells_nothing_of_the_rows(text: str) -> None:
    """LightGBM's own files hold each feature's smallest and largest value."""
    assert "feature_infos=none none none none none none none none\n" in text
    assert "[" not in text
    assert "leaf_count" not in text


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"left_child": (0, -2)}, "tree"),  # a node that is its own child
        ({"left_child": (1, 0)}, "tree"),  # a way back to the root
        ({"left_child": (-1, -2)}, "tree"),  # a leaf twice, a node never
        ({"left_child": (1, 7)}, "tree"),
        ({"left_child": (1, -9)}, "tree"),
        ({"right_child": (-3,)}, "array lengths"),
        ({"right_child": (-3, -2, -1)}, "array lengths"),
        ({"split_feature": (0, 8)}, "feature that there is not"),
        ({"split_feature": (-1, 0)}, "feature that there is not"),
        ({"threshold": (float("nan"), 0.0)}, "threshold is not finite"),
        ({"threshold": (float("inf"), 0.0)}, "threshold is not finite"),
        ({"decision_type": (2, 1)}, "not numerical"),
        ({"decision_type": (2, 10)}, "not numerical"),
        ({"leaf_value": (0.0, float("nan"), 0.0)}, "leaf value"),
        ({"leaf_value": (0.0, float("-inf"), 0.0)}, "leaf value"),
        ({"leaf_value": (0.0, 1e7, 0.0)}, "leaf value"),
        ({"leaf_value": (0.0, 0.0)}, "array lengths"),
        ({"leaf_value": ()}, "array lengths"),
    ],
)
def test_refuses_what_is_no_tree(change: dict[str, tuple[float, ...]], complaint: str) -> None:
    sound = Tree((0, 7), (0.5, -1.5), (2, 0), (1, -1), (-3, -2), (0.1, 0.2, -0.3))
    assert Forest.parse(Forest(8, (sound,)).text()).trees == (sound,)
    assert complaint in refused(Forest(8, (replace(sound, **change),)).text())


def test_refuses_a_cycle_that_the_root_cannot_reach() -> None:
    """Each child stands once, yet nodes 1 and 2 only reach each other."""
    tree = Tree((0, 0, 0), (0.0,) * 3, (2,) * 3, (-1, 2, 1), (-2, -3, -4), (0.0,) * 4)
    assert "do not form a tree" in refused(Forest(1, (tree,)).text())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version=v4", "version=v3"),
        ("num_class=1", "num_class=3"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2"),
        ("objective=binary sigmoid:1", "objective=regression"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:-1"),
        ("max_feature_idx=7", "max_feature_idx=-1"),
        ("max_feature_idx=7", "max_feature_idx=99999999999"),
        ("max_feature_idx=7", "max_feature_idx=7 7"),
        ("max_feature_idx=7", "max_feature_idx=8"),
        ("feature_infos=none", "feature_infos=[0:1]"),
        ("tree_sizes=", "tree_sizes=1"),
        ("num_cat=0", "num_cat=1"),
        ("num_cat=0", "num_cat=0\nis_linear=1"),
        ("num_cat=0", "num_cat=0\nshrinkage=1e300"),
        ("num_leaves=", "num_leaves=1"),
        ("decision_type=2", "decision_type=٢"),  # a digit, but not one of ASCII
        ("decision_type=2", "decision_type=+2"),
        ("Tree=1\n", "Tree=2\n"),
        ("tree\n", "tree\naverage_output\n"),
        ("end of trees\n", "end of trees\n\nparameters:\n[boosting: dart]\nend of parameters\n"),
        ("end of trees\n", ""),
        ("threshold=", "threshold=0x"),
        ("leaf_value=", "leaf_value=1_0"),
    ],
)
def test_refuses_text_that_we_do_not_write(text: str, old: str, new: str) -> None:
    assert old in text
    assert "LightGBM model is invalid" in refused(text.replace(old, new, 1))


def test_no_message_repeats_what_stands_in_the_file(text: str) -> None:
    assert "DOE^JANE" not in refused(text.replace("threshold=", "threshold=DOE^JANE ", 1))
    assert "DOE^JANE" not in refused(text.replace("tree\n", "DOE^JANE\n", 1))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"tree",
        b"tree\n" * 100_000,
        b"Tree=0\n" * 100_000,
        b"\n" * 1_000_000,
        b"=" * 100_000,
        b"\xff\xfe\x00",
        pickle.dumps({"a": 1}),
        bytes(range(256)) * 100,
    ],
)
def test_refuses_what_is_no_model_at_all(content: bytes) -> None:
    with pytest.raises(TaskModelError):
        LightGbmHeadSpec().load({FOREST_FILE: content})


def test_refuses_a_digit_string_of_any_length(text: str) -> None:
    refused(text.replace("split_feature=", "split_feature=" + "9" * 10_000, 1))
    refused(text.replace("threshold=", "threshold=" + "9" * 10_000, 1))


def test_every_truncation_is_refused(text: str) -> None:
    for length in range(0, len(text), 50):
        refused(text[:length])


@pytest.mark.slow
def test_random_edits_are_refused_or_harmless(text: str, tmp_path: Path, run_without_torch) -> None:
    """An edit that leaves sound trees (another threshold, say) is the digest's to catch; LightGBM must survive it."""
    generator = np.random.default_rng(0)
    accepted: list[str] = []
    any_byte, of_numbers = bytes(range(256)), b"0123456789-.e \n"
    for attempt in range(2000):
        edited = bytearray(text.encode("ascii"))
        letters = of_numbers if attempt % 2 else any_byte
        for _ in range(generator.integers(1, 4)):
            edited[generator.integers(len(edited))] = letters[generator.integers(len(letters))]
        try:
            accepted.append(Forest.parse(edited.decode("latin-1")).text())
        except TaskModelError:
            continue
    assert 10 < len(accepted) < 1500
    for number, model in enumerate(accepted):
        (tmp_path / f"{number}.txt").write_text(model, encoding="ascii")
    answer = run_without_torch(
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from lusfx.heads.forest import Forest\n"
        "from lusfx.heads.lightgbm import LightGbmHead\n"
        "rows = np.random.default_rng(0).normal(10, 5, size=(20, 8)).astype(np.float32)\n"
        "files = sorted(Path('.').glob('*.txt'))\n"
        "for file in files:\n"
        "    scores = LightGbmHead(Forest.parse(file.read_text())).predict_proba(rows)\n"
        "    assert scores.shape == (20, 2) and ((scores >= 0) & (scores <= 1)).all()\n"
        "print(len(files))\n",
        tmp_path,
    )
    assert int(answer) == len(accepted)
