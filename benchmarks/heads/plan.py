"""What is measured at which size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.request import Size
from benchmarks.timing import Rounds


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    :param train_rows: rows that heads are trained on, once for each number; the first trains those that serve.
    :param call_rows: rows of a call.
    :param task_counts: heads that are asked about the same rows, one after the other.
    :param score_rows: rows that they are asked about.
    :param rounds: of each comparison.
    """

    train_rows: tuple[int, ...]
    call_rows: tuple[int, ...]
    task_counts: tuple[int, ...]
    score_rows: tuple[int, ...]
    rounds: Rounds
    n_features: int = 576

    def as_dict(self) -> dict[str, Any]:
        """For the result."""
        tuples = {name: list(getattr(self, name)) for name in ("train_rows", "call_rows", "task_counts", "score_rows")}
        return asdict(self) | tuples


PLANS: Mapping[Size, Plan] = {
    "small": Plan((1000, 5000), (1, 4096), (1, 10), (100, 10_000), Rounds(3, 7, 0.7)),
    "full": Plan(
        (1000, 10_000, 100_000), (1, 8, 64, 4096), (1, 3, 10, 50), (100, 1000, 10_000, 100_000), Rounds(5, 15, 2.5)
    ),
}
