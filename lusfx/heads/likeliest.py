"""What the heads that are networks share in training: where they begin, and how the lowest penalised loss is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lusfx.heads.one_thread import one_thread

Values = NDArray[np.float64]


def base_rate_log_odds(targets: NDArray[np.int64], row_weights: Values) -> float:
    """Log odds of yes before any feature is seen.

    :param targets: ``(n,)`` 0 or 1, both among them.
    :param row_weights: ``(n,)``, above 0.
    """
    share = row_weights @ targets / row_weights.sum()
    return float(np.log(share / (1 - share)))


def lowest(
    objective: Callable[[Values], tuple[float, Values]],
    first: Values,
    max_steps: int,
    least_gain: float,
    least_gradient: float,
) -> Values:
    """Where L-BFGS (Liu and Nocedal 1989, doi 10.1007/BF01589116) ends from ``first``.

    :param objective: its value and its gradient at a point.
    :param least_gain: the search ends where a step lowers the objective by less than this part of it.
    :param least_gradient: it ends, too, where no part of the gradient is larger.
    """
    from scipy.optimize import minimize

    with one_thread():
        found = minimize(
            objective,
            first,
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": max_steps, "ftol": least_gain, "gtol": least_gradient},
        )
    values: Values = found.x
    return values
