"""Resemblance: figures are of fits on parts of the patients, and the fit that is saved must be of their kind.

A fit can fail where all others did not: it ends where it began, and answers the same for everything. What it says of the very
units that it was fitted on tells: it ranks them at least about as well as the other fits rank units that they never saw.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lusfx.metrics import pairs, roc_auc, within_folds

SPREAD_SHARE = 0.1
"""Of the spread of scores within the folds; those of a saved fit are spread at least so far."""
NO_SPREAD = 1e-9
"""Rounding: fits that say the same of every unit, and whose figures tell it."""
AUC_BELOW = 0.1
ERRORS = 2
"""So far, and so many standard errors of an AUC of 0.5, may the AUC of a fit's own units lie below that of unseen ones. But for
chance it lies above."""


def unlike(
    own: NDArray[np.float64],
    unseen: NDArray[np.float64],
    targets: NDArray[np.int64],
    fold_of: NDArray[np.int64],
    spread_share: float = SPREAD_SHARE,
) -> str | None:
    """How the scores of a fit differ from those of the fits in the folds, in words; None where they are of one kind.

    :param own: ``(n,)`` by the fit, of the units that it was fitted on.
    :param unseen: ``(n,)`` of the same units, each by a fit that did not see it.
    :param targets: ``(n,)`` 0 or 1.
    :param fold_of: ``(n,)`` number of each unit's fold.
    :param spread_share: 0 where scores are calibrated, which may flatten them: then they only may not be all alike.
    """
    numbers = np.unique(fold_of)
    spread = np.sqrt(np.mean([np.var(unseen[fold_of == number]) for number in numbers]))
    if spread > NO_SPREAD and (np.ptp(own) == 0 or np.std(own) < spread_share * spread):
        return "says nearly the same of every unit"
    auc = within_folds(roc_auc, fold_of, pairs)
    of_own, of_unseen = auc(targets, own), auc(targets, unseen)
    n_yes = int(targets.sum())
    n_no = len(targets) - n_yes
    error = np.sqrt((n_yes + n_no + 1) / (12 * n_yes * n_no))  # of Mann and Whitney's statistic, as a share
    if of_own < of_unseen - AUC_BELOW - ERRORS * error:
        return f"has an AUC of {of_own:.2f} on its own units, and fits on parts of them one of {of_unseen:.2f} on unseen ones"
    return None
