"""Splits by patient, and what makes a data set unfit to be trained or judged on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lusfx.errors import LeakError, TrainingRefusedError

NAMED = 3
"""How many offenders a message names."""
FEW_EVENTS = 100
TRIES = 10
"""Shuffles tried for folds that each hold both classes."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Rows to train on and rows to test on; no patient in both."""

    train: NDArray[np.intp]
    test: NDArray[np.intp]


def patient_folds(targets: NDArray[np.int64], groups: NDArray[np.str_], n_folds: int, seed: int) -> list[Fold]:
    """Cross-validation folds in which each patient is tested once, stratified by class as far as patients allow.

    :param targets: ``(n,)`` class numbers.
    :param groups: ``(n,)`` patient keys.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    best: list[Fold] = []
    for attempt in range(TRIES):
        splitter = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed + attempt)
        folds = [Fold(train, test) for train, test in splitter.split(targets, targets, groups)]
        if all(len(np.unique(targets[rows])) == len(np.unique(targets)) for f in folds for rows in (f.train, f.test)):
            return folds
        best = best or folds
    return best


def check_split(fold: Fold, groups: NDArray[np.str_], contents: NDArray[np.str_]) -> None:
    """Make sure that nothing stands on both sides of a split.

    :param contents: ``(n,)`` clip keys, which are hashes of content.
    :raises LeakError: if a patient or the same content does.
    """
    for values, noun in ((groups, "patients"), (contents, "clips of the same content")):
        shared = np.intersect1d(values[fold.train], values[fold.test])
        if len(shared):
            raise LeakError(f"{len(shared)} {noun} stand on both sides of a split: {some_keys(shared)}")


def check_trainable(
    targets: NDArray[np.int64],
    groups: NDArray[np.str_],
    contents: NDArray[np.str_],
    features: NDArray[np.float32],
    n_folds: int,
    classes: Sequence[str],
) -> None:
    """Refuse what no result could be trusted of.

    :raises TrainingRefusedError: missing patients, one class only, a class with fewer patients than folds, content that
        stands twice, features that are not finite.
    """
    without = contents[groups == ""]
    if len(without):
        raise TrainingRefusedError(
            f"{len(without)} clips have no patient ({some_keys(without)}), and splits are by patient. Give the label table a "
            "column patient_id"
        )
    repeated = np.array([key for key, count in Counter(contents.tolist()).items() if count > 1])
    if len(repeated):
        raise TrainingRefusedError(f"{len(repeated)} clips stand more than once: {some_keys(repeated)}")
    if len(np.unique(targets)) < len(classes):
        raise TrainingRefusedError(
            f"all {len(targets)} labelled clips are '{classes[int(targets[0])]}': nothing to learn"
        )
    for number, name in enumerate(classes):
        n_patients = len(np.unique(groups[targets == number]))
        if n_patients < n_folds:
            raise TrainingRefusedError(
                f"class '{name}' has {n_patients} patients, fewer than the {n_folds} folds. Label more patients, or "
                f"lower --folds (to no less than 2)"
            )
    broken = contents[~np.isfinite(features).all(axis=1)]
    if len(broken):
        raise TrainingRefusedError(f"the features of {len(broken)} clips are not finite: {some_keys(broken)}")


def training_warnings(targets: NDArray[np.int64], classes: Sequence[str]) -> list[str]:
    """What whoever uses the result must know of the data."""
    rarest = int(np.bincount(targets, minlength=len(classes)).argmin())
    n_events = int((targets == rarest).sum())
    if n_events >= FEW_EVENTS:
        return []
    return [
        f"only {n_events} clips are '{classes[rarest]}': below {FEW_EVENTS}, intervals are wide and thresholds unsure"
    ]


def some_keys(keys: NDArray[np.str_]) -> str:
    """The first few keys, short, for a message."""
    named = ", ".join(key[:12] for key in keys[:NAMED].tolist())
    return f"{named}{', ...' if len(keys) > NAMED else ''}"
