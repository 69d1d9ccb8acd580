"""The trees of a LightGBM model, checked by us before LightGBM sees them.

LightGBM's own loader trusts its input: a truncated file aborts the process, and a child that points nowhere reads foreign
memory. So a text is taken apart here, each tree is proved to be one, and LightGBM is given what we write from the parts.
That text is LightGBM's model format v4, less all that prediction does not need (gains, counts, training parameters, the
range of each feature), with numbers in Python's shortest exact form. There is one text for one forest, and
:meth:`Forest.parse` refuses every other: no byte of a file is passed on that was not understood.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from lusfx.errors import TaskModelError

Number = TypeVar("Number", int, float)

MAX_TEXT_BYTES = 1 << 26
MAX_FEATURES = 1 << 17
MAX_LEAVES = 1 << 12
MAX_TREES = 10_000
MAX_ALL_LEAVES = 1 << 18
"""Of all trees together: a thousand trees of 255, or ten thousand of 26."""
NUMBERS_A_LEAF = 6
LINES_A_TREE = 12
HEADER_LINES = 16
MAX_LEAF_VALUE = 1e6
"""Far above any log odds that training yields, and a sum over all trees of it is still finite."""

NUMERICAL_SPLITS = frozenset({0, 2})
"""Decision types: numerical, nothing missing, default right (0) or left (2). Bit 0 would be a categorical split."""

HEADER: Mapping[str, str] = {
    "version": "v4",
    "num_class": "1",
    "num_tree_per_iteration": "1",
    "label_index": "0",
    "objective": "binary sigmoid:1",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree. Node ``i`` has children ``left_child[i]`` and ``right_child[i]``; a child ``c < 0`` is leaf ``~c``.

    Rows go left where ``feature <= threshold``. A tree of one leaf has no nodes.
    """

    split_feature: tuple[int, ...]
    threshold: tuple[float, ...]
    decision_type: tuple[int, ...]
    left_child: tuple[int, ...]
    right_child: tuple[int, ...]
    leaf_value: tuple[float, ...]

    @classmethod
    def read(cls, fields: Mapping[str, str]) -> Tree:
        """Take the parts from a block's ``key=value`` lines.

        :raises KeyError: if one is missing.
        :raises ValueError: if one is not made of numbers, or the tree is of a kind that we never train.
        """
        if fields["num_cat"] != "0" or fields.get("is_linear", "0") != "0":
            raise ValueError("categorical splits and linear leaves are not supported")
        return cls(
            split_feature=_numbers(int, fields["split_feature"]),
            threshold=_numbers(float, fields["threshold"]),
            decision_type=_numbers(int, fields["decision_type"]),
            left_child=_numbers(int, fields["left_child"]),
            right_child=_numbers(int, fields["right_child"]),
            leaf_value=_numbers(float, fields["leaf_value"]),
        )

    def check(self, n_features: int) -> None:
        """Prove that every row reaches a leaf and that its value is a number.

        :raises ValueError: saying what is wrong.
        """
        n_leaves = len(self.leaf_value)
        n_nodes = n_leaves - 1
        arrays = (self.split_feature, self.threshold, self.decision_type, self.left_child, self.right_child)
        if not 1 <= n_leaves <= MAX_LEAVES or any(len(array) != n_nodes for array in arrays):
            raise ValueError("array lengths do not fit the number of leaves")
        if not all(0 <= feature < n_features for feature in self.split_feature):
            raise ValueError("a split is on a feature that there is not")
        if not NUMERICAL_SPLITS.issuperset(self.decision_type):
            raise ValueError("a split is not numerical")
        if not all(map(math.isfinite, self.threshold)):
            raise ValueError("a threshold is not finite")
        if not all(abs(value) <= MAX_LEAF_VALUE for value in self.leaf_value):  # NaN compares false
            raise ValueError("a leaf value is not finite or too large")
        # Each child once and only after its parent: then no path can turn back, and all begin at node 0.
        children = self.left_child + self.right_child
        if n_nodes and sorted(children) != [*range(-n_leaves, 0), *range(1, n_nodes)]:
            raise ValueError("the nodes do not form a tree")
        for side in (self.left_child, self.right_child):
            if any(0 <= child <= node for node, child in enumerate(side)):
                raise ValueError("the nodes do not form a tree")

    def text(self, number: int) -> str:
        """The block of this tree."""
        return (
            f"Tree={number}\n"
            f"num_leaves={len(self.leaf_value)}\n"
            "num_cat=0\n"
            f"split_feature={_joined(self.split_feature)}\n"
            f"threshold={_joined(self.threshold)}\n"
            f"decision_type={_joined(self.decision_type)}\n"
            f"left_child={_joined(self.left_child)}\n"
            f"right_child={_joined(self.right_child)}\n"
            f"leaf_value={_joined(self.leaf_value)}\n"
            "\n\n"
        )


@dataclass(frozen=True, slots=True)
class Forest:
    """Trees whose leaf values add up to the log odds of class 1.

    :param n_features: length of a row.
    :param trees: at least one.
    """

    n_features: int
    trees: tuple[Tree, ...]

    @classmethod
    def of_trained(cls, text: str) -> Forest:
        """Take the trees from a model text that LightGBM has just written.

        :raises TaskModelError: if it is of a kind that we do not serve.
        """
        try:
            _check_size(text)
            forest = _taken_apart(text)
            for tree in forest.trees:
                tree.check(forest.n_features)
        except KeyError as error:
            raise TaskModelError(f"the LightGBM model is invalid: no {error.args[0]}") from None
        except ValueError as error:
            raise TaskModelError(f"the LightGBM model is invalid: {error}") from None
        return forest

    @classmethod
    def parse(cls, text: str) -> Forest:
        """Read what :meth:`text` wrote.

        :raises TaskModelError: if it is anything else, by a single byte.
        """
        forest = cls.of_trained(text)
        if forest.text() != text:
            raise TaskModelError("the LightGBM model is invalid: it holds text that is no part of its trees")
        return forest

    def text(self) -> str:
        """The model in LightGBM's format v4."""
        blocks = [tree.text(number) for number, tree in enumerate(self.trees)]
        columns = range(self.n_features)
        return (
            "tree\n"
            + "".join(f"{key}={value}\n" for key, value in HEADER.items())
            + f"max_feature_idx={self.n_features - 1}\n"
            + f"feature_names={_joined(f'Column_{column}' for column in columns)}\n"
            + f"feature_infos={_joined('none' for _ in columns)}\n"
            + f"tree_sizes={_joined(len(block) for block in blocks)}\n"
            + "\n"
            + "".join(blocks)
            + "end of trees\n"
        )


def _check_size(text: str) -> None:
    """Count before anything is built: a text within its limit of bytes could hold a million trees."""
    if text.count("\n") > HEADER_LINES + LINES_A_TREE * MAX_TREES:
        raise ValueError(f"there are more than {MAX_TREES} trees")
    if text.count(" ") > NUMBERS_A_LEAF * MAX_ALL_LEAVES + 2 * MAX_FEATURES + MAX_TREES:
        raise ValueError(f"there are more than {MAX_ALL_LEAVES} leaves")


def _taken_apart(text: str) -> Forest:
    header_text, *sections = text.split("\n\n")
    header = _fields(header_text)
    for key, value in HEADER.items():
        if header[key] != value:
            raise ValueError(f"{key} is not '{value}'")
    n_features = sum(_numbers(int, header["max_feature_idx"])) + 1
    if not 1 <= n_features <= MAX_FEATURES:
        raise ValueError("the number of features is out of range")
    blocks = (section.lstrip("\n") for section in sections)
    trees = tuple(Tree.read(_fields(block)) for block in blocks if block.startswith("Tree="))
    if not 1 <= len(trees) <= MAX_TREES:
        raise ValueError("there is no tree" if not trees else f"there are more than {MAX_TREES} trees")
    if sum(len(tree.leaf_value) for tree in trees) > MAX_ALL_LEAVES:
        raise ValueError(f"there are more than {MAX_ALL_LEAVES} leaves")
    return Forest(n_features, trees)


def _numbers(kind: Callable[[str], Number], text: str) -> tuple[Number, ...]:
    try:
        return tuple(map(kind, text.split()))
    except ValueError:  # the original message repeats what stands in the file
        raise ValueError("something else stands where a number should") from None


def _fields(block: str) -> dict[str, str]:
    return {key: value for key, _, value in (line.partition("=") for line in block.split("\n"))}


def _joined(values: Iterable[object]) -> str:
    return " ".join(map(str, values))
