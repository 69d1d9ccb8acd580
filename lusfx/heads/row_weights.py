"""How much each training row counts."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

ClassWeight = Literal["none", "balanced"]


def row_weights(
    targets: NDArray[np.int64], weights: NDArray[np.float64] | None, class_weight: ClassWeight
) -> NDArray[np.float64]:
    """Weights ``(n,)`` for a loss, of mean 1: their scale would else decide how much a penalty weighs beside the rows.

    :param targets: ``(n,)`` 0 or 1, both among them.
    :param weights: ``(n,)`` as in a checked :class:`lusfx.contracts.TrainingSet`; None where all rows count alike.
    :param class_weight: ``balanced`` scales the rows of each class so that both classes count alike in sum.
    """
    # By the largest first: a sum of very large weights would overflow.
    relative = np.ones(len(targets)) if weights is None else np.asarray(weights / weights.max(), dtype=np.float64)
    if class_weight == "balanced":
        for number in (0, 1):
            relative[targets == number] /= relative[targets == number].sum()
    mean_1: NDArray[np.float64] = relative / relative.mean()
    return mean_1
